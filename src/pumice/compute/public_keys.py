"""Public keys: what a text is one, its fingerprint, and new pairs made by ssh-keygen and openssl. No database,
no HTTP.

check("ssh", "ssh-ed25519 AAAA... me")       PublicKey(text, fingerprint)      MD5 of the key's bytes
check("x509", "-----BEGIN CERTIFICATE...")   PublicKey(text, fingerprint)      SHA-1 of the certificate's bytes
generate("ssh", "name")                      (PublicKey, the private half, which nobody keeps); "x509" likewise
"""

import binascii
import hashlib
import ssl
import struct
import tempfile
from base64 import b64decode
from pathlib import Path

import msgspec

from pumice.errors import InvalidField, Unavailable
from pumice.subprocesses import TimedOut, run

SSH_TYPES = (
    "ssh-rsa",
    "ssh-dss",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
LONGEST = 16_384
"""Characters of a public key."""
SECONDS = 10.0
"""How long ssh-keygen and openssl may take."""
LONGEST_COMMENT = 64
"""Characters that the name in a certificate can have."""
LIFE_DAYS = 3650
"""Of a certificate that is made here."""

_KEY = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "Generated-by-Pumice {comment}", "-f", "{path}")
_CERTIFICATE = (
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", str(LIFE_DAYS)),
    *("-subj", "/CN={comment}", "-addext", "extendedKeyUsage=clientAuth"),
    *("-addext", "subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:{comment}@localhost"),
    *("-keyout", "{path}", "-out", "{path}.pub"),
)


class PublicKey(msgspec.Struct, frozen=True):
    """A checked one."""

    text: str
    fingerprint: str
    """Pairs of hexadecimal digits with colons between."""


def check(kind: str, text: str) -> PublicKey:
    """The public key of the text. Raises InvalidField."""
    if len(text) > LONGEST:
        raise InvalidField("keypair.public_key", text, f"at most {LONGEST} characters")
    return _certificate(text) if kind == "x509" else _ssh(text)


def generate(kind: str, comment: str) -> tuple[PublicKey, str]:
    """A new pair (Ed25519; for a certificate RSA, that logs in to Windows): the public key and the private half.

    `comment` has letters, digits, spaces, _ and - only. Raises Unavailable."""
    command = _CERTIFICATE if kind == "x509" else _KEY
    with tempfile.TemporaryDirectory(prefix="pumice-key-") as folder:
        path = Path(folder) / "key"
        words = [word.format(comment=comment[:LONGEST_COMMENT], path=path) for word in command]
        try:
            ended = run(words, timeout=SECONDS)
        except TimedOut as error:
            raise Unavailable("The key pair could not be made in time; give a public_key, or try again.") from error
        if ended.status != 0:
            raise Unavailable(f"Key pairs cannot be made on this machine ({words[0]}); give a public_key.")
        return check(kind, path.with_suffix(".pub").read_text()), path.read_text()


def _ssh(text: str) -> PublicKey:
    words = text.split(None, 2)
    wrong = InvalidField(
        "keypair.public_key", text, "one line as in id_ed25519.pub: type, base64 and a comment; types are as of OpenSSH"
    )
    if len(words) < 2 or words[0] not in SSH_TYPES or "\n" in text.strip():
        raise wrong
    try:
        data = b64decode(words[1], validate=True)
        (length,) = struct.unpack_from(">I", data)
    except (binascii.Error, ValueError, struct.error):
        raise wrong from None
    if data[4 : 4 + length] != words[0].encode() or len(data) <= 4 + length:
        raise wrong
    return PublicKey(text, _pairs(hashlib.md5(data, usedforsecurity=False).hexdigest()))


def _certificate(text: str) -> PublicKey:
    try:
        data = ssl.PEM_cert_to_DER_cert(text.strip())
    except (ValueError, binascii.Error):
        data = b""
    if data[:1] != b"\x30":
        raise InvalidField("keypair.public_key", text, "a certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return PublicKey(text, _pairs(hashlib.sha1(data, usedforsecurity=False).hexdigest()))


def _pairs(digits: str) -> str:
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
