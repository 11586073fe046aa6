"""A database with the schema, of both kinds, and an image store beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.caller import Caller, new_id, new_request_id
from pumice.db.engine import Database
from pumice.db.schema import metadata
from pumice.images.store import ImageStore
from tests.support.databases import Databases


def prepare(url: str) -> None:
    database = Database(url)
    metadata.create_all(database.engine)
    database.close()


@pytest.fixture
def schema_url(database_kind: str, databases: Databases) -> Iterator[str]:
    with databases.fresh(database_kind, prepare) as url:
        yield url


@pytest.fixture
def database(schema_url: str) -> Iterator[Database]:
    opened = Database(schema_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    opened = ImageStore(tmp_path / "images")
    try:
        yield opened
    finally:
        opened.close()


def caller(*roles: str, project_id: str | None = None) -> Caller:
    return Caller(
        request_id=new_request_id(),
        user_id=new_id(),
        project_id=project_id or new_id(),
        roles=frozenset(roles or ("member",)),
    )


@pytest.fixture
def owner() -> Caller:
    return caller()


@pytest.fixture
def stranger() -> Caller:
    return caller()


@pytest.fixture
def admin() -> Caller:
    return caller("admin")
