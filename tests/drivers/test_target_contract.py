"""The contract of a target driver, held by the local target."""

import uuid
from pathlib import Path

import msgspec
import pytest

from pumice.outcomes import Removed
from pumice.storage.contract import Location
from pumice.targets.config import TargetConfig
from pumice.targets.contract import Connector, Export, Incompatible, TargetDown, TargetDriver, TargetError
from pumice.targets.registry import DRIVERS

pytestmark = pytest.mark.fast

HERE = Connector(host="node1")
VOLUME, ATTACHMENT, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
PLACE = Location(kind="file", path="/pool/volume.raw", size_bytes=1 << 30)


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> TargetDriver:
    made = DRIVERS[request.param](TargetConfig(name="test", host="node1", directory=str(tmp_path / "exports")))
    made.start()
    return made


def test_connection_info_names_the_path_and_is_the_same_when_asked_again(target: TargetDriver) -> None:
    info = target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False)
    assert msgspec.to_builtins(info) == {
        "driver_volume_type": "local",
        "data": {
            "device_path": "/pool/volume.raw",
            "access_mode": "rw",
            "volume_id": VOLUME,
            "attachment_id": ATTACHMENT,
            "discard": True,
        },
    }
    assert target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False) == info
    assert target.exports() == [Export(VOLUME, ATTACHMENT)]


def test_read_only_is_in_the_connection_info(target: TargetDriver) -> None:
    target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False)
    assert target.connect(VOLUME, ATTACHMENT, PLACE, HERE, True).data["access_mode"] == "ro"
    assert target.exports() == [Export(VOLUME, ATTACHMENT)]


def test_disconnect_takes_one_export_and_may_be_repeated(target: TargetDriver) -> None:
    target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False)
    target.connect(VOLUME, OTHER, PLACE, HERE, False)
    assert target.disconnect(VOLUME, ATTACHMENT) is Removed.DELETED
    assert target.disconnect(VOLUME, ATTACHMENT) is Removed.WAS_ABSENT
    assert target.exports() == [Export(VOLUME, OTHER)]


def test_exports_survive_the_process(target: TargetDriver, tmp_path: Path) -> None:
    target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False)
    again = DRIVERS["local"](TargetConfig(name="test", host="node1", directory=str(tmp_path / "exports")))
    again.start()
    assert again.exports() == [Export(VOLUME, ATTACHMENT)]


def test_another_host_is_refused_naming_both(target: TargetDriver) -> None:
    with pytest.raises(Incompatible, match=r"host node1 .* host node2"):
        target.connect(VOLUME, ATTACHMENT, PLACE, Connector(host="node2"), False)
    with pytest.raises(Incompatible, match="names no host"):
        target.connect(VOLUME, ATTACHMENT, PLACE, Connector(), False)
    assert target.exports() == []


def test_a_location_that_has_no_path_here_is_refused(target: TargetDriver) -> None:
    with pytest.raises(Incompatible, match="rbd"):
        target.connect(VOLUME, ATTACHMENT, Location(kind="rbd", path="pool/image", size_bytes=1), HERE, False)


def test_ids_never_become_paths(target: TargetDriver) -> None:
    for volume_id, attachment_id in (("../x", ATTACHMENT), (VOLUME, "../x"), (VOLUME, ATTACHMENT + "\n")):
        with pytest.raises(TargetError, match="not a UUID"):
            target.connect(volume_id, attachment_id, PLACE, HERE, False)
        with pytest.raises(TargetError, match="not a UUID"):
            target.disconnect(volume_id, attachment_id)


def test_a_missing_directory_is_a_problem_until_start_makes_it_again(target: TargetDriver, tmp_path: Path) -> None:
    assert target.check() == []
    (tmp_path / "exports").rmdir()
    assert [problem.name for problem in target.check()] == ["exports-missing"]
    with pytest.raises(TargetDown):
        target.exports()
    target.start()
    assert target.check() == []
