"""The cloud of `tests.block.cloud`, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.cloud import BlockCloud, prepare
from tests.support.databases import Databases


@pytest.fixture
def cloud(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[BlockCloud]:
    with databases.fresh(database_kind, prepare) as url:
        made = BlockCloud(url, tmp_path)
        yield made
        made.close()
