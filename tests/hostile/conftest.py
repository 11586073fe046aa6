"""One world on each database for all tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.cloud import prepare
from tests.hostile.world import World, made
from tests.support.databases import KINDS, Databases


@pytest.fixture(scope="module", params=KINDS)
def world(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with databases.fresh(str(request.param), prepare) as url, made(url, folder) as cloud:
        yield cloud


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a route's declared types refuse does not reach the database: on PostgreSQL a part of it runs each time."""
    for item in items:
        if item.path.name == "test_bodies.py" and "[postgresql-" in item.name and item.path.parent.name == "hostile":
            item.add_marker(pytest.mark.campaign)
