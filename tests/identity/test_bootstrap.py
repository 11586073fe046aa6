"""The first start, and starts after it: once only, whatever happens between the rows and the file."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pumice.db.engine import Database
from pumice.db.schema import role_assignments, users
from pumice.db.upgrade import upgrade
from pumice.errors import Unauthorized
from pumice.identity import logins, tokens
from pumice.identity.bootstrap import bootstrap
from pumice.identity.identity import Identity
from pumice.identity.logins import ScopeName, UserName
from pumice.identity.passwords import hash_now
from tests.support.databases import Databases

pytestmark = pytest.mark.real

CHOSEN = "chosen by hand"
URL = "http://127.0.0.1:8776/identity/v3"


def prepare(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


@pytest.fixture(name="database")
def empty_database(database_kind: str, databases: Databases) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url)
        yield opened
        opened.close()


def start(database: Database, state: Path, url: str = URL, password: str | None = None) -> bool:
    return bootstrap(database, state, url, "RegionOne", "pumice", password)


def count(database: Database) -> tuple[int, int]:
    with database.read() as tx:
        found = [
            tx.execute(select(func.count()).select_from(table)).scalar_one() for table in (users, role_assignments)
        ]
    return found[0], found[1]


def test_it_happens_once(database: Database, tmp_path: Path) -> None:
    assert start(database, tmp_path)
    before, text = count(database), (tmp_path / "clouds.yaml").read_text()
    assert not start(database, tmp_path, password=CHOSEN)
    assert (count(database), (tmp_path / "clouds.yaml").read_text()) == (before, text)
    assert CHOSEN not in text


def test_several_at_once_make_one(database: Database, tmp_path: Path) -> None:
    other = Database(database.url.render_as_string(hide_password=False))
    made: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: made.append(start(one, tmp_path))) for one in (database, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(made) == [False, True]
    assert count(database)[0] == 3


def test_a_death_between_the_rows_and_the_file_loses_no_password(database: Database, tmp_path: Path) -> None:
    start(database, tmp_path, password=CHOSEN)
    (tmp_path / "clouds.yaml").rename(tmp_path / "clouds.yaml.new")
    assert not start(database, tmp_path)
    assert CHOSEN in (tmp_path / "clouds.yaml").read_text()
    assert not (tmp_path / "clouds.yaml.new").exists()


def test_the_file_follows_the_address(database: Database, tmp_path: Path) -> None:
    start(database, tmp_path)
    start(database, tmp_path, "https://cloud.example/identity/v3")
    path = tmp_path / "clouds.yaml"
    assert path.read_text().count('auth_url: "https://cloud.example/identity/v3"') == 4
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_expired_token_is_worth_nothing_even_when_cached(database: Database, tmp_path: Path) -> None:
    start(database, tmp_path)
    identity = Identity()
    try:
        with database.write() as tx:
            found = logins.look_up(tx, UserName(name="demo", domain_id="default"), "127.0.0.1")
            text, grant = logins.succeed(tx, found, "127.0.0.1", ScopeName(), 60)
            digest = tokens.digest(text)
            assert identity.authenticate(tx, "r", digest, None).user_name == "demo"
            tx.now = grant.expires_at
            with pytest.raises(Unauthorized):
                identity.authenticate(tx, "r", digest, None)
            assert not identity.tokens.warm(digest)
    finally:
        identity.close()


def test_hashes_are_argon2id_and_salted() -> None:
    first, second = hash_now("the same"), hash_now("the same")
    assert first.startswith("$argon2id$")
    assert first != second
