"""TLS of the API process: the certificate and its key are looked at before the start, and read again on SIGHUP.

A certificate that cannot be used is told and the one in use is kept: a renewal that went wrong halfway must not take
the cloud away.
"""

import logging
import ssl

from pumice.settings import Settings

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """The certificate or its key cannot be used; the text says which file and why."""


def check(settings: Settings) -> None:
    """Raises TlsError. Nothing to check without TLS."""
    if settings.tls_certificate:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)


def load(context: ssl.SSLContext, settings: Settings) -> None:
    """Give the context the certificate and key of the settings. Raises TlsError."""
    for name in (settings.tls_certificate, settings.tls_key):
        try:
            with open(name, "rb"):
                pass
        except OSError as error:
            raise TlsError(f"{name} cannot be read: {error.strerror}") from None
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        words = {"KEY_VALUES_MISMATCH": "the key does not belong to the certificate"}.get(reason, str(reason).lower())
        raise TlsError(
            f"tls_certificate {settings.tls_certificate} with tls_key {settings.tls_key} cannot be used: {words}; "
            "both are PEM, the key without a password"
        ) from None


def reload(context: ssl.SSLContext, settings: Settings) -> bool:
    """Read the files again, for connections that come from now on. False: they cannot be used; the old ones stay."""
    try:
        check(settings)
        load(context, settings)
    except TlsError as error:
        _log.error("the certificate in use is kept: %s", error)
        return False
    _log.warning("the certificate was read again from %s", settings.tls_certificate)
    return True
