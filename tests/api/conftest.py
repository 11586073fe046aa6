"""A toy cloud on each database, and the volume face on each, shared by the tests of one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud import ToyCloud
from tests.api.volume_cloud import Account, ServedCloud, serving
from tests.block.cloud import prepare
from tests.support.databases import KINDS, Databases


@pytest.fixture(scope="module", params=KINDS)
def cloud(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ToyCloud]:
    state: Path = tmp_path_factory.mktemp("cloud") / "state"
    with databases.fresh(str(request.param)) as url:
        served = ToyCloud(state, url)
        try:
            yield served
        finally:
            served.close()


@pytest.fixture(scope="module")
def admin(cloud: ToyCloud) -> dict[str, str]:
    return cloud.token("admin", "admin")


@pytest.fixture(scope="module")
def demo(cloud: ToyCloud) -> dict[str, str]:
    return cloud.token("demo", "demo")


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedCloud]:
    with (
        databases.fresh(str(request.param), prepare) as url,
        serving(url, tmp_path_factory.mktemp("served")) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def alive(request: pytest.FixtureRequest) -> None:
    """No agent reports here; without a new report a backend counts as down while a long file of tests still runs."""
    if "served" in request.fixturenames:
        made: ServedCloud = request.getfixturevalue("served")
        made.cloud.report()
        made.cloud.report_host()


@pytest.fixture
def user(served: ServedCloud) -> Account:
    """A member of a project of its own."""
    return served.account()


@pytest.fixture(scope="module")
def guest(served: ServedCloud) -> Account:
    """A member shared by tests that leave nothing behind."""
    return served.account()


@pytest.fixture(scope="module")
def reader(served: ServedCloud, guest: Account) -> Account:
    """One who may look at the guest's project."""
    return served.account("reader", guest.project_id)


@pytest.fixture
def nova(served: ServedCloud, user: Account) -> Account:
    """Compute, calling for that user's project."""
    return served.nova(user)


@pytest.fixture(scope="module")
def operator(served: ServedCloud) -> Account:
    """An administrator of a project of their own."""
    return served.account("admin")
