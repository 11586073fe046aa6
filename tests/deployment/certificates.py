"""A certificate authority of the tests' own, by openssl's program: certificates for 127.0.0.1."""

import subprocess
from pathlib import Path


class Authority:
    """Signs certificates; clients trust `file`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file, self.key = directory / "ca.pem", directory / "ca.key"
        self._count = 0
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=Authority of a test", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", self.key, "-out", self.file,
        )  # fmt: skip

    def issue(self, certificate: Path, key: Path) -> None:
        """Write a new certificate for 127.0.0.1 and its key."""
        self._count += 1
        request, names = self.directory / "request.pem", self.directory / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n")
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN=number {self._count}", "-keyout", key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-days", "2",
            "-set_serial", str(1000 + self._count), "-extfile", names, "-out", certificate,
        )  # fmt: skip


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
