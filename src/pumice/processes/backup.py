"""A backup of a cloud's state, made while it runs: one tar file from which `restore.py` makes a state directory.

    made = create(settings, Path("pumice.tar"), config)        made.files, made.bytes, made.left_out

    database.db         all rows, as a SQLite database, whichever kind the cloud uses: one moment of them
    state/...           settings, clouds.yaml, keys and policy below the state directory, records of pools and exports
    images/<id>         the bytes of the images of that very moment
    manifest.json       comes last, with size and SHA-256 of everything: a file that was cut off has none

Volumes and servers' local disks are not in it: they are where the cloud's data is, with means of their own (volume
backups, snapshots of the pool's file system). After a restore the reconciler tells what differs from them.
"""

import fcntl
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec

from pumice.clock import Clock
from pumice.db.copy import copy
from pumice.db.engine import Database
from pumice.db.migrations import HEAD
from pumice.images.store import ImageStore
from pumice.settings import Settings

FORMAT = 1
MANIFEST, DATABASE, STATE, IMAGES = "manifest.json", "database.db", "state", "images"


class BackupError(Exception):
    """The backup cannot be made or used; the text says why and what helps."""


class File(msgspec.Struct, frozen=True):
    """One file of the backup."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: int
    pumice: str
    migration: str
    database: str
    """ "sqlite" or "postgresql": what the cloud used."""
    host: str
    created_at: int
    image_directory: str
    left_out: list[str]
    """Files that the settings name and that lie outside of the state directory."""
    files: list[File]


class Made(msgspec.Struct, frozen=True):
    """A backup that was made."""

    path: str
    files: int
    bytes: int
    left_out: list[str]


def create(settings: Settings, target: Path, config: Path | None = None) -> Made:
    """Write the backup; target: a file that is not there yet (".tar", or ".tar.gz" to compress), or a directory.

    Raises BackupError, DatabaseUnavailable; then nothing is left of it."""
    if target.is_dir():
        target = target / f"pumice-{_stamp(Clock().now())}.tar"
    if target.exists():
        raise BackupError(f"{target} is there already: give another name")
    partial = target.with_name(f".{target.name}.partial")
    with _one_at_a_time(settings), _discarded(partial):
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as raw:
                manifest = _write(settings, config, raw, compress=target.name.endswith((".gz", ".tgz")))
                raw.flush()
                os.fsync(raw.fileno())
                size = raw.tell()
        except OSError as error:
            raise BackupError(f"{target} cannot be written: {error.strerror or error}") from error
        partial.rename(target)
    return Made(str(target), len(manifest.files), size, manifest.left_out)


def _stamp(now: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now // 1_000_000, UTC).strftime("%Y-%m-%dT%H%M%SZ")


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    if not settings.state.is_dir():
        raise BackupError(f"there is no cloud in {settings.state}: name its directory with --state")
    lock = os.open(settings.state / "backup.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError("another backup of this cloud is being made") from None
    finally:
        os.close(lock)


@contextmanager
def _discarded(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write(settings: Settings, config: Path | None, raw: IO[bytes], *, compress: bool) -> Manifest:
    workshop = settings.images / ".backup"
    shutil.rmtree(workshop, ignore_errors=True)  # of a backup that was killed: there is one at a time
    workshop.mkdir(mode=0o700, parents=True)
    try:
        now = Clock().now()
        _one_moment(settings, workshop)
        small, left_out = _small_files(settings, config)
        with tarfile.open(fileobj=raw, mode="w:gz" if compress else "w", format=tarfile.PAX_FORMAT) as archive:
            files = [_add(archive, name, path) for name, path in small]
            files.append(_add(archive, DATABASE, workshop / DATABASE))
            files += [_add(archive, f"{IMAGES}/{path.name}", path) for path in sorted((workshop / IMAGES).iterdir())]
            manifest = Manifest(
                format=FORMAT,
                pumice=version("pumice"),
                migration=HEAD,
                database="sqlite" if settings.database_url.startswith("sqlite") else "postgresql",
                host=settings.host,
                created_at=now,
                image_directory=settings.image_directory,
                left_out=left_out,
                files=files,
            )
            body = msgspec.json.format(msgspec.json.encode(manifest))
            archive.addfile(_member(MANIFEST, len(body)), io.BytesIO(body))
        return manifest
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _one_moment(settings: Settings, workshop: Path) -> None:
    """The rows, and a second name for each image's bytes: nothing is published or removed in between."""
    (workshop / IMAGES).mkdir(mode=0o700)
    store = ImageStore(settings.images)
    try:
        with store.exclusive():
            _snapshot(settings, workshop / DATABASE)
            for image_id in store.published():
                os.link(store.path(image_id), workshop / IMAGES / image_id)
    finally:
        store.close()


def _snapshot(settings: Settings, path: Path) -> None:
    """All rows of one moment, writers going on meanwhile."""
    if settings.database_url.startswith("sqlite:///"):
        source = settings.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(path)) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE").fetchall()
        return
    source_database, target = Database(settings.database_url, threads=2), Database(f"sqlite:///{path}")
    try:
        copy(source_database, target, alone=False)
    finally:
        source_database.close()
        target.close()
    with closing(sqlite3.connect(path)) as new:
        new.execute("PRAGMA journal_mode=DELETE").fetchall()


def _small_files(settings: Settings, config: Path | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """(name in the backup, path) of what is not data; and what lies elsewhere."""
    state, found, elsewhere = settings.state, list[tuple[str, Path]](), list[str]()
    toml = config or state / "pumice.toml"
    if toml.is_file():
        found.append((f"{STATE}/pumice.toml", toml))
    paths = [state / "clouds.yaml", state / "hypervisor" / "initiator"]
    for backend in settings.backends:
        folder = state / "backends" / backend.name
        paths += [folder / "pool-id", *sorted((folder / "exports").glob("*"))]
    for named in (settings.policy_file, settings.tls_certificate, settings.tls_key, settings.tls_ca):
        if not named:
            continue
        path = Path(named).absolute()
        if path.is_relative_to(state):
            paths.append(path)
        else:
            elsewhere.append(str(path))
    found += [(f"{STATE}/{path.relative_to(state)}", path) for path in dict.fromkeys(paths) if path.is_file()]
    return found, elsewhere


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, Clock().now() // 1_000_000
    return info


def _add(archive: tarfile.TarFile, name: str, path: Path) -> File:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        reading = _Hashing(file)
        archive.addfile(_member(name, size), reading)
    return File(name, size, reading.digest.hexdigest())


class _Hashing:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
