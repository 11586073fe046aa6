"""A real pool on a file system of its own that is full, or taken away while the cloud works: what users are told, that
they can clean up, and that all is well when the pool is back. What the agent reports comes from its own job."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from pumice.operations import store
from pumice.operations.world import Backend
from pumice.processes.reports import report_health
from pumice.settings import Settings
from pumice.storage import xfs_pool
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from tests.api.volume_cloud import DEADLINE, Account, ServedCloud
from tests.block.cloud import BACKEND, prepare
from tests.compute.cloud import ComputeCloud
from tests.drivers.pools import MIB
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

GIB = 1 << 30


class PooledCloud(ServedCloud):
    """Served, with its volumes in a mounted XFS image of 2 GiB (sparse)."""

    def __init__(self, cloud: ComputeCloud, folder: Path) -> None:
        self.image, self.directory = folder / "pool.xfs", folder / "pool"
        config = PoolConfig(
            name="file",
            path=str(self.directory),
            record_path=str(folder / "pool.json"),
            loop_image=str(self.image),
            size_bytes=2 * GIB,
        )
        self.driver = FileDriver(config)
        self.driver.start()
        cloud.world.backends[BACKEND] = Backend(BACKEND, f"{BACKEND}#pool", "memory", "nova", self.driver, cloud.target)  # type: ignore[index]
        self.settings = Settings.load(folder, {"PUMICE_HOST": cloud.world.host})
        super().__init__(cloud, folder)
        self.look()

    def look(self) -> None:
        """What the agent does every few seconds."""
        report_health(self.cloud.database, self.cloud.world, self.settings)

    def close(self) -> None:
        super().close()
        self.driver.close()
        xfs_pool.unmount(str(self.image), str(self.directory))

    def files(self) -> set[str]:
        """Names of volumes, and of work that was left."""
        return {path.name for folder in ("volumes", ".work") for path in (self.directory / folder).iterdir()}


@pytest.fixture
def served(databases: Databases, tmp_path: Path) -> Iterator[PooledCloud]:
    """On SQLite: nothing of this depends on the database."""
    with databases.fresh("sqlite", prepare) as url:
        cloud = ComputeCloud(url, tmp_path)
        with cloud.working():
            made = PooledCloud(cloud, tmp_path)
            try:
                yield made
                cloud.wait_idle()
                cloud.assert_derived()
            finally:
                made.close()
        cloud.close()


@pytest.fixture
def user(served: PooledCloud) -> Account:
    return served.account()


@contextmanager
def filled(directory: Path) -> Iterator[None]:
    """Every block of the file system is somebody else's, down to the last one."""
    other = directory / "lost+found"
    other.mkdir(exist_ok=True)
    with (other / "filler").open("wb") as file:
        size, step = 0, GIB
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError as error:
                assert error.errno == errno.ENOSPC
                step //= 2
        yield
        (other / "filler").unlink()


def reason_of(user: Account, volume_id: str) -> str:
    """The newest message of the volume or snapshot; empty: there is none."""
    found = user.ask("GET", "/messages", version="3.3")["messages"]
    return next((str(one["user_message"]) for one in found if one["resource_uuid"] == volume_id), "")


def posted(user: Account, **fields: object) -> str:
    return str(user.ask("POST", "/volumes", {"volume": {"size": 1, **fields}}, status=202)["volume"]["id"])


def remove(user: Account, volume_id: str) -> None:
    user.ask("DELETE", f"/volumes/{volume_id}", status=202)
    user.wait_gone(f"/volumes/{volume_id}")


def test_what_does_not_fit_into_a_full_pool_is_told_and_can_be_deleted(served: PooledCloud, user: Account) -> None:
    """Also before the agent has noticed: it looks every few seconds, the disk is full now."""
    image = served.cloud.image(os.urandom(8 * MIB))
    kept = user.volume(name="kept")
    before = served.files()
    with filled(served.directory):
        failed = posted(user, imageRef=image)
        user.wait_volume(failed, "error")
        assert "full" in reason_of(user, failed)
        remove(user, failed)

        served.look()
        refused = posted(user, imageRef=image)
        user.wait_volume(refused, "error")
        assert reason_of(user, refused) != ""
        remove(user, refused)
        assert user.status(kept) == "available"
        assert served.files() == before
    served.look()
    made = posted(user, imageRef=image)
    user.wait_volume(made, "available")
    remove(user, made)
    remove(user, kept)


def test_a_volume_is_deleted_from_a_full_pool(served: PooledCloud, user: Account) -> None:
    """Deleting needs no room: it is the way out."""
    image = served.cloud.image(os.urandom(8 * MIB))
    volume = posted(user, imageRef=image)
    user.wait_volume(volume, "available")
    with filled(served.directory):
        served.look()
        remove(user, volume)
        served.look()
        assert not [name for name in served.files() if volume in name]


def unmounted(served: PooledCloud) -> Callable[[], None]:
    """The disk below is gone."""
    subprocess.run(["umount", "--lazy", str(served.directory)], check=True)
    lost = served.image.with_name("lost")
    served.image.rename(lost)

    def back() -> None:
        lost.rename(served.image)

    return back


def replaced(served: PooledCloud) -> Callable[[], None]:
    """Somebody has mounted something else over it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(served.directory)], check=True)

    def back() -> None:
        subprocess.run(["umount", str(served.directory)], check=True)

    return back


@pytest.mark.parametrize("take_away", [unmounted, replaced])
def test_a_pool_that_is_taken_away_is_down_with_its_reason_until_it_is_back(
    served: PooledCloud, user: Account, take_away: Callable[[PooledCloud], Callable[[], None]]
) -> None:
    operator = served.account("admin")
    volume = user.volume(name="there")
    snapshot = user.snapshot(volume)
    back = take_away(served)
    try:
        early = posted(user)  # before the agent has noticed: the work itself finds out, and is tried again
        wait_until(lambda: "pool" in _why(served, early), DEADLINE, "the operation says what it waits for")
        assert user.status(early) == "creating"
        served.look()
        (service,) = _services(operator)
        assert service["state"] == "down"
        late = posted(user)  # now it is known: nothing is given to it
        user.wait_volume(late, "error")
        assert "mount the file system of pool file" in reason_of(user, late)
        assert user.status(volume) == "available", "a pool that is away says nothing of its volumes"
        user.ask("DELETE", f"/snapshots/{snapshot}", status=202)
        wait_until(lambda: "pool" in _why(served, snapshot), DEADLINE, "the operation says what it waits for")
        for thing in (early, snapshot):
            wait_until(partial(reason_of, user, thing), DEADLINE, "the user hears of it")
            assert "pool" in reason_of(user, thing) and "tried again until it works" in reason_of(user, thing)
            assert "has not been started" not in reason_of(user, thing)
    finally:
        back()
        served.look()
    (service,) = _services(operator)
    assert service["state"] == "up"
    wait_until(lambda: user.status(early) != "creating", DEADLINE, "the volume has an end")  # its turn to try again
    assert user.status(early) == "available" or "pool" in reason_of(user, early)
    user.wait_gone(f"/snapshots/{snapshot}")
    told = [one["resource_uuid"] for one in user.ask("GET", "/messages", version="3.3")["messages"]]
    assert told.count(snapshot) == 1, "once, however often it was tried"
    for each in (early, late, volume):
        remove(user, each)
    user.volume(name="again")
    assert len(served.files()) == 1


def _why(served: PooledCloud, thing_id: str) -> str:
    """What operators see of the live operation of that thing: why it goes back, or is tried again."""
    live = served.cloud.read(store.list_operations, live=True)
    return " ".join(f"{row.error} {row.last_error}" for row in live if row.subject_id == thing_id and row.last_error)


def _services(operator: Account) -> list[dict[str, object]]:
    found = operator.ask("GET", "/os-services?binary=cinder-volume", version="3.70")["services"]
    return [one for one in found if one["host"] == BACKEND]
