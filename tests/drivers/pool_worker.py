"""A process that makes one call on a file pool and may be killed in it: `pool_worker.py CONFIG METHOD CASE` (JSON).

The same calls are made by the test itself, to find the fault points and to retry.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver

MIB = 1 << 20


class Case(msgspec.Struct, frozen=True):
    """What there is (a volume, a snapshot of its older bytes, an image) and what a call is to make."""

    volume: str
    snapshot: str
    image: str
    exported: str
    new: str


def _quiet(_done: int, _total: int) -> None:
    pass


METHODS: dict[str, Callable[[FileDriver, Case], object]] = {
    "create": lambda driver, case: driver.create(case.new, 8 * MIB, 1),
    "clone": lambda driver, case: driver.clone(case.volume, case.new, 8 * MIB, 1, _quiet),
    "clone_snapshot": lambda driver, case: driver.clone_snapshot(case.snapshot, case.new, 8 * MIB, 1, _quiet),
    "import_file": lambda driver, case: driver.import_file(
        case.image, case.new, 8 * MIB, 1, _quiet, image_key=case.new
    ),
    "export_file": lambda driver, case: driver.export_file(case.volume, case.exported, _quiet),
    "extend": lambda driver, case: driver.extend(case.volume, 16 * MIB),
    "delete": lambda driver, case: driver.delete(case.volume),
    "create_snapshot": lambda driver, case: driver.create_snapshot(case.volume, case.new, 1, _quiet),
    "delete_snapshot": lambda driver, case: driver.delete_snapshot(case.volume, case.snapshot),
    "revert": lambda driver, case: driver.revert(case.volume, case.snapshot, 1, _quiet),
}


def main() -> None:
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=PoolConfig)
    driver = FileDriver(config)
    driver.start()
    METHODS[sys.argv[2]](driver, msgspec.json.decode(sys.argv[3], type=Case))


if __name__ == "__main__":
    main()
