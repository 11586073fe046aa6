"""Guessing is slowed for a pair of (user, address), by a simulated clock; nobody else waits, the rows are bounded."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import func, insert, select

from pumice.clock import HOUR, SECOND, ManualClock
from pumice.db.engine import Database, Transaction
from pumice.db.schema import login_attempts
from pumice.db.upgrade import upgrade
from pumice.errors import TooManyRequests, Unauthorized
from pumice.identity import application_credentials, logins, tokens, users
from pumice.identity.bootstrap import bootstrap
from pumice.identity.logins import FREE, LONGEST, MOST, Candidate, CredentialName, ScopeName, UserName
from pumice.identity.model import ApplicationCredential, UserChange
from tests.support.databases import Databases

pytestmark = pytest.mark.real

ADMIN = UserName(name="admin", domain_id="default")
ATTACKER, HOME = "203.0.113.9", "192.0.2.1"


class Door:
    """Logins with a clock that is moved by hand."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock = database, clock

    def knock(self, name: UserName | CredentialName = ADMIN, client: str = ATTACKER) -> Candidate:
        with self.database.read() as tx:
            if isinstance(name, CredentialName):
                return logins.look_up_credential(tx, name, client)
            return logins.look_up(tx, name, client)

    def fail(self, name: UserName | CredentialName = ADMIN, client: str = ATTACKER, times: int = 1) -> None:
        for _ in range(times):
            candidate = self.knock(name, client)
            with self.database.write() as tx:
                logins.note_failure(tx, candidate, client)

    def wait_asked(self, name: UserName | CredentialName = ADMIN, client: str = ATTACKER) -> int:
        """The seconds of Retry-After."""
        with pytest.raises(TooManyRequests) as refused:
            self.knock(name, client)
        return refused.value.retry_after

    def succeed(self, name: UserName | CredentialName = ADMIN, client: str = HOME) -> str:
        candidate = self.knock(name, client)
        with self.database.write() as tx:
            return logins.succeed(tx, candidate, client, ScopeName(), 3600)[0]

    def rows(self) -> int:
        with self.database.read() as tx:
            return int(tx.execute(select(func.count()).select_from(login_attempts)).scalar_one())


def prepare(url: str) -> None:
    database = Database(url)
    upgrade(database)
    with TemporaryDirectory() as state:
        bootstrap(database, Path(state), "http://127.0.0.1:8776/identity/v3", "RegionOne", "pumice")
    database.close()


@pytest.fixture
def door(database_kind: str, databases: Databases) -> Iterator[Door]:
    with databases.fresh(database_kind, prepare) as url:
        clock = ManualClock()
        opened = Database(url, clock=clock)
        try:
            yield Door(opened, clock)
        finally:
            opened.close()


def credential(door: Door, until: int | None = None) -> ApplicationCredential:
    """One of the administrator's."""
    digest = tokens.digest(door.succeed())
    with door.database.write() as tx:
        grant = tokens.evaluate(tx, digest)
        assert grant.project is not None
        new = ApplicationCredential("c" * 32, grant.user.id, grant.project.id, "ci", None, False, until, tx.now)
        secret_hash = application_credentials.new_secret()[1]
        return application_credentials.create(tx, new, secret_hash, (), grant.roles, ()).credential


def test_each_further_try_waits_twice_as_long_up_to_a_minute(door: Door) -> None:
    door.fail(times=FREE)
    for pause in (1, 2, 4, 8, 16, 32, LONGEST, LONGEST):
        assert door.wait_asked() == pause
        door.clock.advance(pause * SECOND - 1)
        assert door.wait_asked() == 1
        door.clock.advance(1)
        door.fail()


def test_the_administrator_logs_in_elsewhere_while_one_address_or_many_attack(door: Door) -> None:
    door.fail(times=FREE)
    for number in range(50):
        door.fail(client=f"198.51.100.{number}", times=FREE)
    assert door.wait_asked() >= 1
    assert door.wait_asked(client="198.51.100.7") >= 1
    assert door.succeed()
    assert door.wait_asked() >= 1


def test_a_success_forgives_this_address_and_no_other(door: Door) -> None:
    door.fail(client=HOME, times=FREE - 1)
    door.fail(times=FREE - 1)
    door.succeed()
    assert door.knock(client=HOME).failures == 0
    assert door.knock().failures == FREE - 1


@pytest.mark.parametrize(
    "name",
    [
        UserName(name="nobody", domain_id="default"),
        UserName(id="f" * 32),
        CredentialName(id="f" * 32),
        CredentialName(name="none", user=ADMIN),
    ],
)
def test_those_who_are_not_there_are_slowed_as_those_who_are(door: Door, name: UserName | CredentialName) -> None:
    assert door.knock(name).secret_hash is None
    door.fail(name, times=FREE)
    assert door.wait_asked(name) == 1
    assert door.knock().failures == 0


def test_an_application_credential_is_slowed_apart_from_its_user(door: Door) -> None:
    made = credential(door)
    door.fail(CredentialName(id=made.id), times=FREE)
    assert door.wait_asked(CredentialName(id=made.id)) == 1
    assert door.wait_asked(CredentialName(name="ci", user=ADMIN)) == 1
    assert door.knock().failures == 0
    assert door.succeed(CredentialName(name="ci", user=ADMIN), client=HOME)


def test_an_application_credential_ends_with_its_tokens(door: Door) -> None:
    made = credential(door, until=door.clock.now() + 10 * SECOND)
    digest = tokens.digest(door.succeed(CredentialName(id=made.id)))
    with door.database.read() as tx:
        assert tokens.evaluate(tx, digest).expires_at == made.expires_at
    door.clock.advance(10 * SECOND)
    with door.database.read() as tx, pytest.raises(Unauthorized):
        tokens.evaluate(tx, digest)
    assert door.knock(CredentialName(id=made.id)).secret_hash is None


def test_failures_are_forgotten_after_a_quiet_hour(door: Door) -> None:
    door.fail(times=FREE)
    door.clock.advance(HOUR + SECOND)
    door.fail(UserName(name="somebody else", domain_id="default"))
    assert door.rows() == 1
    assert door.knock().failures == 0


def test_the_rows_of_failures_are_bounded_and_the_oldest_go(door: Door) -> None:
    door.fail()
    door.clock.advance(SECOND)
    with door.database.write() as tx:
        fill(tx, MOST - 1)
    assert door.rows() == MOST
    door.clock.advance(SECOND)
    door.fail(client="198.51.100.1")
    assert door.rows() == MOST
    assert door.knock().failures == 0
    assert door.knock(client="198.51.100.1").failures == 1


def fill(tx: Transaction, count: int) -> None:
    rows = [
        {"user_id": f"unknown:{number}", "client": ATTACKER, "failures": 1, "last_at": tx.now + number}
        for number in range(count)
    ]
    tx.execute(insert(login_attempts), rows)


def test_a_password_that_was_changed_while_it_was_checked_gives_no_token(door: Door) -> None:
    """Else a token of the old password would outlive the change that ends them all."""
    candidate = door.knock()
    assert candidate.user_id is not None
    with door.database.write() as tx:
        users.change(tx, candidate.user_id, UserChange(password_hash="another"))  # noqa: S106
    with door.database.write() as tx, pytest.raises(Unauthorized):
        logins.succeed(tx, candidate, HOME, ScopeName(), 3600)
    with door.database.write() as tx, pytest.raises(Unauthorized):
        users.replace_password(tx, candidate.user_id, candidate.secret_hash, "mine again")
    door.succeed()
