"""The contract of a storage driver, held by every driver: on an XFS image, in a plain directory, in memory.

What only the file driver has (marker, lock, kills, links) is in `test_file_pool.py`.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pumice import faults
from pumice.outcomes import Made, Removed
from pumice.storage.contract import InUse, NoSpace, NotFound, StorageError, Unsupported
from pumice.storage.fence import Superseded
from pumice.storage.file import FileDriver
from pumice.storage.registry import DRIVERS
from tests.drivers.pools import MIB, SMALL, OpenedPool, config_for, new_id, opened, quiet
from tests.support.waiting import wait_until

KINDS = [
    pytest.param("xfs", marks=pytest.mark.real),
    pytest.param("plain", marks=pytest.mark.fast),
    pytest.param("memory", marks=pytest.mark.fast),
]
SIZE = 8 * MIB


@pytest.fixture(params=KINDS)
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenedPool]:
    with opened(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def volume(pool: OpenedPool) -> str:
    """A volume with `old` at its beginning and at its end."""
    volume_id = new_id()
    pool.driver.create(volume_id, SIZE, 1)
    pool.write(volume_id, 0, b"old" * 1000)
    pool.write(volume_id, SIZE - 3, b"old")
    return volume_id


@pytest.mark.fast
@pytest.mark.parametrize("name", ["file", "memory"])
def test_the_registry_makes_each_driver_from_the_same_configuration(name: str, tmp_path: Path) -> None:
    driver = DRIVERS[name](config_for("plain", tmp_path))
    driver.start()
    assert driver.check() == []
    assert list(driver.volumes()) == []


def test_a_new_volume_reads_as_zeros_and_making_it_again_changes_nothing(pool: OpenedPool) -> None:
    volume_id = new_id()
    assert pool.driver.create(volume_id, SIZE, 1) is Made.CREATED
    assert pool.read(volume_id, 0, SIZE) == bytes(SIZE)
    pool.write(volume_id, 5, b"kept")
    assert pool.driver.create(volume_id, SIZE, 2) is Made.ALREADY_THERE
    assert pool.read(volume_id, 5, 4) == b"kept"
    assert pool.driver.locate(volume_id).size_bytes == SIZE
    assert pool.leftovers() == []


def test_start_again_keeps_everything(pool: OpenedPool, volume: str) -> None:
    pool.driver.start()
    pool.driver.close()
    pool.driver.start()
    assert pool.volume_ids() == {volume}
    assert pool.read(volume, SIZE - 3, 3) == b"old"


def test_a_clone_is_grown_and_independent(pool: OpenedPool, volume: str) -> None:
    clone = new_id()
    assert pool.driver.clone(volume, clone, 2 * SIZE, 1, quiet) is Made.CREATED
    assert pool.driver.clone(volume, clone, 2 * SIZE, 2, quiet) is Made.ALREADY_THERE
    pool.write(volume, 0, b"new")
    pool.write(clone, 4, b"mine")
    assert pool.read(clone, 0, 8) == b"oldomine"
    assert pool.read(volume, 0, 9) == b"newoldold"
    assert pool.read(clone, SIZE - 3, 3) == b"old"
    assert pool.read(clone, SIZE, SIZE) == bytes(SIZE)
    assert pool.driver.delete(volume) is Removed.DELETED
    assert pool.read(clone, SIZE - 3, 3) == b"old"


def test_a_snapshot_holds_the_old_bytes(pool: OpenedPool, volume: str) -> None:
    snapshot, copy = new_id(), new_id()
    assert pool.driver.create_snapshot(volume, snapshot, 1, quiet) is Made.CREATED
    pool.write(volume, 0, b"new" * 1000)
    assert pool.driver.create_snapshot(volume, snapshot, 2, quiet) is Made.ALREADY_THERE
    assert pool.driver.clone_snapshot(snapshot, copy, SIZE, 1, quiet) is Made.CREATED
    assert pool.driver.clone_snapshot(snapshot, copy, SIZE, 2, quiet) is Made.ALREADY_THERE
    assert pool.read(copy, 0, 3000) == b"old" * 1000
    assert pool.read(copy, 3000, SIZE - 3003) == bytes(SIZE - 3003)
    (found,) = pool.driver.snapshots()
    assert (found.snapshot_id, found.volume_id, found.size_bytes) == (snapshot, volume, SIZE)


def test_revert_puts_the_old_bytes_back_and_keeps_a_grown_size(pool: OpenedPool, volume: str) -> None:
    snapshot = new_id()
    pool.driver.create_snapshot(volume, snapshot, 1, quiet)
    pool.driver.extend(volume, 2 * SIZE)
    for _ in range(2):
        pool.write(volume, 0, b"new" * 1000)
        pool.write(volume, 2 * SIZE - 3, b"new")
        pool.driver.revert(volume, snapshot, 3, quiet)
        assert pool.read(volume, 0, 3000) == b"old" * 1000
        assert pool.read(volume, SIZE, SIZE) == bytes(SIZE)
    assert pool.leftovers() == []


def test_extend_grows_with_zeros_and_never_shrinks(pool: OpenedPool, volume: str) -> None:
    assert pool.driver.extend(volume, 2 * SIZE) is Made.CREATED
    assert pool.driver.extend(volume, 2 * SIZE) is Made.ALREADY_THERE
    assert pool.read(volume, SIZE - 3, 6) == b"old\0\0\0"
    with pytest.raises(Unsupported, match="shrink"):
        pool.driver.extend(volume, SIZE)
    assert pool.driver.locate(volume).size_bytes == 2 * SIZE


def test_growing_can_be_taken_back_while_nothing_is_written_there(pool: OpenedPool, volume: str) -> None:
    pool.driver.extend(volume, 2 * SIZE)
    assert pool.driver.shrink_back(volume, SIZE) is Removed.DELETED
    assert pool.driver.shrink_back(volume, SIZE) is Removed.WAS_ABSENT
    assert pool.driver.locate(volume).size_bytes == SIZE
    assert pool.read(volume, SIZE - 3, 3) == b"old"
    pool.driver.extend(volume, 2 * SIZE)
    pool.write(volume, 2 * SIZE - 3, b"new")
    with pytest.raises(Unsupported, match="has data behind"):
        pool.driver.shrink_back(volume, SIZE)
    assert pool.read(volume, 2 * SIZE - 3, 3) == b"new"
    assert pool.driver.shrink_back(new_id(), SIZE) is Removed.WAS_ABSENT


def test_an_image_becomes_a_volume_with_its_bytes(pool: OpenedPool) -> None:
    content = b"begin" + bytes(3 * MIB) + b"end"
    path = pool.image(content)
    for key in (None, "image-1", "image-1"):
        volume_id = new_id()
        assert pool.driver.import_file(path, volume_id, SIZE, 1, quiet, image_key=key) is Made.CREATED
        assert pool.driver.import_file(path, volume_id, SIZE, 1, quiet, image_key=key) is Made.ALREADY_THERE
        assert pool.read(volume_id, 0, SIZE) == content + bytes(SIZE - len(content))
        pool.write(volume_id, 0, b"changed by its owner")
    assert pool.leftovers() == []


def test_an_image_takes_the_place_of_a_volumes_bytes(pool: OpenedPool, volume: str) -> None:
    content = b"begin" + bytes(MIB) + b"end"
    path = pool.image(content)
    snapshot = new_id()
    pool.driver.create_snapshot(volume, snapshot, 1, quiet)
    for key in (None, "image-1", "image-1"):
        pool.write(volume, 2 * MIB, b"of its owner")
        assert pool.driver.import_file(path, volume, SIZE, 1, quiet, image_key=key, replace=True) is Made.CREATED
        assert pool.read(volume, 0, SIZE) == content + bytes(SIZE - len(content))
    pool.driver.revert(volume, snapshot, 2, quiet)
    assert pool.read(volume, 0, 6) == b"oldold"
    with pytest.raises(NotFound):
        pool.driver.import_file(path, new_id(), SIZE, 1, quiet, replace=True)
    with pytest.raises(Unsupported, match="does not fit"):
        pool.driver.import_file(pool.image(bytes(SIZE + 1), "large"), volume, SIZE, 1, quiet, replace=True)
    assert pool.read(volume, 0, 6) == b"oldold"
    assert pool.leftovers() == []


def test_what_is_set_aside_is_no_volume_until_it_is_taken_in(pool: OpenedPool, volume: str) -> None:
    snapshot, other, again = new_id(), new_id(), new_id()
    pool.driver.create_snapshot(volume, snapshot, 1, quiet)
    assert pool.driver.set_aside("volume", volume, f"volume-{volume}") is Removed.DELETED
    assert pool.driver.set_aside("volume", volume, f"volume-{volume}") is Removed.WAS_ABSENT
    assert pool.driver.set_aside("snapshot", snapshot, f"_snapshot-{snapshot}") is Removed.DELETED
    assert pool.volume_ids() == set() and list(pool.driver.snapshots()) == []
    found = [(one.name, one.size_bytes) for one in pool.driver.unmanaged()]
    assert found == [(f"_snapshot-{snapshot}", SIZE), (f"volume-{volume}", SIZE)]
    pool.driver.create(again, SIZE, 1)
    with pytest.raises(InUse, match="taken"):
        pool.driver.set_aside("volume", again, f"volume-{volume}")
    for name in ("../volumes", "", ".hidden", "a/b", "x" * 201):
        with pytest.raises(StorageError, match="name"):
            pool.driver.take_in("volume", other, name, "")
    with pytest.raises(NotFound):
        pool.driver.take_in("volume", other, "nothing", "")
    assert pool.driver.take_in("volume", other, f"volume-{volume}", "") is Made.CREATED
    assert pool.driver.take_in("volume", other, f"volume-{volume}", "") is Made.ALREADY_THERE
    assert pool.driver.take_in("snapshot", again, f"_snapshot-{snapshot}", other) is Made.CREATED
    assert [(one.snapshot_id, one.volume_id) for one in pool.driver.snapshots()] == [(again, other)]
    assert pool.volume_ids() == {other, again} and list(pool.driver.unmanaged()) == []
    assert pool.read(other, 0, 3) == b"old"


def test_of_many_who_take_the_same_data_in_one_gets_it(pool: OpenedPool, volume: str) -> None:
    pool.driver.set_aside("volume", volume, "data")

    def take(identifier: str) -> str:
        try:
            return str(pool.driver.take_in("volume", identifier, "data", ""))
        except NotFound:
            return "not there"

    identifiers = [new_id() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(take, identifiers))
    assert sorted(outcomes) == sorted([str(Made.CREATED), *["not there"] * 7])
    assert pool.volume_ids() == {identifiers[outcomes.index(str(Made.CREATED))]}


def test_bytes_that_look_like_another_format_are_only_bytes(pool: OpenedPool) -> None:
    content = b"QFI\xfb\0\0\0\3" + b"/etc/passwd".ljust(MIB, b"x")
    volume_id = new_id()
    pool.driver.import_file(pool.image(content), volume_id, SIZE, 1, quiet)
    assert pool.read(volume_id, 0, len(content)) == content


def test_an_image_that_does_not_fit_is_refused_and_leaves_nothing(pool: OpenedPool) -> None:
    with pytest.raises(Unsupported, match="does not fit"):
        pool.driver.import_file(pool.image(bytes(SIZE + 1)), new_id(), SIZE, 1, quiet, image_key="big")
    assert pool.volume_ids() == set()
    assert pool.leftovers() == []


def test_export_writes_the_bytes_and_may_be_repeated(pool: OpenedPool, volume: str) -> None:
    target = pool.directory / "exported.raw"
    for _ in range(2):
        pool.driver.export_file(volume, str(target), quiet)
    data = target.read_bytes()
    assert data == pool.read(volume, 0, SIZE)
    assert data[:6] == b"oldold"
    assert [entry.name for entry in pool.directory.glob("exported*")] == ["exported.raw"]


def test_removing_says_whether_it_was_there(pool: OpenedPool, volume: str) -> None:
    snapshot = new_id()
    pool.driver.create_snapshot(volume, snapshot, 1, quiet)
    assert pool.driver.delete(volume) is Removed.DELETED
    assert pool.driver.delete(volume) is Removed.WAS_ABSENT
    assert pool.snapshot_ids() == {snapshot}
    assert pool.driver.delete_snapshot(volume, snapshot) is Removed.DELETED
    assert pool.driver.delete_snapshot(volume, snapshot) is Removed.WAS_ABSENT
    assert pool.driver.discard(volume, 9) is Removed.WAS_ABSENT
    assert pool.volume_ids() == pool.snapshot_ids() == set()


def test_whatever_names_a_missing_thing_says_so(pool: OpenedPool, volume: str) -> None:
    absent, new = new_id(), new_id()
    for call in (
        lambda: pool.driver.clone(absent, new, SIZE, 1, quiet),
        lambda: pool.driver.clone_snapshot(absent, new, SIZE, 1, quiet),
        lambda: pool.driver.create_snapshot(absent, new, 1, quiet),
        lambda: pool.driver.revert(absent, new, 1, quiet),
        lambda: pool.driver.revert(volume, absent, 1, quiet),
        lambda: pool.driver.extend(absent, SIZE),
        lambda: pool.driver.locate(absent),
        lambda: pool.driver.export_file(absent, str(pool.directory / "none"), quiet),
    ):
        with pytest.raises(NotFound, match=absent):
            call()
    assert pool.volume_ids() == {volume}
    assert pool.leftovers() == []
    assert not list(pool.directory.glob("none*"))


UPPER = "7FE49DB7-D388-4DC3-BE33-522DD615A0BF"


@pytest.mark.parametrize("bad", ["../../escape", "", "x" * 36, UPPER, UPPER.lower() + "\n", "a/../" + UPPER.lower()])
def test_an_id_that_is_not_a_uuid_never_becomes_a_name(pool: OpenedPool, bad: str) -> None:
    for call in (
        lambda: pool.driver.create(bad, SIZE, 1),
        lambda: pool.driver.delete(bad),
        lambda: pool.driver.discard(bad, 1),
        lambda: pool.driver.locate(bad),
        lambda: pool.driver.delete_snapshot(new_id(), bad),
    ):
        with pytest.raises(StorageError, match="not a UUID"):
            call()


def test_stopping_by_progress_leaves_nothing(pool: OpenedPool, volume: str) -> None:
    class Stopped(Exception):
        pass

    def stop(_done: int, _total: int) -> None:
        raise Stopped

    path = pool.image(b"data" * MIB)
    with pytest.raises(Stopped):
        pool.driver.clone(volume, new_id(), SIZE, 1, stop)
    with pytest.raises(Stopped):
        pool.driver.create_snapshot(volume, new_id(), 1, stop)
    for key in (None, "image"):
        with pytest.raises(Stopped):
            pool.driver.import_file(path, new_id(), SIZE, 1, stop, image_key=key)
    assert pool.volume_ids() == {volume}
    assert pool.snapshot_ids() == set()
    assert pool.leftovers() == []


def _hang_in_create(pool: OpenedPool, plan: faults.Plan) -> faults.Hang:
    """A create that hangs after its side effect and before it publishes."""
    if isinstance(pool.driver, FileDriver):
        return plan.hang("file.create:made")
    return pool.driver.faults.hang("create:inside")


def _late(pool: OpenedPool, volume_id: str, results: list[object]) -> threading.Thread:
    def create() -> None:
        try:
            results.append(pool.driver.create(volume_id, SIZE, 3))
        except Superseded as error:
            results.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    return thread


def test_a_late_writer_publishes_nothing_over_a_newer_one(pool: OpenedPool) -> None:
    volume_id, results = new_id(), []
    with faults.planned(faults.Plan()) as plan:
        hang = _hang_in_create(pool, plan)
        late = _late(pool, volume_id, results)
        hang.wait_reached()
        assert pool.driver.create(volume_id, 2 * SIZE, 5) is Made.CREATED
        pool.write(volume_id, 0, b"newer")
        hang.release()
        late.join(10)
    assert isinstance(results[0], Superseded)
    assert pool.read(volume_id, 0, 5) == b"newer"
    assert pool.driver.locate(volume_id).size_bytes == 2 * SIZE
    assert pool.leftovers() == []


def test_a_late_writer_does_not_bring_back_what_was_deleted_or_discarded(pool: OpenedPool) -> None:
    for end in (lambda key: pool.driver.discard(key, 4), lambda key: pool.driver.delete(key)):
        volume_id, results = new_id(), []
        with faults.planned(faults.Plan()) as plan:
            hang = _hang_in_create(pool, plan)
            late = _late(pool, volume_id, results)
            hang.wait_reached()
            end(volume_id)
            hang.release()
            late.join(10)
        if not isinstance(pool.driver, FileDriver):
            pool.driver.faults.clear()
        assert isinstance(results[0], Superseded)
        assert pool.volume_ids() == set()
        assert pool.leftovers() == []


def test_an_older_attempt_does_not_start_while_a_newer_one_runs(pool: OpenedPool) -> None:
    volume_id, results = new_id(), []
    with faults.planned(faults.Plan()) as plan:
        hang = _hang_in_create(pool, plan)
        newer = _late(pool, volume_id, results)
        hang.wait_reached()
        with pytest.raises(Superseded):
            pool.driver.create(volume_id, 2 * SIZE, 2)
        assert pool.driver.discard(volume_id, 2) is Removed.WAS_ABSENT
        hang.release()
        newer.join(10)
    assert results == [Made.CREATED]
    assert pool.driver.locate(volume_id).size_bytes == SIZE


def test_many_calls_at_once_do_not_disturb_each_other(pool: OpenedPool, volume: str) -> None:
    path = pool.image(b"image" * 100_000)

    def life(number: int) -> bool:
        made, copied, snapshot = new_id(), new_id(), new_id()
        pool.driver.import_file(path, made, SIZE, 1, quiet, image_key=f"image-{number % 2}")
        pool.write(made, 0, b"%05d" % number)
        pool.driver.create_snapshot(made, snapshot, 1, quiet)
        pool.driver.clone_snapshot(snapshot, copied, SIZE, 1, quiet)
        pool.driver.delete(made)
        pool.driver.delete_snapshot(made, snapshot)
        right = pool.read(copied, 0, 10) == b"%05dimage" % number
        pool.driver.delete(copied)
        return right

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(life, range(24)))
    assert pool.volume_ids() == {volume}
    assert pool.snapshot_ids() == set()
    assert pool.leftovers() == []


def test_many_attempts_at_one_volume_make_one(pool: OpenedPool) -> None:
    volume_id = new_id()

    def attempt(epoch: int) -> object:
        try:
            return pool.driver.create(volume_id, SIZE, epoch)
        except Superseded:
            return None

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(attempt, range(1, 40)))
    assert results.count(Made.CREATED) == 1
    assert pool.volume_ids() == {volume_id}
    assert pool.leftovers() == []


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])
def test_a_full_pool_says_so_and_keeps_nothing_half_made(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as pool:
        path = tmp_path / "big.raw"
        with path.open("wb") as file:
            for _ in range(SMALL // MIB + 8):
                file.write(b"\xa5" * 1000 + file.tell().to_bytes(8, "big") * (MIB // 8 - 125))
        free = pool.driver.stats().free_bytes
        volume_id = new_id()
        with pytest.raises(NoSpace, match="full"):
            pool.driver.import_file(str(path), volume_id, 2 * SMALL, 1, quiet, image_key="big")
        assert pool.volume_ids() == set()
        assert pool.leftovers() == []
        wait_until(lambda: pool.driver.stats().free_bytes >= free - MIB, 10, "the space is free again")
        assert pool.driver.create(volume_id, 2 * SMALL, 2) is Made.CREATED


def test_statistics_follow_what_is_written(pool: OpenedPool) -> None:
    volume_id = new_id()
    before = pool.driver.stats()
    pool.driver.import_file(pool.image(b"x" * (6 * MIB)), volume_id, SIZE, 1, quiet)
    after = pool.driver.stats()
    assert after.name == "test"
    assert 5 * MIB < after.allocated_bytes - before.allocated_bytes < 8 * MIB
    assert 0 < after.free_bytes <= after.total_bytes


@pytest.mark.fast
def test_reserved_space_is_never_offered(tmp_path: Path) -> None:
    with opened("memory", tmp_path, reserved_bytes=SMALL) as pool:
        assert pool.driver.stats().free_bytes == 0
        assert [problem.name for problem in pool.driver.check()] == ["pool-full"]
