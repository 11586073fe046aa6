"""A state directory from a backup: made beside its final name, checked to the last byte, then renamed.

    restored = restore(Path("pumice.tar"), Path("/srv/pumice"), database="")

Nothing that is there is ever written over: the directory must not exist or be empty, and so must a PostgreSQL database
that is given. A backup that is damaged, cut off or of a newer Pumice is refused with the reason, and leaves nothing.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

import msgspec
from sqlalchemy import func, select

from pumice.db.copy import copy
from pumice.db.engine import Database
from pumice.db.schema import images, servers, volumes
from pumice.db.upgrade import revisions, upgrade
from pumice.operations import sessions
from pumice.processes.backup import DATABASE, FORMAT, IMAGES, MANIFEST, STATE, BackupError, File, Manifest

_CHUNK = 1 << 20


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A state directory that was made. Counts are of what lives."""

    state: str
    created_at: int
    volumes: int
    servers: int
    images: int
    left_out: list[str]
    changed_settings: list[str]
    """Lines of pumice.toml that lead elsewhere now."""


def restore(source: Path, state: Path, database: str = "") -> Restored:
    """database: the URL of an empty PostgreSQL database; else the rows go into pumice.db. Raises BackupError,
    CannotCopy, DatabaseUnavailable."""
    state = state.absolute()
    if state.exists() and (not state.is_dir() or any(state.iterdir())):
        raise BackupError(f"{state} is not empty: give a directory that is not there yet")
    state.parent.mkdir(parents=True, exist_ok=True)
    fresh = state.parent / f".{state.name}.restoring-{os.getpid()}"
    with _removed(fresh):
        fresh.mkdir(mode=0o700)
        manifest = _unpack(source, fresh)
        counts = _database(fresh, manifest, database)
        changed = _arrange(fresh, manifest, database)
        if state.exists():
            state.rmdir()
        fresh.rename(state)
    return Restored(
        state=str(state),
        created_at=manifest.created_at,
        volumes=counts["volumes"],
        servers=counts["servers"],
        images=counts["images"],
        left_out=manifest.left_out,
        changed_settings=changed,
    )


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


# ---- the archive


def _unpack(source: Path, fresh: Path) -> Manifest:
    """Everything below `fresh`, compared with the manifest."""
    found: dict[str, File] = {}
    body = b""
    try:
        with tarfile.open(source, "r:*") as archive:
            for member in archive:
                if member.name == MANIFEST:
                    stream = archive.extractfile(member)
                    body = stream.read() if stream is not None else b""
                else:
                    found[member.name] = _extract(archive, member, fresh)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BackupError(f"{source} cannot be read as a backup: {error}") from error
    manifest = _manifest(source, body)
    wanted = {one.path: one for one in manifest.files}
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            what = (
                "is missing" if name not in found else "is not in its manifest" if name not in wanted else "is damaged"
            )
            raise BackupError(f"{source} is damaged: its file {name} {what}")
    return manifest


def _manifest(source: Path, body: bytes) -> Manifest:
    if not body:
        raise BackupError(f"{source} is not complete: it has no manifest, so its writing or its copying was cut off")
    try:
        told = json.loads(body)
        if isinstance(told, dict) and told.get("format") != FORMAT:
            raise BackupError(f"{source} has the format {told.get('format')}; this Pumice reads format {FORMAT}")
        manifest = msgspec.convert(told, Manifest)
    except (ValueError, msgspec.ValidationError) as error:
        raise BackupError(f"{source} has a manifest that cannot be read: {error}") from error
    if manifest.migration not in revisions():
        raise BackupError(
            f"{source} was made by a newer Pumice ({manifest.pumice}, migration {manifest.migration}): "
            "restore it with that one"
        )
    return manifest


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, fresh: Path) -> File:
    """Write one file, only ever below `fresh`."""
    path = PurePosixPath(member.name)
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None or path.is_absolute() or ".." in path.parts or not path.parts:
        raise BackupError(f"the backup is not one of Pumice's: it holds {member.name!r}")
    target = fresh / ".backup" / path
    for folder in reversed(target.relative_to(fresh).parents):
        with contextlib.suppress(FileExistsError):
            (fresh / folder).mkdir(mode=0o700)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while data := stream.read(_CHUNK):
            digest.update(data)
            size += len(data)
            if any(data):
                file.write(data)
            else:
                file.seek(len(data), os.SEEK_CUR)  # holes stay holes
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
    return File(member.name, size, digest.hexdigest())


# ---- the rows


def _database(fresh: Path, manifest: Manifest, url: str) -> dict[str, int]:
    """Check the rows, bring them to this program's schema, end the sessions of processes that are not here."""
    path = fresh / ".backup" / DATABASE
    if not path.is_file():
        raise BackupError(f"the backup has no {DATABASE}")
    with closing(sqlite3.connect(path)) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if said != "ok" or broken is not None:
        raise BackupError(f"the rows of the backup are damaged: {said if said != 'ok' else broken}")
    opened = Database(f"sqlite:///{path}")
    try:
        upgrade(opened)
        with opened.write() as tx:
            sessions.end_all(tx)
            alive = [(table.name, table.c.deleted_at.is_(None)) for table in (volumes, servers, images)]
            counts = {name: tx.execute(select(func.count()).where(condition)).scalar_one() for name, condition in alive}
        if url:
            target = Database(url, threads=2)
            try:
                copy(opened, target, alone=True)
            finally:
                target.close()
    finally:
        opened.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()  # the file alone is the database now
    return counts


# ---- the directory


def _arrange(fresh: Path, manifest: Manifest, url: str) -> list[str]:
    """Everything to its place; the settings that would lead to where the backed up cloud lives, changed."""
    unpacked = fresh / ".backup"
    if not url:
        (unpacked / DATABASE).rename(fresh / "pumice.db")
    with contextlib.suppress(FileNotFoundError):
        for path in sorted((unpacked / STATE).iterdir()):
            path.rename(fresh / path.name)
    inside = not Path(manifest.image_directory).is_absolute() and ".." not in Path(manifest.image_directory).parts
    directory = fresh / (manifest.image_directory if inside else "images")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for path in sorted((unpacked / IMAGES).iterdir()):
            path.rename(directory / path.name)
    shutil.rmtree(unpacked)
    toml = fresh / "pumice.toml"
    text = toml.read_text() if toml.exists() else ""
    after = _set(text, "database", url)
    if not inside:
        after = _set(after, "image_directory", "")
    if after == text:
        return []
    toml.write_text(after)
    toml.chmod(0o600)
    return [line for line in after.splitlines() if line not in text.splitlines()]


def _set(text: str, name: str, value: str) -> str:
    """The settings with this one of the top level; value "": its line is kept as a comment, so the default counts."""
    first_table = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    border = len(text) if first_table is None else first_table.start()
    top, tables = text[:border], text[border:]
    line = re.compile(rf"^[ \t]*{name}[ \t]*=.*$", re.MULTILINE)
    if value:
        new = f"{name} = {json.dumps(value)}"
        top = line.sub(lambda _: new, top) if line.search(top) else f"{new}\n{top}"
    else:
        top = line.sub(lambda match: f"# {match[0].strip()}    (of the cloud that was backed up)", top)
    return top + tables
