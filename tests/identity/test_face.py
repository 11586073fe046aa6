"""The identity face over real HTTP on both databases: logging in, tokens, revocation across processes, CRUD, grants."""

import hashlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from pumice.db.engine import Database
from pumice.db.schema import tokens
from pumice.identity.logins import FREE
from tests.api.cloud import ToyCloud
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


def check(cloud: ToyCloud, token: dict[str, str], client: httpx.Client | None = None) -> int:
    """What a request with the token is answered."""
    return (client or cloud.http).get("/volume/v3/who", headers=token).status_code


def test_the_first_start_writes_clouds_yaml_for_its_owner_only(cloud: ToyCloud) -> None:
    path = cloud.state / "clouds.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    for cloud_name in ("admin", "demo", "system", "service"):
        assert f"  {cloud_name}:\n" in path.read_text()
    assert not (cloud.state / "clouds.yaml.new").exists()


def test_a_password_gives_a_token_with_roles_and_catalogue(cloud: ToyCloud) -> None:
    answer = cloud.login("demo", scope="demo")
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert token["user"]["name"] == "demo"
    assert token["project"]["domain"] == {"id": "default", "name": "Default"}
    assert sorted(role["name"] for role in token["roles"]) == ["member", "reader"]
    types = {entry["type"]: entry for entry in token["catalog"]}
    assert {"identity", "block-storage", "volumev3", "image", "compute", "metering"} <= set(types)
    base = str(cloud.http.base_url).rstrip("/")
    assert types["volumev3"]["name"] == "cinderv3"
    urls = {point["interface"]: point["url"] for point in types["block-storage"]["endpoints"]}
    assert urls["public"] == f"{base}/volume/v3/{token['project']['id']}"
    assert set(urls) == {"public", "internal", "admin"}
    assert answer.headers["cache-control"] == "no-store"


def test_scopes(cloud: ToyCloud) -> None:
    system = cloud.login("admin", scope={"system": {"all": True}}).json()["token"]
    assert system["system"] == {"all": True}
    domain = cloud.login("admin", scope={"domain": {"name": "Default"}}).json()["token"]
    assert domain["domain"]["id"] == "default"
    assert cloud.login("admin", scope="nothing here").status_code == 401
    assert cloud.login("admin", scope={"project": {"id": "x" * 32}}).status_code == 401
    assert cloud.login("demo", scope={"system": {"all": True}}).status_code == 401
    assert cloud.login("demo", scope="admin").status_code == 401
    default = cloud.login("demo", scope=None).json()["token"]
    assert default["project"]["name"] == "demo"


def test_wrong_logins_are_401_in_the_envelope(cloud: ToyCloud) -> None:
    for user in ("admin", "nobody at all"):
        answer = cloud.login(user, "wrong")
        assert (answer.status_code, answer.json()["error"]["title"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"identity": {}},
        {"identity": {"methods": ["magic"]}},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": 7, "password": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": "a", "password": "x" * 5000}}}},
        {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": {"name": "demo"}}},
        {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": "everything"},
    ],
)
def test_a_login_that_is_none_is_400(cloud: ToyCloud, auth: Any) -> None:
    answer = cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400), answer.text


def test_a_token_makes_another_that_does_not_outlive_it(cloud: ToyCloud, admin: dict[str, str]) -> None:
    auth = {
        "identity": {"methods": ["token"], "token": {"id": admin["X-Auth-Token"]}},
        "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
    }
    made = cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})
    assert made.status_code == 201
    first = cloud.http.get("/identity/v3/auth/tokens", headers={**admin, "X-Subject-Token": admin["X-Auth-Token"]})
    assert made.json()["token"]["expires_at"] == first.json()["token"]["expires_at"]
    assert made.json()["token"]["project"]["name"] == "demo"
    assert sorted(made.json()["token"]["methods"]) == ["password", "token"]


def test_tokens_are_looked_at_and_given_back(cloud: ToyCloud, admin: dict[str, str]) -> None:
    mine = cloud.token("demo", "demo")
    look = {**admin, "X-Subject-Token": mine["X-Auth-Token"]}
    assert cloud.http.get("/identity/v3/auth/tokens", headers=look).json()["token"]["user"]["name"] == "demo"
    assert cloud.http.head("/identity/v3/auth/tokens", headers=look).status_code == 200
    foreign = {**mine, "X-Subject-Token": admin["X-Auth-Token"]}
    assert cloud.http.get("/identity/v3/auth/tokens", headers=foreign).status_code == 403
    own = {**mine, "X-Subject-Token": mine["X-Auth-Token"]}
    assert cloud.http.delete("/identity/v3/auth/tokens", headers=own).status_code == 204
    assert check(cloud, mine) == 401
    assert cloud.http.get("/identity/v3/auth/tokens", headers=look).status_code == 404
    assert cloud.http.delete("/identity/v3/auth/tokens", headers=admin).status_code == 400


def test_a_revocation_holds_in_every_process_and_after_a_restart(cloud: ToyCloud) -> None:
    other = cloud.serve()
    kept, given_back = cloud.token("demo", "demo"), cloud.token("demo", "demo")
    for client in (cloud.http, other):
        assert [check(cloud, token, client) for token in (kept, given_back)] == [200, 200]
    headers = {**given_back, "X-Subject-Token": given_back["X-Auth-Token"]}
    assert cloud.http.delete("/identity/v3/auth/tokens", headers=headers).status_code == 204
    assert [check(cloud, given_back, client) for client in (other, cloud.http)] == [401, 401]
    cloud.started[-1].kill()
    again = cloud.serve()
    assert [check(cloud, token, again) for token in (kept, given_back)] == [200, 401]


def test_tokens_are_not_stored(cloud: ToyCloud) -> None:
    token = cloud.token("demo", "demo")["X-Auth-Token"]
    assert check(cloud, {"X-Auth-Token": token}) == 200
    database = Database(cloud.database_url)
    try:
        with database.read() as tx:
            stored = {row.digest for row in tx.execute(select(tokens.c.digest))}
    finally:
        database.close()
    assert token not in stored
    assert hashlib.sha256(token.encode()).hexdigest() in stored


def test_taking_a_role_away_takes_effect_at_once(cloud: ToyCloud, admin: dict[str, str]) -> None:
    user_id, name, password = cloud.user(admin, "reader")
    member = cloud.grant(admin, user_id, "member", "demo")
    token = cloud.token(name, "demo", password)
    assert cloud.toy(token, f"by {name}").status_code == 202
    assert cloud.http.delete(member, headers=admin).status_code == 204
    assert cloud.toy(token, f"by {name} again").status_code == 403
    assert check(cloud, token) == 200
    reader = cloud.grant(admin, user_id, "reader", "demo")
    assert cloud.http.delete(reader, headers=admin).status_code == 204
    assert check(cloud, token) == 401


def test_a_new_password_or_disabling_ends_the_tokens(cloud: ToyCloud, admin: dict[str, str]) -> None:
    user_id, name, password = cloud.user(admin)
    token = cloud.token(name, "demo", password)
    path = f"/identity/v3/users/{user_id}"
    wrong = cloud.http.post(
        f"{path}/password", headers=token, json={"user": {"password": "new", "original_password": "bad"}}
    )
    assert wrong.status_code == 401
    change = {"user": {"password": "new", "original_password": password}}
    assert cloud.http.post(f"{path}/password", headers=token, json=change).status_code == 204
    assert check(cloud, token) == 401
    assert cloud.login(name, password, "demo").status_code == 401
    token = cloud.token(name, "demo", "new")
    disabled = cloud.http.patch(path, headers=admin, json={"user": {"enabled": False}})
    assert (disabled.status_code, disabled.json()["user"]["enabled"]) == (200, False)
    assert check(cloud, token) == 401
    assert cloud.login(name, "new", "demo").status_code == 401


def test_failures_slow_one_address_and_never_another(cloud: ToyCloud, admin: dict[str, str]) -> None:
    _, name, password = cloud.user(admin)
    answers = [cloud.login(name, "wrong", "demo") for _ in range(8)]
    assert answers[0].status_code == 401
    slowed = answers[-1]
    assert slowed.status_code == 429
    assert int(slowed.headers["Retry-After"]) >= 1
    assert cloud.login(name, password, "demo").status_code == 429
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=transport, base_url=cloud.http.base_url) as elsewhere:
        assert cloud.login(name, password, "demo", client=elsewhere).status_code == 201


def test_guesses_made_at_once_are_counted_one_by_one(cloud: ToyCloud, admin: dict[str, str]) -> None:
    _, name, _ = cloud.user(admin)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: cloud.login(name, "wrong", "demo").status_code, range(16)))
    assert set(answers) == {401, 429}
    assert answers.count(401) <= FREE + 2


def test_a_flood_of_wrong_logins_from_many_addresses_does_not_keep_the_administrator_out(cloud: ToyCloud) -> None:
    """90 at once, more than may wait, each for another user; then the administrator from an address of their own."""

    def client(address: str) -> httpx.Client:
        return httpx.Client(
            transport=httpx.HTTPTransport(local_address=address), base_url=cloud.http.base_url, timeout=60
        )

    clients = [client(f"127.0.1.{number}") for number in range(1, 9)]
    home = client("127.0.2.1")
    try:
        for one in clients:
            assert cloud.login("nobody", "wrong", client=one).status_code == 401
        with ThreadPoolExecutor(90) as threads:
            flood = [
                threads.submit(cloud.login, f"guess-{number}", "wrong", client=clients[number % len(clients)])
                for number in range(90)
            ]
            wait_until(lambda: any(one.done() for one in flood), 30, "the first of the flood is answered")
            assert cloud.login("admin", client=home).status_code == 201
            statuses = {one.result().status_code for one in flood}
    finally:
        for one in (*clients, home):
            one.close()
    assert statuses <= {401, 429}


def test_unknown_users_take_as_long_as_known_ones(cloud: ToyCloud, admin: dict[str, str]) -> None:
    def median(names: list[str]) -> float:
        times = []
        for name in names:
            begin = time.perf_counter()
            assert cloud.login(name, "wrong").status_code == 401
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    known = [cloud.user(admin)[1] for _ in range(5)]
    ratio = median([f"unknown-{number}" for number in range(5)]) / median(known)
    assert 0.3 < ratio < 3


def test_projects_users_domains_and_roles_come_and_go(cloud: ToyCloud, admin: dict[str, str]) -> None:
    http, long = cloud.http, "n" * 255
    for plural, new, change in (
        ("domains", {"name": long}, {"description": "d", "enabled": False}),
        ("projects", {"name": long, "domain_id": "default"}, {"description": "d"}),
        ("users", {"name": long, "password": "p@ss;w'ord\"", "domain_id": "default"}, {"description": "d"}),
        ("roles", {"name": long}, {"description": "d"}),
    ):
        noun, path = plural[:-1], f"/identity/v3/{plural}"
        made = http.post(path, headers=admin, json={noun: new})
        assert made.status_code == 201, made.text
        assert "password" not in made.json()[noun]
        one = f"{path}/{made.json()[noun]['id']}"
        assert http.post(path, headers=admin, json={noun: new}).status_code == 409
        assert http.patch(one, headers=admin, json={noun: change}).json()[noun]["description"] == "d"
        listed = http.get(path, headers=admin, params={"name": long}).json()
        assert [item["id"] for item in listed[plural]] == [made.json()[noun]["id"]]
        assert listed["links"]["next"] is None
        assert http.get(one, headers=admin).status_code == 200
        assert http.delete(one, headers=admin).status_code == 204
        assert http.get(one, headers=admin).status_code == 404
        assert http.delete(one, headers=admin).status_code == 404


def test_a_deleted_project_takes_its_tokens_along(cloud: ToyCloud, admin: dict[str, str]) -> None:
    project = cloud.http.post("/identity/v3/projects", headers=admin, json={"project": {"name": "short-lived"}}).json()
    user_id, name, password = cloud.user(admin, None)
    cloud.grant(admin, user_id, "member", "short-lived")
    token = cloud.token(name, "short-lived", password)
    assert check(cloud, token) == 200
    path = f"/identity/v3/projects/{project['project']['id']}"
    assert cloud.http.delete(path, headers=admin).status_code == 204
    assert check(cloud, token) == 401


def test_grants_on_projects_domains_and_the_system(cloud: ToyCloud, admin: dict[str, str]) -> None:
    user_id, name, password = cloud.user(admin, None)
    role = cloud.id_of(admin, "roles", "Reader")
    project = cloud.id_of(admin, "projects", "demo")
    for place in (f"projects/{project}", "domains/default", "system"):
        many = f"/identity/v3/{place}/users/{user_id}/roles"
        one = f"{many}/{role}"
        assert cloud.http.get(one, headers=admin).status_code == 404
        assert [cloud.http.put(one, headers=admin).status_code for _ in range(2)] == [204, 204]
        assert cloud.http.head(one, headers=admin).status_code == 204
        assert [found["name"] for found in cloud.http.get(many, headers=admin).json()["roles"]] == ["reader"]
    assert cloud.login(name, password, {"system": {"all": True}}).status_code == 201
    found = cloud.http.get(
        "/identity/v3/role_assignments", headers=admin, params={"user.id": user_id, "include_names": "1"}
    ).json()["role_assignments"]
    assert sorted(next(iter(item["scope"])) for item in found) == ["domain", "project", "system"]
    assert {item["role"]["name"] for item in found} == {"reader"}
    unknown = f"/identity/v3/projects/{'0' * 32}/users/{user_id}/roles/{role}"
    assert cloud.http.put(unknown, headers=admin).status_code == 404


def test_users_see_what_is_their_own_only(cloud: ToyCloud, admin: dict[str, str]) -> None:
    user_id, name, password = cloud.user(admin)
    token = cloud.token(name, "demo", password)
    project = cloud.http.get("/volume/v3/who", headers=token).json()["project_id"]
    for path in (
        f"/users/{user_id}",
        f"/users/{user_id}/projects",
        f"/projects/{project}",
        "/auth/projects",
        "/auth/catalog",
        "/auth/domains",
        "/auth/system",
        "/roles",
        "/domains?name=Default",
    ):
        assert cloud.http.get(f"/identity/v3{path}", headers=token).status_code == 200, path
    for path in ("/users", "/projects", "/role_assignments", f"/users/{cloud.id_of(admin, 'users', 'admin')}"):
        refused = cloud.http.get(f"/identity/v3{path}", headers=token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, 403), path
    assert cloud.http.post("/identity/v3/roles", headers=token, json={"role": {"name": "x"}}).status_code == 403
    assert [p["name"] for p in cloud.http.get("/identity/v3/auth/projects", headers=token).json()["projects"]] == [
        "demo"
    ]


def test_the_last_administrator_stays(cloud: ToyCloud, admin: dict[str, str]) -> None:
    path = f"/identity/v3/users/{cloud.id_of(admin, 'users', 'admin')}"
    assert cloud.http.delete(path, headers=admin).status_code == 403
    assert cloud.http.patch(path, headers=admin, json={"user": {"enabled": False}}).status_code == 403
    role = cloud.id_of(admin, "roles", "admin")
    assert cloud.http.delete(f"/identity/v3/roles/{role}", headers=admin).status_code == 403
    assert check(cloud, admin) == 200


def at_once(call: Callable[[int], httpx.Response], times: int = 8) -> list[int]:
    """Statuses of the same call by several threads, sorted."""
    with ThreadPoolExecutor(times) as threads:
        return sorted(answer.status_code for answer in threads.map(call, range(times)))


@pytest.mark.parametrize("plural", ["users", "projects", "domains", "roles"])
def test_of_creations_at_once_with_one_name_one_is_made(cloud: ToyCloud, admin: dict[str, str], plural: str) -> None:
    """The names of roles are compared without case."""
    name = f"race for {plural}"

    def create(number: int) -> httpx.Response:
        called = name.upper() if plural == "roles" and number % 2 else name
        return cloud.http.post(f"/identity/v3/{plural}", headers=admin, json={plural[:-1]: {"name": called}})

    assert at_once(create) == [201] + [409] * 7
    listed = cloud.http.get(f"/identity/v3/{plural}", headers=admin).json()[plural]
    assert len([one for one in listed if one["name"].lower() == name]) == 1


def test_changes_at_once_agree(cloud: ToyCloud, admin: dict[str, str]) -> None:
    http, ids = cloud.http, [cloud.user(admin, None)[0] for _ in range(8)]

    def rename(number: int) -> httpx.Response:
        return http.patch(f"/identity/v3/users/{ids[number]}", headers=admin, json={"user": {"name": "wanted by all"}})

    assert at_once(rename) == [200] + [409] * 7
    project, role = cloud.id_of(admin, "projects", "demo"), cloud.id_of(admin, "roles", "reader")
    granted = f"/identity/v3/projects/{project}/users/{ids[0]}/roles/{role}"
    assert at_once(lambda number: http.put(granted, headers=admin)) == [204] * 8
    assert at_once(lambda number: http.delete(granted, headers=admin)) == [204] + [404] * 7
    tag = f"/identity/v3/projects/{project}/tags"
    assert at_once(lambda number: http.put(f"{tag}/one", headers=admin)) == [201] * 8
    assert at_once(lambda number: http.put(tag, headers=admin, json={"tags": ["a", "b"]})) == [200] * 8
    user = f"/identity/v3/users/{ids[0]}"
    assert at_once(lambda number: http.delete(user, headers=admin)) == [204] + [404] * 7


def test_where_something_is_never_changes(cloud: ToyCloud, admin: dict[str, str]) -> None:
    user_id, *_ = cloud.user(admin)
    other = cloud.http.post("/identity/v3/domains", headers=admin, json={"domain": {"name": "other"}}).json()["domain"]
    project = cloud.id_of(admin, "projects", "demo")
    for path, noun, field in (
        (f"users/{user_id}", "user", "domain_id"),
        (f"projects/{project}", "project", "domain_id"),
        (f"projects/{project}", "project", "parent_id"),
    ):
        same = cloud.http.patch(f"/identity/v3/{path}", headers=admin, json={noun: {field: "default"}})
        assert same.status_code == 200, same.text
        moved = cloud.http.patch(f"/identity/v3/{path}", headers=admin, json={noun: {field: other["id"]}})
        assert (moved.status_code, f"{noun}.{field}" in moved.json()["error"]["message"]) == (400, True)
