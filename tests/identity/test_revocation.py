"""What ends tokens and application credentials, each way, on both databases: at once, and in another process too."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from pumice.db.engine import Database
from pumice.db.schema import role_assignments
from pumice.identity import generation
from tests.api.cloud import ToyCloud

pytestmark = pytest.mark.real


class Somebody:
    """A user in a project of a domain of its own, with a token and two application credentials, known everywhere.

    `member` grants every role, `reader` only that of looking."""

    def __init__(self, cloud: ToyCloud, other: httpx.Client, admin: dict[str, str]) -> None:
        self.cloud, self.other, self.admin = cloud, other, admin
        cloud.count += 1
        self.name, self.password = f"somebody-{cloud.count}", "old"
        self.domain_id = self.post("domains", {"name": self.name})["id"]
        self.project_id = self.post("projects", {"name": self.name, "domain_id": self.domain_id})["id"]
        user = {"name": self.name, "domain_id": self.domain_id, "password": self.password}
        self.id = self.post("users", user)["id"]
        self.role("PUT", "member")
        self.role("PUT", "reader")
        self.token = self.login()
        self.member = self.credential("for-all")
        self.reader = self.credential("for-looking", roles=[{"name": "reader"}])
        self.by_member, self.by_reader = self.use(self.member), self.use(self.reader)
        assert self.seen() == [200, 200, 200]

    def post(self, plural: str, fields: dict[str, Any]) -> dict[str, Any]:
        noun = plural[:-1]
        answer = self.cloud.http.post(f"/identity/v3/{plural}", headers=self.admin, json={noun: fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()[noun]
        return made

    def patch(self, path: str, **fields: Any) -> None:
        noun = path.split("/")[0][:-1]
        answer = self.cloud.http.patch(f"/identity/v3/{path}", headers=self.admin, json={noun: fields})
        assert answer.status_code == 200, answer.text

    def delete(self, path: str) -> None:
        answer = self.cloud.http.delete(f"/identity/v3/{path}", headers=self.admin)
        assert answer.status_code == 204, answer.text

    def role(self, method: str, name: str) -> None:
        role_id = self.cloud.id_of(self.admin, "roles", name)
        path = f"/identity/v3/projects/{self.project_id}/users/{self.id}/roles/{role_id}"
        assert self.cloud.http.request(method, path, headers=self.admin).status_code == 204

    def login(self) -> dict[str, str]:
        answer = self.try_login()
        assert answer.status_code == 201, answer.text
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def try_login(self) -> httpx.Response:
        user = {"id": self.id, "password": self.password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"id": self.project_id}},
        }
        return self.cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})

    def credential(self, name: str, **fields: Any) -> dict[str, str]:
        path = f"/identity/v3/users/{self.id}/application_credentials"
        body = {"application_credential": {"name": name, **fields}}
        made = self.cloud.http.post(path, headers=self.token, json=body).json()["application_credential"]
        return {"id": made["id"], "secret": made["secret"]}

    def try_use(self, credential: dict[str, str]) -> httpx.Response:
        identity = {"methods": ["application_credential"], "application_credential": credential}
        return self.cloud.http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})

    def use(self, credential: dict[str, str]) -> dict[str, str]:
        answer = self.try_use(credential)
        assert answer.status_code == 201, answer.text
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def seen(self) -> list[int]:
        """What the three tokens are answered: the same by both processes."""
        answers = [
            [client.get("/volume/v3/who", headers=token).status_code for client in (self.other, self.cloud.http)]
            for token in (self.token, self.by_member, self.by_reader)
        ]
        assert all(here == there for here, there in answers), answers
        return [here for here, _ in answers]

    def usable(self) -> list[int]:
        """Whether the credentials still log in."""
        return [self.try_use(one).status_code for one in (self.member, self.reader)]


@pytest.fixture(scope="module", name="other")
def other_process(cloud: ToyCloud) -> httpx.Client:
    return cloud.serve()


@pytest.fixture
def somebody(cloud: ToyCloud, other: httpx.Client, admin: dict[str, str]) -> Somebody:
    return Somebody(cloud, other, admin)


def disable_user(one: Somebody) -> None:
    one.patch(f"users/{one.id}", enabled=False)


def disable_project(one: Somebody) -> None:
    one.patch(f"projects/{one.project_id}", enabled=False)


def disable_domain(one: Somebody) -> None:
    one.patch(f"domains/{one.domain_id}", enabled=False)


def enable(one: Somebody) -> None:
    one.patch(f"domains/{one.domain_id}", enabled=True)
    one.patch(f"projects/{one.project_id}", enabled=True)
    one.patch(f"users/{one.id}", enabled=True)


@pytest.mark.parametrize("disable", [disable_user, disable_project, disable_domain])
def test_disabling_ends_the_tokens_for_good_and_credentials_meanwhile(
    somebody: Somebody, disable: Callable[[Somebody], None]
) -> None:
    disable(somebody)
    assert somebody.seen() == [401, 401, 401]
    assert somebody.usable() == [401, 401]
    assert somebody.try_login().status_code == 401
    enable(somebody)
    assert somebody.seen() == [401, 401, 401]
    assert somebody.try_login().status_code == 201
    assert somebody.usable() == [201, 201]


def test_deleting_the_project_ends_everything(somebody: Somebody) -> None:
    path = f"/identity/v3/users/{somebody.id}/application_credentials"
    somebody.delete(f"projects/{somebody.project_id}")
    assert somebody.seen() == [401, 401, 401]
    assert somebody.usable() == [401, 401]
    listed = somebody.cloud.http.get(path, headers=somebody.admin).json()["application_credentials"]
    assert listed == []


def test_deleting_the_user_ends_everything(somebody: Somebody) -> None:
    somebody.delete(f"users/{somebody.id}")
    assert somebody.seen() == [401, 401, 401]
    assert somebody.usable() == [401, 401]
    somebody.delete(f"projects/{somebody.project_id}")
    somebody.patch(f"domains/{somebody.domain_id}", enabled=False)
    somebody.delete(f"domains/{somebody.domain_id}")


def test_a_password_of_the_administrators_ends_the_tokens_and_leaves_the_credentials(somebody: Somebody) -> None:
    somebody.patch(f"users/{somebody.id}", password="new")  # noqa: S106
    assert somebody.seen() == [401, 401, 401]
    assert somebody.try_login().status_code == 401
    assert somebody.usable() == [201, 201]


def test_a_password_of_ones_own_does_the_same(somebody: Somebody) -> None:
    change = {"user": {"password": "new", "original_password": somebody.password}}
    path = f"/identity/v3/users/{somebody.id}/password"
    assert somebody.cloud.http.post(path, headers=somebody.token, json=change).status_code == 204
    assert somebody.seen() == [401, 401, 401]
    assert somebody.usable() == [201, 201]


def test_taking_a_role_away_ends_the_credentials_that_grant_it(somebody: Somebody) -> None:
    somebody.role("DELETE", "member")
    assert somebody.seen() == [200, 401, 200]
    assert somebody.usable() == [401, 201]
    somebody.role("PUT", "member")
    assert somebody.seen() == [200, 401, 200]
    assert somebody.usable() == [401, 201]


def test_taking_the_last_role_away_ends_all_for_good(somebody: Somebody) -> None:
    somebody.role("DELETE", "member")
    somebody.role("DELETE", "reader")
    assert somebody.seen() == [401, 401, 401]
    somebody.role("PUT", "member")
    assert somebody.seen() == [401, 401, 401]
    assert somebody.usable() == [401, 401]


def test_deleting_a_role_ends_the_credentials_that_grant_it(somebody: Somebody) -> None:
    extra = somebody.post("roles", {"name": f"extra of {somebody.name}"})
    somebody.role("PUT", extra["name"])
    by_extra = somebody.use(somebody.credential("extra", roles=[{"id": extra["id"]}, {"name": "reader"}]))
    clients = (somebody.other, somebody.cloud.http)
    assert [client.get("/volume/v3/who", headers=by_extra).status_code for client in clients] == [200, 200]
    somebody.delete(f"roles/{extra['id']}")
    assert [client.get("/volume/v3/who", headers=by_extra).status_code for client in clients] == [401, 401]
    assert somebody.seen() == [200, 200, 200]


def test_deleting_a_credential_ends_its_tokens_only(somebody: Somebody) -> None:
    somebody.delete(f"users/{somebody.id}/application_credentials/{somebody.member['id']}")
    assert somebody.seen() == [200, 401, 200]
    assert somebody.usable() == [401, 201]


def test_giving_a_token_back_ends_that_one_only(somebody: Somebody) -> None:
    headers = {**somebody.by_reader, "X-Subject-Token": somebody.by_reader["X-Auth-Token"]}
    assert somebody.cloud.http.delete("/identity/v3/auth/tokens", headers=headers).status_code == 204
    assert somebody.seen() == [200, 200, 401]
    assert somebody.usable() == [201, 201]


def test_a_role_that_went_by_another_road_is_missed_all_the_same(somebody: Somebody) -> None:
    """As when an operator mends rows by hand: what is evaluated counts, not what was cleaned up."""
    role_id = somebody.cloud.id_of(somebody.admin, "roles", "member")
    c = role_assignments.c
    database = Database(somebody.cloud.database_url)
    try:
        with database.write() as tx:
            tx.execute(delete(role_assignments).where(c.user_id == somebody.id, c.role_id == role_id))
            generation.advance(tx)
    finally:
        database.close()
    assert somebody.seen() == [200, 401, 200]
    assert somebody.usable() == [401, 201]
