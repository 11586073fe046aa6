"""Backup while the cloud works, restore into an empty directory, and what is said of what differs or is damaged."""

import json
import os
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_commands import pumice
from tests.deployment.cloud import DeployedCloud
from tests.support.databases import Databases
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(params=["sqlite", "postgresql"])
def cloud(
    request: pytest.FixtureRequest, processes: Processes, tmp_path: Path, databases: Databases
) -> Iterator[DeployedCloud]:
    """Running, on each database."""
    if request.param == "sqlite":
        made = DeployedCloud(processes, tmp_path)
        made.start()
        yield made
        return
    with databases.fresh("postgresql") as url:
        made = DeployedCloud(processes, tmp_path, f'database = "{url}"')
        made.start()
        yield made
        assert made.process is not None
        made.process.end()


class User:
    """Somebody who uses the cloud over HTTP."""

    def __init__(self, cloud: DeployedCloud) -> None:
        self.url = f"http://{cloud.address}"
        self.http = httpx.Client(timeout=60)
        self.http.headers.update(cloud.login(self.http, self.url))

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def make_volume(self, name: str, **wanted: Any) -> str:
        body = {"volume": {"size": 1, "name": name, **wanted}}
        return str(self.http.post(f"{self.url}/volume/v3/volumes", json=body).raise_for_status().json()["volume"]["id"])

    def volumes(self) -> dict[str, str]:
        """Status by id."""
        found = self.http.get(f"{self.url}/volume/v3/volumes/detail").raise_for_status().json()["volumes"]
        return {one["id"]: one["status"] for one in found}

    def settled(self) -> bool:
        return set(self.volumes().values()) == {"available"}

    def upload(self, data: bytes) -> str:
        made = self.http.post(
            f"{self.url}/image/v2/images", json={"name": "i", "disk_format": "raw", "container_format": "bare"}
        )
        image_id = str(made.raise_for_status().json()["id"])
        octets = {"Content-Type": "application/octet-stream"}
        self.http.put(f"{self.url}/image/v2/images/{image_id}/file", content=data, headers=octets).raise_for_status()
        return image_id


def without_quotas(cloud: DeployedCloud) -> None:
    """Let every project make as many volumes as it likes."""
    url = f"http://{cloud.address}"
    with httpx.Client() as http:
        admin = cloud.login(http, url, "admin")
        body = {"quota_class_set": {"volumes": -1, "gigabytes": -1}}
        http.put(f"{url}/volume/v3/os-quota-class-sets/default", headers=admin, json=body).raise_for_status()


def while_working(work: Callable[[int], object], meanwhile: Callable[[], object]) -> int:
    """Do the work again and again in a thread as long as `meanwhile` lasts; how often it was done."""
    done, ended, failed = 0, threading.Event(), list[BaseException]()

    def loop() -> None:
        nonlocal done
        try:
            while not ended.is_set():
                work(done)
                done += 1
        except httpx.HTTPError as error:
            failed.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        meanwhile()
    finally:
        ended.set()
        thread.join()
    assert not failed, failed
    return done


def test_a_backup_of_a_working_cloud_is_of_one_moment_and_lives_again(
    cloud: DeployedCloud, processes: Processes, tmp_path: Path
) -> None:
    without_quotas(cloud)
    with User(cloud) as user:
        before = {user.make_volume(f"before {number}") for number in range(5)}
        wait_until(user.settled, 60, "the volumes are available")
        image = user.upload(b"stone" * 100_000)
        archive = tmp_path / "backup.tar.gz"

        def back_up() -> None:
            done = pumice("backup", "create", str(archive), state=cloud.state)
            assert done.returncode == 0, done.stderr

        made = while_working(lambda number: (user.make_volume(f"during {number}"), user.upload(b"x" * 5000)), back_up)
        assert made > 0
        assert archive.stat().st_mode & 0o777 == 0o600
        wait_until(user.settled, 60, "the volumes are available")
        now = set(user.volumes())
    assert cloud.process is not None
    cloud.process.end()

    other = tmp_path / "other"
    other.mkdir()
    restored = pumice("backup", "restore", str(archive), "--json", state=other / "state")
    assert restored.returncode == 0, restored.stderr
    told = json.loads(restored.stdout)
    assert 5 <= told["volumes"] <= len(now)
    assert (other / "state" / "clouds.yaml").stat().st_mode & 0o777 == 0o600
    assert (other / "state" / "images" / image).read_bytes() == b"stone" * 100_000
    with closing(sqlite3.connect(other / "state" / "pumice.db")) as rows:
        active = {row[0] for row in rows.execute("SELECT id FROM images WHERE status = 'active'")}
        assert rows.execute("PRAGMA foreign_key_check").fetchall() == []
    assert active <= {path.name for path in (other / "state" / "images").iterdir()}

    # The pool is where it always was; the operator brings it to its place.
    (cloud.state / "pool").rename(other / "state" / "pool")
    again = cloud.moved(other / "state")
    again.start()
    with User(again) as later:
        wait_until(later.settled, 60, "what was being made in that moment is finished")
        found = set(later.volumes())
    assert before <= found <= now
    looked = pumice("reconcile", "--dry-run", "--json", state=other / "state")
    findings = {one["finding"]["resource_id"] for one in json.loads(looked.stdout)["outcomes"]}
    assert findings == now - found, "exactly the volumes made after the backup are left over in the pool"


@pytest.fixture
def archive(processes: Processes, tmp_path: Path) -> Path:
    """A backup of a small cloud that is not running any more."""
    cloud = DeployedCloud(processes, tmp_path)
    process = cloud.start()
    with User(cloud) as user:
        user.upload(b"stone" * 1000)
    process.end()
    made = pumice("backup", "create", str(tmp_path), state=cloud.state)
    assert made.returncode == 0, made.stderr
    return next(tmp_path.glob("pumice-*.tar"))


def refused(archive: Path, state: Path, *words: str) -> str:
    """The sentence of a restore that is refused, and leaves nothing."""
    before = sorted(os.listdir(state.parent))
    done = pumice("backup", "restore", str(archive), *words, state=state)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(state.parent)) == before
    return done.stderr


def rewritten(archive: Path, target: Path, change: Callable[[tarfile.TarInfo, bytes], bytes | None]) -> Path:
    """The same archive with members changed, or left out."""
    import io

    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            data = change(member, stream.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return target


def test_what_cannot_be_restored_is_refused_with_the_reason(archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "full").mkdir()
    (home / "full" / "file").touch()
    assert "is not empty" in refused(archive, home / "full")

    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    assert "cannot be read as a backup" in refused(cut, home / "new")

    def without_manifest(member: tarfile.TarInfo, data: bytes) -> bytes | None:
        return None if member.name == "manifest.json" else data

    assert "it has no manifest" in refused(rewritten(archive, tmp_path / "a.tar", without_manifest), home / "new")

    def other_bytes(member: tarfile.TarInfo, data: bytes) -> bytes:
        return data[:-1] + b"X" if member.name.startswith("images/") else data

    damaged = rewritten(archive, tmp_path / "b.tar", other_bytes)
    assert "is damaged" in refused(damaged, home / "new")

    def newer(member: tarfile.TarInfo, data: bytes) -> bytes:
        if member.name != "manifest.json":
            return data
        return json.dumps({**json.loads(data), "migration": "9999"}).encode()

    assert "made by a newer Pumice" in refused(rewritten(archive, tmp_path / "c.tar", newer), home / "new")

    def escaping(member: tarfile.TarInfo, data: bytes) -> bytes:
        if member.name == "state/clouds.yaml":
            member.name = "../escaped"
        return data

    assert "'../escaped'" in refused(rewritten(archive, tmp_path / "d.tar", escaping), home / "new")
    assert not list(tmp_path.rglob("escaped"))


def test_a_backup_goes_into_postgresql_too(archive: Path, tmp_path: Path, databases: Databases) -> None:
    with databases.fresh("postgresql") as url:
        done = pumice("backup", "restore", str(archive), "--database", url, state=tmp_path / "restored")
        assert done.returncode == 0, done.stderr
        assert f'database = "{url}"' in (tmp_path / "restored" / "pumice.toml").read_text()
        assert not (tmp_path / "restored" / "pumice.db").exists()
        shown = pumice("config", "--json", state=tmp_path / "restored")
        assert any(one["name"] == "database" and "postgresql" in one["value"] for one in json.loads(shown.stdout))
        again = pumice("backup", "restore", str(archive), "--database", url, state=tmp_path / "second")
        assert again.returncode == 1
        assert "the target is not empty" in again.stderr


def test_a_backup_never_writes_over_a_file(archive: Path, tmp_path: Path) -> None:
    again = pumice("backup", "create", str(archive), state=tmp_path / "state")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    nowhere = pumice("backup", "create", str(tmp_path / "x.tar"), state=tmp_path / "nothing")
    assert "there is no cloud" in nowhere.stderr
