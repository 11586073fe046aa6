"""What only the file driver has: the marker, the owner's lock, links, kept images, and kills inside every call."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pumice import faults
from pumice.outcomes import Made
from pumice.storage import xfs_pool
from pumice.storage.contract import BackendDown, StorageError
from pumice.storage.file import FileDriver
from pumice.storage.pool_directory import MARKER
from tests.drivers.pool_worker import METHODS, Case
from tests.drivers.pools import MIB, OpenedPool, config_for, new_id, opened, quiet

pytestmark = pytest.mark.real

SIZE = 8 * MIB


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[OpenedPool]:
    with opened("plain", tmp_path) as made:
        yield made


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[OpenedPool]:
    with opened("xfs", tmp_path) as made:
        yield made


def volume_in(pool: OpenedPool, data: bytes = b"old" * MIB) -> str:
    volume_id = new_id()
    pool.driver.create(volume_id, SIZE, 1)
    pool.write(volume_id, 0, data)
    return volume_id


# The marker and the lock


def test_without_its_marker_the_backend_is_down_and_no_volume_is_gone(plain: OpenedPool) -> None:
    volume_id = volume_in(plain)
    marker = Path(plain.config.path) / MARKER
    kept = marker.rename(plain.directory / "kept")
    for call in (
        lambda: plain.driver.locate(volume_id),
        lambda: plain.driver.locate(new_id()),
        lambda: plain.driver.delete(volume_id),
        lambda: list(plain.driver.volumes()),
        lambda: plain.driver.create(new_id(), SIZE, 1),
        lambda: plain.driver.start(),
    ):
        with pytest.raises(BackendDown, match="marker"):
            call()
    assert [problem.name for problem in plain.driver.check()] == ["pool-missing"]
    kept.rename(marker)
    assert plain.driver.check() == []
    assert plain.volume_ids() == {volume_id}


def test_the_marker_of_another_pool_is_not_ours(plain: OpenedPool) -> None:
    marker = Path(plain.config.path) / MARKER
    marker.write_bytes(msgspec.json.encode({"pool_id": new_id(), "format": 1}))
    with pytest.raises(BackendDown, match="another pool"):
        plain.driver.stats()


def test_an_empty_directory_in_place_of_a_known_pool_is_never_made_a_new_pool(plain: OpenedPool) -> None:
    plain.driver.close()
    Path(plain.config.path).rename(plain.directory / "away")
    with pytest.raises(BackendDown, match="missing"):
        plain.driver.start()
    assert not (Path(plain.config.path) / MARKER).exists()


def test_a_directory_with_foreign_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "thesis.odt").write_bytes(b"dear")
    driver = FileDriver(config_for("plain", tmp_path))
    with pytest.raises(BackendDown, match=r"thesis\.odt"):
        driver.start()


def test_one_owner_at_a_time(plain: OpenedPool) -> None:
    second = FileDriver(plain.config)
    with pytest.raises(BackendDown, match="owned by another"):
        second.start()
    assert [problem.name for problem in second.check()] == ["pool-owned"]
    plain.driver.close()
    second.start()
    second.close()


# Links and modes


def test_symbolic_links_in_the_pool_lead_nowhere(plain: OpenedPool) -> None:
    secret = plain.directory / "secret"
    secret.write_bytes(b"secret")
    volume_id, snapshot_id = new_id(), new_id()
    pool = Path(plain.config.path)
    (pool / "volumes" / f"volume-{volume_id}.raw").symlink_to(secret)
    (pool / "snapshots" / f"snapshot-{snapshot_id}.raw").symlink_to(secret)
    for call in (
        lambda: plain.driver.locate(volume_id),
        lambda: plain.driver.create(volume_id, SIZE, 1),
        lambda: plain.driver.extend(volume_id, SIZE),
        lambda: plain.driver.clone(volume_id, new_id(), SIZE, 1, quiet),
        lambda: plain.driver.clone_snapshot(snapshot_id, new_id(), SIZE, 1, quiet),
        lambda: plain.driver.export_file(volume_id, str(plain.directory / "out"), quiet),
    ):
        with pytest.raises(StorageError, match="not a regular file"):
            call()
    planted = new_id()
    (pool / ".work" / f"volume-{planted}.1").symlink_to(secret)
    plain.driver.create(planted, SIZE, 1)
    plain.driver.delete(volume_id)
    assert secret.read_bytes() == b"secret"


def test_an_image_path_that_is_a_link_or_a_device_is_refused(plain: OpenedPool) -> None:
    link = plain.directory / "link"
    link.symlink_to(plain.image(b"x"))
    for path in (str(link), os.devnull, str(plain.directory), str(plain.directory / "absent")):
        with pytest.raises(StorageError, match="image"):
            plain.driver.import_file(path, new_id(), SIZE, 1, quiet)
    assert plain.leftovers() == []


def test_files_are_private_and_sparse(plain: OpenedPool) -> None:
    volume_id = new_id()
    plain.driver.import_file(plain.image(b"x" + bytes(7 * MIB)), volume_id, 100 * MIB, 1, quiet)
    status = Path(plain.driver.locate(volume_id).path).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == 100 * MIB
    assert status.st_blocks * 512 <= 2 * MIB


# Kept images


def test_the_second_volume_of_an_image_needs_the_file_no_more(xfs: OpenedPool) -> None:
    content = b"image" * MIB
    path = xfs.image(content)
    first, second = new_id(), new_id()
    xfs.driver.import_file(path, first, SIZE, 1, quiet, image_key="a")
    xfs.write(first, 0, b"guest")
    used = xfs.driver.stats().allocated_bytes
    Path(path).write_bytes(b"other")
    xfs.driver.import_file(path, second, SIZE, 1, quiet, image_key="a")
    assert xfs.read(second, 0, len(content)) == content
    assert xfs.driver.stats().allocated_bytes - used < MIB


def test_only_so_many_images_are_kept_and_the_oldest_go_first(tmp_path: Path) -> None:
    with opened("xfs", tmp_path, cached_images=2) as pool:
        for name in ("a", "b", "a", "c"):
            pool.driver.import_file(pool.image(name.encode() * MIB, name), new_id(), SIZE, 1, quiet, image_key=name)
        assert len(list((Path(pool.config.path) / ".images").iterdir())) == 2
        for name, kept in (("a", True), ("b", False)):
            pool.image(b"changed", name)
            volume_id = new_id()
            pool.driver.import_file(str(tmp_path / name), volume_id, SIZE, 1, quiet, image_key=name)
            assert (pool.read(volume_id, 0, 1) == name.encode()) is kept


def test_a_full_pool_gives_up_kept_images_first(xfs: OpenedPool) -> None:
    volume_id = new_id()
    big = os.urandom(MIB) * 140
    xfs.driver.import_file(xfs.image(big), volume_id, 200 * MIB, 1, quiet, image_key="a")
    xfs.driver.delete(volume_id)
    other = new_id()
    assert xfs.driver.import_file(xfs.image(big), other, 200 * MIB, 1, quiet) is Made.CREATED
    assert not list((Path(xfs.config.path) / ".images").iterdir())


def test_one_image_asked_for_by_many_is_copied_once(xfs: OpenedPool) -> None:
    path = xfs.image(os.urandom(MIB) * 4)
    with faults.planned(faults.Plan()) as plan, ThreadPoolExecutor(8) as threads:
        ids = [new_id() for _ in range(16)]
        list(threads.map(lambda key: xfs.driver.import_file(path, key, SIZE, 1, quiet, image_key="a"), ids))
    assert plan.reached.count("file.cache:made") == 1
    assert {xfs.read(volume_id, 0, 4 * MIB) for volume_id in ids} == {Path(path).read_bytes()}


# Kills


def case_in(pool: OpenedPool) -> Case:
    """A volume that begins with `new`, its snapshot that begins with `old`, an image, and names to make."""
    volume_id, snapshot_id = volume_in(pool), new_id()
    pool.driver.create_snapshot(volume_id, snapshot_id, 1, quiet)
    pool.write(volume_id, 0, b"new")
    exported = pool.directory / f"exported-{volume_id}"
    image = pool.image(b"image" * MIB)
    return Case(volume=volume_id, snapshot=snapshot_id, image=image, exported=str(exported), new=new_id())


def require_done(pool: OpenedPool, method: str, case: Case) -> None:
    """The bytes and names are what the call promises, whoever finished it."""
    before = {"create": b"\0\0\0", "clone": b"new", "clone_snapshot": b"old", "import_file": b"ima"}
    if method in before:
        assert pool.read(case.new, 0, 3) == before[method]
        assert pool.driver.locate(case.new).size_bytes == SIZE
    assert (case.volume in pool.volume_ids()) is (method != "delete")
    assert (case.snapshot in pool.snapshot_ids()) is (method != "delete_snapshot")
    if method == "export_file":
        assert Path(case.exported).read_bytes() == pool.read(case.volume, 0, SIZE)
    if method == "extend":
        assert pool.driver.locate(case.volume).size_bytes == 2 * SIZE
    if method == "revert":
        assert pool.read(case.volume, 0, 3) == b"old"
    if method == "create_snapshot":
        noted = {snapshot.snapshot_id: snapshot.volume_id for snapshot in pool.driver.snapshots()}
        assert noted[case.new] == case.volume


def kill_in(pool: OpenedPool, method: str, case: Case, point: str, nth: int) -> int:
    """Exit status of a process of its own that makes the call and is killed at the point."""
    settings = pool.directory / "config.json"
    settings.write_bytes(msgspec.json.encode(pool.config))
    plan = [{"point": point, "action": "kill", "nth": nth}]
    return subprocess.run(
        [sys.executable, "-m", "tests.drivers.pool_worker", str(settings), method, msgspec.json.encode(case).decode()],
        env=os.environ | {faults.VARIABLE: msgspec.json.encode(plan).decode()},
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize("kind", ["plain", "xfs"])
@pytest.mark.parametrize("method", METHODS)
def test_killed_anywhere_the_same_call_again_finishes(method: str, kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as pool:
        assert isinstance(pool.driver, FileDriver)
        case = case_in(pool)
        with faults.planned(faults.Plan()) as plan:
            METHODS[method](pool.driver, case)
        require_done(pool, method, case)
        points = [(name, plan.reached[: at + 1].count(name)) for at, name in enumerate(plan.reached)]
        assert points
        for point, nth in points:
            case = case_in(pool)
            pool.driver.close()
            assert kill_in(pool, method, case, point, nth) == -signal.SIGKILL
            pool.driver.start()
            assert pool.leftovers() == []
            if not point.endswith(":published"):
                assert case.new not in pool.volume_ids() | pool.snapshot_ids()
            METHODS[method](pool.driver, case)
            require_done(pool, method, case)
            assert pool.leftovers() == []
            assert not list(tmp_path.glob("*.part"))
            assert not list((Path(pool.config.path) / ".images").glob("*.new"))


def test_work_left_by_an_older_epoch_is_found_by_discard(plain: OpenedPool) -> None:
    volume_id, other = new_id(), new_id()
    work = Path(plain.config.path) / ".work"
    for name in (f"volume-{volume_id}.3", f"snapshot-{volume_id}.4", f"volume-{volume_id}.5", f"volume-{other}.3"):
        (work / name).touch()
    assert plain.driver.discard(volume_id, 4).value == "deleted"
    assert plain.leftovers() == sorted([f"volume-{volume_id}.5", f"volume-{other}.3"])


@pytest.mark.parametrize("point", ["xfs.create:opened", "xfs.create:made", "xfs.mount:made"])
def test_killed_while_the_image_is_made_or_mounted_the_next_start_finishes(point: str, tmp_path: Path) -> None:
    config = config_for("xfs", tmp_path)
    case = Case(volume=new_id(), snapshot=new_id(), image="", exported="", new=new_id())
    pool = OpenedPool("xfs", tmp_path, config, FileDriver(config))
    try:
        assert kill_in(pool, "create", case, point, 1) == -signal.SIGKILL
        pool.driver.start()
        assert pool.driver.capabilities.instant_clone
        assert pool.driver.check() == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "pool", "pool.xfs", "test.pool.json"]
    finally:
        pool.driver.close()
        xfs_pool.unmount(str(config.loop_image), config.path)
