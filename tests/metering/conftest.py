"""The database of `tests.metering.world`, of both kinds."""

from collections.abc import Iterator

import pytest

from tests.metering.world import Meters, prepare
from tests.support.databases import Databases


@pytest.fixture
def meters(database_kind: str, databases: Databases) -> Iterator[Meters]:
    with databases.fresh(database_kind, prepare) as url:
        made = Meters(url)
        yield made
        made.database.close()
