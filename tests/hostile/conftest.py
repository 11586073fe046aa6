"""One world on each database for all tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.cloud import prepare
from tests.hostile.world import World, made
from tests.support.databases import KINDS, Databases


@pytest.fixture(scope="package", params=KINDS)
def world(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with databases.fresh(str(request.param), prepare) as url, made(url, folder) as cloud:
        yield cloud


WITHOUT_A_DATABASE = (
    "test_bodies.py",
    "test_addresses.py",
    "test_values.py",
    "test_who_has_no_valid_token_is_told_so",
    "test_who_may_and_who_may_not",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What types and rules refuse is decided before the database is asked: on PostgreSQL a part runs each time, and all
    of it in `make chaos`."""
    for item in items:
        mine = item.path.parent.name == "hostile" and "[postgresql-" in item.name
        if mine and any(name in item.nodeid for name in WITHOUT_A_DATABASE):
            item.add_marker(pytest.mark.campaign)
