"""The XFS image mounted over a pool: found again, left clean, honest about space, and atomic in its snapshots."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.outcomes import Made, Removed
from pumice.storage import xfs_pool
from pumice.storage.contract import BackendDown
from pumice.storage.file import FileDriver
from tests.drivers.pools import MIB, OpenedPool, config_for, new_id, opened, quiet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

BLOCK = 4096

WRITER = """
import mmap, os, sys
path, blocks = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
for number in range(1, blocks + 1):
    page[:] = number.to_bytes(8, "little") * 512
    place = (number - 1) // 2 + (number - 1) % 2 * (blocks // 2)
    assert os.pwritev(fd, [page], place * 4096) == 4096
    if number == 64:
        print("writing", flush=True)
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[OpenedPool]:
    with opened("xfs", tmp_path) as made:
        yield made


def loop_devices_of(image: Path) -> list[str]:
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if backing.read_text().startswith(str(image)):
            found.append(backing.parts[3])
    return found


def test_the_mount_outlives_its_process_and_is_found_again(pool: OpenedPool) -> None:
    volume_id = new_id()
    pool.driver.create(volume_id, MIB, 1)
    pool.driver.close()
    assert xfs_pool.mount(str(pool.config.loop_image), pool.config.path) is Made.ALREADY_THERE
    second = FileDriver(pool.config)
    second.start()
    assert [volume.volume_id for volume in second.volumes()] == [volume_id]
    second.close()
    assert len(loop_devices_of(pool.directory / "pool.xfs")) == 1


def test_unmounting_leaves_no_loop_device_and_mounting_again_keeps_the_volumes(pool: OpenedPool) -> None:
    volume_id = new_id()
    pool.driver.create(volume_id, MIB, 1)
    pool.write(volume_id, 0, b"kept")
    image = str(pool.config.loop_image)
    with pytest.raises(BackendDown, match="busy"):
        xfs_pool.unmount(image, pool.config.path)
    pool.driver.close()
    assert xfs_pool.unmount(image, pool.config.path) is Removed.DELETED
    assert xfs_pool.unmount(image, pool.config.path) is Removed.WAS_ABSENT
    assert loop_devices_of(Path(image)) == []
    assert xfs_pool.mounted(pool.config.path) is None
    pool.driver.start()
    assert pool.read(volume_id, 0, 4) == b"kept"


def test_an_unmounted_pool_is_down_until_the_check_has_mounted_it_again(pool: OpenedPool) -> None:
    volume_id = new_id()
    pool.driver.create(volume_id, MIB, 1)
    subprocess.run(["umount", "--lazy", pool.config.path], check=True)
    with pytest.raises(BackendDown, match="not mounted"):
        pool.driver.locate(volume_id)
    assert pool.driver.check() == []
    assert pool.volume_ids() == {volume_id}


def test_a_lost_image_is_never_replaced_by_an_empty_one(pool: OpenedPool) -> None:
    pool.driver.close()
    image = Path(str(pool.config.loop_image))
    xfs_pool.unmount(str(image), pool.config.path)
    image.rename(image.with_name("lost"))
    with pytest.raises(BackendDown, match="missing"):
        pool.driver.start()
    assert not image.exists()


def test_a_mount_would_not_hide_files(tmp_path: Path) -> None:
    image, directory = str(tmp_path / "a.xfs"), tmp_path / "full"
    directory.mkdir()
    (directory / "file").touch()
    assert not xfs_pool.wanted(str(directory))
    xfs_pool.create(image, xfs_pool.SMALLEST_BYTES)
    with pytest.raises(BackendDown, match="not empty"):
        xfs_pool.mount(image, str(directory))
    assert loop_devices_of(Path(image)) == []


def test_an_image_too_small_for_xfs_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendDown, match="needs at least"):
        FileDriver(config_for("xfs", tmp_path, size_bytes=MIB)).start()


def test_a_directory_with_spaces_works(tmp_path: Path) -> None:
    with opened("xfs", tmp_path / "a b\\c") as pool:
        assert pool.driver.capabilities.atomic_snapshot
        pool.driver.start()


def test_space_is_limited_by_the_file_system_below(tmp_path: Path) -> None:
    """An image of 4 GiB on a file system of 320 MiB has no more than that."""
    with opened("xfs", tmp_path) as below:
        inner = Path(below.config.path) / "inner"
        inner.mkdir()
        xfs_pool.create(str(inner / "pool.xfs"), 4096 * MIB)
        (inner / "pool").mkdir()
        xfs_pool.mount(str(inner / "pool.xfs"), str(inner / "pool"))
        try:
            driver = FileDriver(config_for("xfs", inner))
            driver.start()
            stats = driver.stats()
            driver.close()
        finally:
            xfs_pool.unmount(str(inner / "pool.xfs"), str(inner / "pool"))
        assert stats.total_bytes < 330 * MIB
        assert stats.free_bytes <= below.driver.stats().free_bytes + MIB


def test_deleted_volumes_give_their_space_back_to_the_file_system_below(pool: OpenedPool) -> None:
    image = Path(str(pool.config.loop_image))
    volume_id = new_id()
    pool.driver.import_file(pool.image(os.urandom(MIB) * 100), volume_id, 100 * MIB, 1, quiet)
    full = image.stat().st_blocks * 512
    assert full > 100 * MIB
    pool.driver.delete(volume_id)

    def given_back() -> bool:
        assert pool.driver.check() == []
        return image.stat().st_blocks * 512 < full - 90 * MIB

    wait_until(given_back, 30, "the image has shrunk")


def test_direct_writes_of_a_sector_work_as_qemu_makes_them(pool: OpenedPool) -> None:
    volume_id = new_id()
    pool.driver.create(volume_id, MIB, 1)
    fd = os.open(pool.driver.locate(volume_id).path, os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, BLOCK)
    page[:512] = b"s" * 512
    assert os.pwritev(fd, [memoryview(page)[:512]], 512) == 512
    os.close(fd)
    assert pool.read(volume_id, 511, 514) == b"\0" + b"s" * 512 + b"\0"


def prefix_length(path: Path) -> int:
    """How many of the numbered writes the file holds, in one pass; they must be the first ones, the rest zeros.

    Writes go to the two halves by turns. (Only in one place after the other, a plain copy would pass as well.)
    """
    blocks = path.stat().st_size // BLOCK
    numbers = []
    with path.open("rb") as file:
        for place in range(blocks):
            block = file.read(BLOCK)
            number = int.from_bytes(block[:8], "little")
            assert block == number.to_bytes(8, "little") * 512, f"block {place} is torn"
            if number:
                half = blocks // 2
                assert number == place % half * 2 + place // half + 1, f"write {number} is in the wrong place"
                numbers.append(number)
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), f"{len(numbers)} writes are there, not the first ones"
    return len(numbers)


def test_every_snapshot_of_a_volume_written_directly_is_a_prefix_of_the_writes(pool: OpenedPool) -> None:
    volume_id, blocks = new_id(), 12_000
    pool.driver.create(volume_id, blocks * BLOCK, 1)
    command = [sys.executable, "-c", WRITER, pool.driver.locate(volume_id).path, str(blocks)]
    taken = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        while writer.poll() is None and len(taken) < 60:
            snapshot_id = new_id()
            pool.driver.create_snapshot(volume_id, snapshot_id, 1, quiet)
            taken.append(snapshot_id)
        assert writer.wait(60) == 0
    folder = Path(pool.config.path) / "snapshots"
    lengths = [prefix_length(folder / f"snapshot-{snapshot_id}.raw") for snapshot_id in taken]
    assert lengths == sorted(lengths)
    during = {length for length in lengths if 64 <= length < blocks}
    assert len(during) >= 5, f"only {len(during)} snapshots fell into the writing"
    assert prefix_length(Path(pool.driver.locate(volume_id).path)) == blocks
