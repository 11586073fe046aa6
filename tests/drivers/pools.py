"""The pools that the storage contract is tested on, and what a guest and an inspector would see of them.

`opened(kind, directory)` gives a started pool and clears everything away afterwards, mounts included.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pumice.storage import xfs_pool
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from pumice.storage.memory import MemoryDriver
from tests.support import sweeper

MIB = 1 << 20
SMALL = 320 * MIB
"""Size of a pool that a test can fill."""


def new_id() -> str:
    return str(uuid.uuid4())


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


class OpenedPool(msgspec.Struct, frozen=True):
    """A started driver with its configuration and the directory around it."""

    kind: str
    directory: Path
    config: PoolConfig
    driver: FileDriver | MemoryDriver

    def read(self, volume_id: str, offset: int, count: int) -> bytes:
        if isinstance(self.driver, MemoryDriver):
            return self.driver.read(volume_id, offset, count)
        with Path(self.driver.locate(volume_id).path).open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def write(self, volume_id: str, offset: int, data: bytes) -> None:
        if isinstance(self.driver, MemoryDriver):
            self.driver.write(volume_id, offset, data)
            return
        with Path(self.driver.locate(volume_id).path).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def image(self, content: bytes, name: str = "image.raw") -> str:
        """A raw file outside the pool."""
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def leftovers(self) -> list[str]:
        """Names of work files that are still there."""
        if isinstance(self.driver, MemoryDriver):
            return [f"{key}.{epoch}" for key, epoch in self.driver._work]
        return sorted(entry.name for entry in (Path(self.config.path) / ".work").iterdir())

    def volume_ids(self) -> set[str]:
        return {volume.volume_id for volume in self.driver.volumes()}

    def snapshot_ids(self) -> set[str]:
        return {snapshot.snapshot_id for snapshot in self.driver.snapshots()}


def config_for(kind: str, directory: Path, **changes: object) -> PoolConfig:
    config = PoolConfig(
        name="test",
        path=str(directory / "pool"),
        record_path=str(directory / "test.pool.json"),
        loop_image=str(directory / "pool.xfs") if kind == "xfs" else None,
        size_bytes=SMALL,
    )
    return msgspec.structs.replace(config, **changes)


@contextmanager
def opened(kind: str, directory: Path, **changes: object) -> Iterator[OpenedPool]:
    """A started pool: "xfs" (file driver on a mounted image), "plain" (file driver without reflinks where the
    directory has none) or "memory"."""
    config = config_for(kind, directory, **changes)
    driver = MemoryDriver(config) if kind == "memory" else FileDriver(config)
    if config.loop_image is not None:
        sweeper.watch(0, directory)
    try:
        driver.start()
        yield OpenedPool(kind, directory, config, driver)
    finally:
        driver.close()
        if config.loop_image is not None:
            xfs_pool.unmount(config.loop_image, config.path)
