"""Application credentials over real HTTP on both databases: made, used, limited by rules, and ended with their user."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.cloud import ToyCloud

pytestmark = pytest.mark.real

CHOSEN = "chosen ü"
HARMLESS = {"service": "volumev3", "method": "GET", "path": "/v3/who"}


class User:
    """Somebody with the role member in the project demo, and a token for it."""

    def __init__(self, cloud: ToyCloud, admin: dict[str, str], role: str = "member") -> None:
        self.cloud, self.admin = cloud, admin
        self.id, self.name, self.password = cloud.user(admin, role)
        self.token = cloud.token(self.name, "demo", self.password)
        self.path = f"/identity/v3/users/{self.id}"

    def ask(self, new: dict[str, Any], token: dict[str, str] | None = None) -> httpx.Response:
        body = {"application_credential": new}
        return self.cloud.http.post(f"{self.path}/application_credentials", headers=token or self.token, json=body)

    def make(self, **fields: Any) -> dict[str, Any]:
        answer = self.ask({"name": "ci", **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["application_credential"]
        return made

    def listed(self, **params: str) -> list[dict[str, Any]]:
        answer = self.cloud.http.get(f"{self.path}/application_credentials", headers=self.token, params=params)
        found: list[dict[str, Any]] = answer.json()["application_credentials"]
        return found

    def delete(self, credential_id: str, token: dict[str, str] | None = None) -> int:
        path = f"{self.path}/application_credentials/{credential_id}"
        return self.cloud.http.delete(path, headers=token or self.token).status_code


@pytest.fixture
def user(cloud: ToyCloud, admin: dict[str, str]) -> User:
    return User(cloud, admin)


def log_in(cloud: ToyCloud, credential: dict[str, Any], scope: Any = None) -> httpx.Response:
    auth: dict[str, Any] = {
        "identity": {"methods": ["application_credential"], "application_credential": credential},
    }
    if scope is not None:
        auth["scope"] = scope
    return cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})


def token_of(cloud: ToyCloud, made: dict[str, Any]) -> dict[str, str]:
    answer = log_in(cloud, {"id": made["id"], "secret": made["secret"]})
    assert answer.status_code == 201, answer.text
    return {"X-Auth-Token": answer.headers["X-Subject-Token"]}


def works(cloud: ToyCloud, token: dict[str, str], client: httpx.Client | None = None) -> int:
    return (client or cloud.http).get("/volume/v3/who", headers=token).status_code


def test_one_is_made_shown_listed_and_deleted_and_its_secret_is_seen_once(cloud: ToyCloud, user: User) -> None:
    made = user.make(description="for the pipeline", expires_at="2030-01-01T00:00:00")
    assert len(made["secret"]) >= 43
    assert (made["unrestricted"], made["expires_at"]) == (False, "2030-01-01T00:00:00.000000")
    assert sorted(role["name"] for role in made["roles"]) == ["member", "reader"]
    shown = {name: value for name, value in made.items() if name != "secret"}
    path = f"{user.path}/application_credentials/{made['id']}"
    assert cloud.http.get(path, headers=user.token).json() == {"application_credential": shown}
    user.make(name="other")
    assert user.listed(name="ci") == [shown]
    assert [one["name"] for one in user.listed()] == ["ci", "other"]
    assert user.delete(made["id"]) == 204
    assert user.delete(made["id"]) == 404
    assert [one["name"] for one in user.listed()] == ["other"]


def test_its_token_says_so_and_is_for_its_project(cloud: ToyCloud, user: User) -> None:
    made = user.make(roles=[{"name": "Reader"}])
    answer = log_in(cloud, {"id": made["id"], "secret": made["secret"]})
    token = answer.json()["token"]
    assert token["application_credential"] == {"id": made["id"], "name": "ci", "restricted": True}
    assert (token["methods"], token["project"]["name"]) == (["application_credential"], "demo")
    assert [role["name"] for role in token["roles"]] == ["reader"]
    mine = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert works(cloud, mine) == 200
    assert cloud.toy(mine, "by a reader").status_code == 403
    assert cloud.toy(user.token, "by the member").status_code == 202


def test_by_name_and_user_with_a_chosen_secret(cloud: ToyCloud, user: User) -> None:
    user.make(secret=CHOSEN, unrestricted=True)
    by_name = {"name": "ci", "secret": CHOSEN, "user": {"name": user.name, "domain": {"id": "default"}}}
    assert log_in(cloud, by_name).json()["token"]["application_credential"]["restricted"] is False
    assert log_in(cloud, {**by_name, "user": {"id": user.id}}).status_code == 201
    assert log_in(cloud, {**by_name, "user": {}}).status_code == 400
    assert log_in(cloud, {"name": "ci", "secret": CHOSEN}).status_code == 400
    assert log_in(cloud, {**by_name, "name": "none"}).status_code == 401


def test_no_other_scope_can_be_had(cloud: ToyCloud, user: User) -> None:
    made = user.make()
    known = {"id": made["id"], "secret": made["secret"]}
    project = {"project": {"name": "demo", "domain": {"id": "default"}}}
    assert log_in(cloud, known, project).status_code == 401
    assert log_in(cloud, known, {"system": {"all": True}}).status_code == 401
    cloud.grant(user.admin, user.id, "member", "admin")
    token = token_of(cloud, made)["X-Auth-Token"]

    def again(scope: Any) -> httpx.Response:
        auth = {"identity": {"methods": ["token"], "token": {"id": token}}, **({"scope": scope} if scope else {})}
        return cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})

    assert again({"project": {"name": "admin", "domain": {"id": "default"}}}).status_code == 403
    assert again("unscoped").status_code == 403
    for scope in (None, project):
        same = again(scope).json()["token"]
        assert (same["application_credential"]["id"], same["project"]["name"]) == (made["id"], "demo")


@pytest.mark.parametrize("chosen", [{}, {"secret": "chosen"}])
def test_wrong_secrets_are_401_then_slowed_down(cloud: ToyCloud, user: User, chosen: dict[str, str]) -> None:
    made = user.make(**chosen)
    answers = [log_in(cloud, {"id": made["id"], "secret": "wrong"}) for _ in range(7)]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert (answers[-1].status_code, int(answers[-1].headers["Retry-After"]) >= 1) == (429, True)
    assert cloud.login(user.name, user.password, "demo").status_code == 201
    assert log_in(cloud, {"id": "0" * 32, "secret": "wrong"}).status_code == 401


def test_a_wrong_secret_takes_as_long_whether_there_is_such_a_credential_or_not(cloud: ToyCloud, user: User) -> None:
    made = [user.make(name=f"made-{number}") for number in range(5)]
    chosen = [user.make(name=f"chosen-{number}", secret=CHOSEN) for number in range(5)]

    def median(ids: list[str]) -> float:
        times = []
        for identifier in ids:
            begin = time.perf_counter()
            assert log_in(cloud, {"id": identifier, "secret": "wrong"}).status_code == 401
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    unknown = median([f"{number:032x}" for number in range(5)])
    assert 0.3 < median([one["id"] for one in made]) / unknown < 3
    assert 0.3 < median([one["id"] for one in chosen]) / unknown < 3


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "x", "secret": ""}, "secret"),
        ({"name": "x", "secret": 7}, "secret"),
        ({"name": "x", "roles": [{"name": "admin"}]}, "'admin' is not one that you have"),
        ({"name": "x", "roles": [{"id": "0" * 32}]}, "is not one that you have"),
        ({"name": "x", "roles": [{}]}, "roles"),
        ({"name": "x", "roles": "member"}, "roles"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "unrestricted": "yes"}, "unrestricted"),
        ({"name": "x", "access_rules": [{"service": "volumev3", "method": "GET"}]}, "access_rules"),
        ({"name": "x", "access_rules": [{**HARMLESS, "method": "FETCH"}]}, "method"),
        ({"name": "x", "access_rules": [{**HARMLESS, "path": "v3"}]}, "path"),
        ({"name": "x", "access_rules": [{**HARMLESS, "path": "/" + "x" * 255}]}, "path"),
    ],
)
def test_a_wrong_wish_is_400_and_nothing_is_made(user: User, new: dict[str, Any], said: str) -> None:
    answer = user.ask(new)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]["message"]
    assert user.listed() == []


def test_a_name_is_there_once_for_each_user(cloud: ToyCloud, admin: dict[str, str], user: User) -> None:
    user.make()
    assert user.ask({"name": "ci"}).status_code == 409
    User(cloud, admin).make()


def test_they_are_their_users_own(cloud: ToyCloud, admin: dict[str, str], user: User) -> None:
    made, other = user.make(access_rules=[HARMLESS]), User(cloud, admin)
    many, one = f"{user.path}/application_credentials", f"{user.path}/application_credentials/{made['id']}"
    rules = f"{user.path}/access_rules"
    for path in (many, one, rules, f"{rules}/{made['access_rules'][0]['id']}"):
        assert cloud.http.get(path, headers=other.token).status_code == 403
        assert cloud.http.get(path, headers=admin).status_code == 200
    assert user.ask({"name": "x"}, other.token).status_code == 403
    assert user.ask({"name": "x"}, admin).status_code == 403
    assert user.delete(made["id"], other.token) == 403
    assert cloud.http.get(f"{other.path}/application_credentials/{made['id']}", headers=other.token).status_code == 404
    assert user.delete(made["id"], admin) == 204


def test_one_needs_a_token_for_a_project(cloud: ToyCloud, admin: dict[str, str]) -> None:
    administrator = cloud.http.get("/identity/v3/users", headers=admin, params={"name": "admin"}).json()["users"][0]
    path = f"/identity/v3/users/{administrator['id']}/application_credentials"
    system = cloud.token("admin", {"system": {"all": True}})
    assert cloud.http.post(path, headers=system, json={"application_credential": {"name": "x"}}).status_code == 403


def test_only_an_unrestricted_one_makes_and_deletes_others(cloud: ToyCloud, user: User) -> None:
    restricted = token_of(cloud, user.make())
    made = user.make(name="free", unrestricted=True, roles=[{"name": "reader"}])
    unrestricted = token_of(cloud, made)
    assert user.ask({"name": "x"}, restricted).status_code == 403
    assert user.delete(made["id"], restricted) == 403
    assert user.ask({"name": "x", "roles": [{"name": "member"}]}, unrestricted).status_code == 400
    by_it = user.ask({"name": "x"}, unrestricted).json()["application_credential"]
    assert [role["name"] for role in by_it["roles"]] == ["reader"]
    assert user.delete(by_it["id"], unrestricted) == 204


def test_access_rules_are_enforced(cloud: ToyCloud, user: User) -> None:
    rules = [
        HARMLESS,
        {"service": "block-storage", "method": "GET", "path": "/v3/*/toys/{toy_id}"},
        {"service": "identity", "method": "GET", "path": "/v3/auth/**"},
        {"service": "compute", "method": "POST", "path": "/v3/*/toys"},
    ]
    made = user.make(access_rules=rules)
    token = token_of(cloud, made)
    project = made["project_id"]

    def ask(method: str, path: str, **more: Any) -> int:
        return cloud.http.request(method, path, headers=token, **more).status_code

    assert ask("GET", "/volume/v3/who") == 200
    assert ask("GET", "/volume//v3//who") == 200
    assert ask("GET", f"/volume/v3/{project}/toys/none") == 404
    assert ask("GET", "/identity/v3/auth/projects") == 200
    assert ask("HEAD", "/volume/v3/who") == 403
    assert ask("GET", f"/volume/v3/{project}/toys") == 403
    assert ask("GET", f"/volume/v3/{project}/who") == 403
    assert ask("POST", f"/volume/v3/{project}/toys", json={"toy": {"name": "x"}}) == 403
    assert ask("POST", f"/volume/v3/{project}/toys", content=b"no json") == 403
    assert ask("DELETE", f"/volume/v3/{project}/toys/1") == 403
    assert ask("GET", f"/volume/v3/{project}/nowhere") == 403
    assert ask("GET", "/identity/v3/roles") == 403
    assert ask("PATCH", user.path, json={"user": {"name": "x"}}) == 403


def test_a_service_may_act_for_a_limited_caller(cloud: ToyCloud, user: User) -> None:
    limited = token_of(cloud, user.make(access_rules=[{**HARMLESS, "service": "compute"}]))
    service = {"X-Service-Token": cloud.token("pumice", "service", cloud.password_of("service"))["X-Auth-Token"]}
    assert works(cloud, limited) == 403
    assert works(cloud, {**limited, **service}) == 200
    assert works(cloud, {**limited, "X-Service-Token": user.token["X-Auth-Token"]}) == 403


def test_a_token_with_rules_is_shown_to_those_who_know_rules(
    cloud: ToyCloud, admin: dict[str, str], user: User
) -> None:
    token = token_of(cloud, user.make(access_rules=[HARMLESS]))
    look = {**admin, "X-Subject-Token": token["X-Auth-Token"]}
    path = "/identity/v3/auth/tokens"
    assert cloud.http.get(path, headers=look).status_code == 404
    assert cloud.http.get(path, headers={**look, "OpenStack-Identity-Access-Rules": "x"}).status_code == 404
    found = cloud.http.get(path, headers={**look, "OpenStack-Identity-Access-Rules": "1.0"}).json()["token"]
    assert [one["path"] for one in found["application_credential"]["access_rules"]] == ["/v3/who"]


def test_rules_are_kept_and_used_again(cloud: ToyCloud, user: User) -> None:
    made = user.make(access_rules=[HARMLESS, HARMLESS])
    (rule,) = made["access_rules"]
    assert {name: rule[name] for name in HARMLESS} == HARMLESS
    path = f"{user.path}/access_rules"
    assert cloud.http.delete(f"{path}/{rule['id']}", headers=user.token).status_code == 403
    assert user.delete(made["id"]) == 204
    kept = cloud.http.get(path, headers=user.token).json()["access_rules"]
    assert [one["id"] for one in kept] == [rule["id"]]
    again = user.make(name="again", access_rules=[{"id": rule["id"]}])
    assert again["access_rules"] == made["access_rules"]
    assert user.ask({"name": "x", "access_rules": [{"id": "0" * 32}]}).status_code == 404
    assert user.delete(again["id"]) == 204
    assert cloud.http.get(f"{path}/{rule['id']}", headers=user.token).json()["access_rule"]["path"] == "/v3/who"
    assert cloud.http.delete(f"{path}/{rule['id']}", headers=user.token).status_code == 204
    assert cloud.http.get(f"{path}/{rule['id']}", headers=user.token).status_code == 404


def test_many_at_once_with_the_same_name_and_rules_make_one(cloud: ToyCloud, user: User) -> None:
    rules = [{**HARMLESS, "path": f"/v3/{number}"} for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: user.ask({"name": "ci", "access_rules": rules}).status_code, range(8)))
        others = list(
            threads.map(lambda one: user.ask({"name": f"ci-{one}", "access_rules": rules}).status_code, range(8))
        )
    assert sorted(answers) == [201] + [409] * 7
    assert set(others) == {201}
    assert len(user.listed()) == 9
    kept = cloud.http.get(f"{user.path}/access_rules", headers=user.token).json()["access_rules"]
    assert sorted(rule["path"] for rule in kept) == sorted(rule["path"] for rule in rules)


def test_no_rules_at_all_is_no_limit(cloud: ToyCloud, user: User) -> None:
    made = user.make(access_rules=[])
    assert "access_rules" not in made
    assert cloud.toy(token_of(cloud, made), "without rules").status_code == 202
