"""A toy cloud on each database, shared by the tests of one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud import ToyCloud
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
