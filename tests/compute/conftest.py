"""The cloud of `tests.compute.cloud`, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.cloud import prepare
from tests.compute.client import Client
from tests.compute.cloud import ComputeCloud
from tests.support.databases import Databases


@pytest.fixture
def cloud(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[ComputeCloud]:
    with databases.fresh(database_kind, prepare) as url:
        made = ComputeCloud(url, tmp_path)
        yield made
        made.assert_derived()
        made.close()


@pytest.fixture
def client(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[Client]:
    with databases.fresh(database_kind, prepare) as url:
        cloud = ComputeCloud(url, tmp_path)
        made = Client(cloud, tmp_path)
        with cloud.working():
            yield made
            cloud.wait_idle()
        cloud.assert_derived()
        made.close()
        cloud.close()
