"""A cloud in one process: blocks, compute with the memory hypervisor, and the reconciler."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.cloud import prepare
from tests.reconcile.cloud import Cloud
from tests.support.databases import Databases


@pytest.fixture
def cloud(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[Cloud]:
    with databases.fresh(database_kind, prepare) as url:
        made = Cloud(url, tmp_path)
        yield made
        made.close()
