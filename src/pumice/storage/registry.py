"""Every storage driver by the name that the settings use for it."""

from collections.abc import Callable

from pumice.storage.config import PoolConfig
from pumice.storage.contract import StorageDriver
from pumice.storage.file import FileDriver
from pumice.storage.memory import MemoryDriver

DRIVERS: dict[str, Callable[[PoolConfig], StorageDriver]] = {
    "file": FileDriver,
    "memory": MemoryDriver,
}
