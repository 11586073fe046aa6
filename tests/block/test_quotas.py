"""Quotas count what is there, whoever else asks at the same moment, on both databases."""

import threading

import pytest

from pumice.block import quotas, snapshots, volume_creation, volume_types, volumes
from pumice.block.quotas import Quota
from pumice.block.volume_creation import Wanted
from pumice.block.volume_types import NewType
from pumice.errors import BadRequest, InvalidField, QuotaExceeded
from tests.block.cloud import BlockCloud

pytestmark = pytest.mark.real


def limit(cloud: BlockCloud, **limits: int) -> None:
    assert cloud.member.project_id is not None
    cloud.write(quotas.set_for_project, cloud.member.project_id, limits)


def used(cloud: BlockCloud) -> dict[str, Quota]:
    assert cloud.member.project_id is not None
    return cloud.read(quotas.of_project, cloud.member.project_id)


def make(cloud: BlockCloud, size: int = 1, volume_type: str | None = None) -> str:
    found = cloud.write(volume_creation.create, cloud.member, Wanted(size=size, volume_type=volume_type))
    cloud.drain()
    return found.volume.id


def take_snapshot(cloud: BlockCloud, volume_id: str) -> None:
    cloud.write(
        snapshots.create, cloud.member, volume_id, name=None, description=None, metadata={}, in_use_allowed=False
    )
    cloud.drain()


def test_the_volume_after_the_last_is_refused_and_a_deleted_one_makes_room(cloud: BlockCloud) -> None:
    limit(cloud, volumes=2)
    first = make(cloud)
    make(cloud)
    with pytest.raises(QuotaExceeded, match=r"Maximum number of volumes allowed \(2\) exceeded for quota 'volumes'"):
        make(cloud)
    assert used(cloud)["volumes"] == Quota(2, 2)
    cloud.write(volumes.delete, cloud.member, first)
    cloud.drain()
    make(cloud)


def test_gigabytes_count_volumes_growth_and_snapshots(cloud: BlockCloud) -> None:
    limit(cloud, gigabytes=5)
    volume_id = make(cloud, size=2)
    take_snapshot(cloud, volume_id)
    said = r"exceeds allowed gigabytes quota\. Requested 2G, quota is 5G and 4G has been consumed"
    with pytest.raises(QuotaExceeded, match=said):
        make(cloud, size=2)
    with pytest.raises(QuotaExceeded, match=said):
        cloud.write(volumes.extend, cloud.member, volume_id, 4, in_use_allowed=False)
    cloud.write(volumes.extend, cloud.member, volume_id, 3, in_use_allowed=False)
    cloud.drain()
    assert used(cloud)["gigabytes"] == Quota(5, 5)
    assert used(cloud)["gigabytes___DEFAULT__"] == Quota(-1, 5)


def test_snapshots_have_a_number_of_their_own(cloud: BlockCloud) -> None:
    limit(cloud, snapshots=1)
    volume_id = make(cloud)
    take_snapshot(cloud, volume_id)
    with pytest.raises(QuotaExceeded, match="Maximum number of snapshots"):
        take_snapshot(cloud, volume_id)
    assert used(cloud)["snapshots"] == Quota(1, 1)


def test_a_volume_may_not_be_larger_than_one_may_be(cloud: BlockCloud) -> None:
    limit(cloud, per_volume_gigabytes=2)
    volume_id = make(cloud, size=2)
    with pytest.raises(QuotaExceeded, match="3G exceeds the maximum allowed size of one volume, 2G"):
        make(cloud, size=3)
    with pytest.raises(QuotaExceeded, match="3G exceeds"):
        cloud.write(volumes.extend, cloud.member, volume_id, 3, in_use_allowed=False)


def test_a_type_has_limits_that_stay_its_own_under_another_name(cloud: BlockCloud) -> None:
    kind = cloud.write(volume_types.create, NewType(name="fast"))
    limit(cloud, volumes_fast=1)
    make(cloud, volume_type="fast")
    make(cloud)
    with pytest.raises(QuotaExceeded, match="quota 'volumes_fast'"):
        make(cloud, volume_type="fast")
    cloud.write(volume_types.change, cloud.admin, kind.id, {"name": "quick"})
    assert used(cloud)["volumes_quick"] == Quota(1, 1)


def test_a_project_without_limits_of_its_own_has_those_of_the_default_class(cloud: BlockCloud) -> None:
    cloud.write(quotas.set_for_class, "default", {"volumes": 1})
    make(cloud)
    with pytest.raises(QuotaExceeded):
        make(cloud)
    limit(cloud, volumes=2)
    make(cloud)
    assert cloud.member.project_id is not None
    cloud.write(quotas.reset, cloud.member.project_id)
    assert used(cloud)["volumes"] == Quota(1, 2)


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        ({"volume": 1}, BadRequest, r"Bad key\(s\) in quota set: volume"),
        ({"volumes": -2}, InvalidField, "from -1"),
        ({"volumes": 1 << 40}, InvalidField, "from -1"),
        ({"volumes": "many"}, InvalidField, "from -1"),
        ({"volumes": True}, InvalidField, "from -1"),
        ({"volumes": [1]}, InvalidField, "from -1"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(
    cloud: BlockCloud, wanted: dict[str, object], error: type[BadRequest], said: str
) -> None:
    with pytest.raises(error, match=said):
        cloud.write(quotas.set_for_project, "project", wanted)


def test_of_many_requests_at_once_exactly_the_allowed_number_is_made(cloud: BlockCloud) -> None:
    limit(cloud, volumes=3)
    refused: list[QuotaExceeded] = []

    def ask() -> None:
        try:
            cloud.write(volume_creation.create, cloud.member, Wanted(size=1))
        except QuotaExceeded as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert used(cloud)["volumes"] == Quota(3, 3)
    cloud.drain()
