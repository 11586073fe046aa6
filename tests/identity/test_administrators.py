"""Somebody can always administer: whoever is the last one stays, also when two are taken away at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pumice.db.engine import Database
from pumice.errors import Forbidden
from pumice.identity import domains, roles, users
from pumice.identity.model import SYSTEM_TARGET, Assignment, DomainChange, User, UserChange
from tests.identity.test_brute_force import prepare
from tests.support.databases import Databases

pytestmark = pytest.mark.real


@pytest.fixture
def database(database_kind: str, databases: Databases) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url)
        try:
            yield opened
        finally:
            opened.close()


def administrators(database: Database) -> dict[str, str]:
    """Id and domain of those who can administer."""
    with database.read() as tx:
        return {one.id: one.domain_id for one in roles.administrators(tx)}


def another(database: Database, domain_id: str = "default") -> str:
    """The id of one more administrator."""
    with database.write() as tx:
        made = User("b" * 32, domain_id, "second", "", None, True, None, None, tx.now)
        users.create(tx, made, None)
        (role,) = roles.listing(tx, "admin")
        roles.assign(tx, Assignment(made.id, role.id, "system", SYSTEM_TARGET))
    return made.id


def enable(database: Database, user_id: str, enabled: bool) -> bool:
    """False: refused."""
    try:
        with database.write() as tx:
            users.change(tx, user_id, UserChange(enabled=enabled))
    except Forbidden:
        return False
    return True


def test_of_two_who_are_disabled_at_once_one_stays(database: Database) -> None:
    (first,) = administrators(database)
    both = (first, another(database))
    with ThreadPoolExecutor(2) as threads:
        for _ in range(25):
            start = Barrier(2)

            def disable(user_id: str, start: Barrier = start) -> bool:
                start.wait(10)
                return enable(database, user_id, False)

            assert sorted(threads.map(disable, both)) == [False, True]
            assert len(administrators(database)) == 1
            assert all(enable(database, one, True) for one in both)


def test_the_domain_of_the_last_one_stays_enabled(database: Database) -> None:
    (first,) = administrators(database)
    with database.write() as tx:
        domains.create(tx, "elsewhere", "Elsewhere")
    another(database, "elsewhere")
    assert enable(database, first, False)
    with pytest.raises(Forbidden, match="holds the last administrators"), database.write() as tx:
        domains.change(tx, "elsewhere", DomainChange(enabled=False))
    assert enable(database, first, True)
    with database.write() as tx:
        domains.change(tx, "elsewhere", DomainChange(enabled=False))
    assert set(administrators(database)) == {first}
