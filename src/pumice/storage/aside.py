"""Data in a file pool that is nobody's volume or snapshot: POOL/unmanaged/NAME. Called by the file driver only.

Data moves by one rename, so that it is under one name or the other at any moment, and never copied. The caller holds
the pool's lock, so that nobody else takes a name between the look at it and the rename.
"""

import os
import re
import stat
from collections.abc import Iterator

from pumice.storage.contract import InUse, NotFound, StorageError, Unmanaged
from pumice.storage.pool_directory import PoolDirectory, Thing

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


def checked(name: str) -> str:
    """Names become file names: letters, digits, and _.- inside. Raises StorageError."""
    if not _NAME.fullmatch(name):
        raise StorageError(f"{name[:80]!r} is not the name of unmanaged data: letters, digits, _ . and - are")
    return name


def set_aside(pool: PoolDirectory, wanted: Thing, name: str) -> bool:
    """False: it was not there (any more). Raises InUse when other data has the name."""
    if pool.find(wanted) is None:
        _sync(pool, wanted)
        return False
    if _status(pool, checked(name)) is not None:
        raise InUse(f"the name {name} is taken in pool {pool.name}")
    os.rename(wanted.name, name, src_dir_fd=pool.folder(wanted.kind), dst_dir_fd=pool.unmanaged)
    _sync(pool, wanted)
    return True


def take_in(pool: PoolDirectory, wanted: Thing, name: str) -> bool:
    """False: it is there already, as a try left it that died before it was synced. Raises NotFound."""
    if pool.find(wanted) is not None:
        _sync(pool, wanted)
        return False
    if _status(pool, checked(name)) is None:
        raise NotFound(f"pool {pool.name} has no unmanaged data called {name}")
    os.rename(name, wanted.name, src_dir_fd=pool.unmanaged, dst_dir_fd=pool.folder(wanted.kind))
    _sync(pool, wanted)
    return True


def listed(pool: PoolDirectory) -> Iterator[Unmanaged]:
    """Every regular file there whose name can be asked for."""
    for name in sorted(os.listdir(pool.unmanaged)):
        found = _status(pool, name) if _NAME.fullmatch(name) else None
        if found is not None:
            yield Unmanaged(name, found.st_size)


def _status(pool: PoolDirectory, name: str) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=pool.unmanaged, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _sync(pool: PoolDirectory, wanted: Thing) -> None:
    os.fsync(pool.unmanaged)
    pool.sync(wanted.kind)
