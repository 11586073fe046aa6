"""The edge over real HTTP, with a toy face: routing, versions, tokens, bodies, errors, idempotency, lists."""

import json
import re
import uuid
from typing import Any

import httpx
import pytest

from tests.api.cloud import ToyCloud
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

V320 = {"OpenStack-API-Version": "volume 3.20"}


def test_every_answer_has_a_request_id_even_a_refusal(cloud: ToyCloud) -> None:
    for path in ("/", "/healthz", "/volume/", "/volume/v3/toys", "/nowhere"):
        found = cloud.http.get(path).headers["x-openstack-request-id"]
        assert re.fullmatch(r"req-[0-9a-f-]{36}", found)


def test_versions_need_no_token_and_have_the_shapes_clients_want(cloud: ToyCloud) -> None:
    root = cloud.http.get("/volume/")
    assert (root.status_code, root.json()["versions"][0]["id"]) == (300, "v3.0")
    for path in ("/volume/v3/", "/volume/v3"):
        answer = cloud.http.get(path)
        assert answer.status_code == 200
        assert answer.json()["versions"] == root.json()["versions"]
    assert root.json()["versions"][0]["min_version"] == "3.0"
    assert root.json()["versions"][0]["version"] == "3.71"
    assert cloud.http.get("/identity").json()["versions"]["values"][0]["id"] == "v3.14"
    assert cloud.http.get("/identity/v3/").json()["version"]["status"] == "stable"


def test_healthz_and_metrics(cloud: ToyCloud, demo: dict[str, str]) -> None:
    cloud.http.get("/volume/v3/toys", headers=demo)
    assert cloud.http.get("/healthz").status_code == 200
    metrics = cloud.http.get("/metrics")
    assert 'pumice_http_request_seconds_count{face="volume",route="toy.index",status="200"}' in metrics.text
    assert cloud.http.post("/healthz").status_code == 405


def test_without_a_good_token_nothing_is_told(cloud: ToyCloud) -> None:
    for headers in ({}, {"X-Auth-Token": "forged"}, {"X-Auth-Token": ""}, {"X-Auth-Token": "\x80ü".encode("latin-1")}):
        for path in ("/volume/v3/toys", "/volume/v3/nothing", "/volume/v9/toys"):
            answer = cloud.http.get(path, headers=headers)
            assert answer.status_code == 401, (path, answer.text)
            assert answer.json()["unauthorized"]["code"] == 401
    answer = cloud.http.post("/volume/v3/toys", headers={"X-Auth-Token": "forged"}, content=b"{")
    assert answer.status_code == 401


def test_unknown_paths_and_methods(cloud: ToyCloud, demo: dict[str, str]) -> None:
    for path in (
        "/volume/v3/nothing",
        "/volume/v3/toys/",
        "/volume/v3/toys//",
        "/volume/v2/toys",
        "/volume/v3/toys/%00",
    ):
        answer = cloud.http.get(path, headers=demo)
        assert (answer.status_code, answer.json()["itemNotFound"]["code"]) == (404, 404), path
    assert cloud.http.get("/volume/v3/toys/%ff", headers=demo).status_code == 404
    refused = cloud.http.put("/volume/v3/toys", headers=demo)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert cloud.http.options("/volume/v3/toys").headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert cloud.http.get("/identity/v3/v2.0/security-groups", headers=demo).json()["error"]["code"] == 404


def test_slashes_before_the_resource_do_not_matter(cloud: ToyCloud, demo: dict[str, str]) -> None:
    for path in ("//volume/v3/toys", "/volume//v3//toys"):
        assert cloud.http.get(httpx.URL(str(cloud.http.base_url).rstrip("/") + path), headers=demo).status_code == 200
    assert cloud.http.get("/identity/v3/auth/projects/", headers=demo).status_code == 200


def test_head_is_get_without_a_body(cloud: ToyCloud, demo: dict[str, str]) -> None:
    full = cloud.http.get("/volume/v3/toys", headers=demo)
    head = cloud.http.head("/volume/v3/toys", headers=demo)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]


def test_the_project_in_the_url_is_optional_but_must_be_the_tokens(
    cloud: ToyCloud, admin: dict[str, str], demo: dict[str, str]
) -> None:
    project = cloud.http.get("/volume/v3/who", headers=demo).json()["project_id"]
    inside = cloud.http.get(f"/volume/v3/{project}/who", headers=demo)
    assert inside.status_code == 200
    for token, path in ((demo, f"/volume/v3/{uuid.uuid4().hex}/who"), (admin, f"/volume/v3/{project}/who")):
        refused = cloud.http.get(path, headers=token)
        assert (refused.status_code, refused.json()["badRequest"]["code"]) == (400, 400)


def test_links_are_as_the_request_was_addressed(cloud: ToyCloud, demo: dict[str, str]) -> None:
    project = cloud.http.get("/volume/v3/who", headers=demo).json()["project_id"]
    toy = cloud.toy(demo, "linked").json()["toy"]
    base = str(cloud.http.base_url).rstrip("/")
    shown = cloud.http.get(f"/volume/v3/{project}/toys/{toy['id']}", headers=demo).json()["toy"]
    assert shown["links"][0]["href"] == f"{base}/volume/v3/{project}/toys/{toy['id']}"
    assert shown["links"][1]["href"] == f"{base}/volume/{project}/toys/{toy['id']}"


def test_microversions(cloud: ToyCloud, demo: dict[str, str]) -> None:
    toy = cloud.toy(demo, "versioned", description="seen from 3.10 on").json()["toy"]

    def ask(version: str | None) -> httpx.Response:
        headers = {"OpenStack-API-Version": version} if version else {}
        return cloud.http.get(f"/volume/v3/toys/{toy['id']}", headers={**demo, **headers})

    assert "description" not in ask(None).json()["toy"]
    assert ask(None).headers["OpenStack-API-Version"] == "volume 3.0"
    assert "description" not in ask("volume 3.9").json()["toy"]
    assert ask("compute 2.1, volume 3.10").json()["toy"]["description"] == "seen from 3.10 on"
    latest = ask("volume latest")
    assert latest.headers["OpenStack-API-Version"] == "volume 3.71"
    assert "OpenStack-API-Version" in latest.headers["Vary"]
    for outside in ("volume 3.72", "volume 2.0", "volume 99.99"):
        assert (ask(outside).status_code, ask(outside).json()["notAcceptable"]["code"]) == (406, 406)
    for nonsense in ("volume 3", "volume x.y", "volume 3.010", "volume 3.-1"):
        assert ask(nonsense).status_code == 400
    assert ask("compute 2.99").headers["OpenStack-API-Version"] == "volume 3.0"


def test_a_route_exists_in_its_window_only(cloud: ToyCloud, demo: dict[str, str]) -> None:
    found = {
        version: cloud.http.get("/volume/v3/new-toys", headers={**demo, "OpenStack-API-Version": f"volume {version}"})
        for version in ("3.49", "3.50", "3.60", "3.61")
    }
    assert {version: answer.status_code for version, answer in found.items()} == {
        "3.49": 404,
        "3.50": 200,
        "3.60": 200,
        "3.61": 404,
    }


def test_fields_for_administrators(cloud: ToyCloud, admin: dict[str, str], demo: dict[str, str]) -> None:
    toy = cloud.toy(demo, "with a secret").json()["toy"]
    assert "secret" not in toy
    assert cloud.http.get(f"/volume/v3/toys/{toy['id']}", headers=admin).json()["toy"].get("secret")


WRONG: list[tuple[Any, str]] = [
    ({"toy": {"name": "x", "size": "large"}}, "toy.size"),
    ({"toy": {"name": "x", "size": 0}}, "toy.size"),
    ({"toy": {"name": "x", "size": 10**30}}, "toy.size"),
    ({"toy": {"name": "x", "size": -1}}, "toy.size"),
    ({"toy": {"name": ""}}, "toy.name"),
    ({"toy": {"name": "x" * 100_000}}, "toy.name"),
    ({"toy": {"name": "nul \0 inside"}}, "toy.name"),
    ({"toy": {"name": 7}}, "toy.name"),
    ({"toy": {"name": None}}, "toy.name"),
    ({"toy": {"name": "x", "tags": ["a", 1]}}, "toy.tags[1]"),
    ({"toy": {"name": "x", "tags": ["nul\0"]}}, "toy.tags.0"),
    ({"toy": {"name": "x", "weight": 1}}, "toy.weight"),
    ({"toy": {"size": 1}}, "toy.name"),
    ({"toy": []}, "toy"),
    ({"game": {}}, "game"),
    ({}, "toy"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_wrong_body_is_400_naming_the_field(cloud: ToyCloud, demo: dict[str, str], body: Any, field: str) -> None:
    before = cloud.http.get("/volume/v3/toys?with_count=true", headers=demo).json()["count"]
    answer = cloud.http.post("/volume/v3/toys", headers={**demo, **V320}, json=body)
    assert answer.status_code == 400, answer.text
    assert f"'{field}'" in answer.json()["badRequest"]["message"]
    assert cloud.http.get("/volume/v3/toys?with_count=true", headers=demo).json()["count"] == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"no json",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"toy": {"name": "\xff"}}',
        b'{"toy": {"name": "\\ud800"}}',
        b'{"toy":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_no_json_object_is_400(cloud: ToyCloud, demo: dict[str, str], content: bytes) -> None:
    headers = {**demo, "Content-Type": "application/json"}
    answer = cloud.http.post("/volume/v3/toys", headers=headers, content=content)
    assert (answer.status_code, answer.json()["badRequest"]["code"]) == (400, 400), answer.text


def test_content_types_and_sizes(cloud: ToyCloud, demo: dict[str, str]) -> None:
    body = json.dumps({"toy": {"name": "x"}}).encode()
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "", "application/octet-stream"):
        answer = cloud.http.post("/volume/v3/toys", headers={**demo, "Content-Type": kind}, content=body)
        assert (answer.status_code, answer.json()["unsupportedMediaType"]["code"]) == (415, 415), kind
    with_charset = {**demo, "Content-Type": "application/json; charset=utf-8"}
    assert cloud.http.post("/volume/v3/toys", headers=with_charset, content=body).status_code == 202
    huge = b'{"toy": {"name": "' + b"x" * (1 << 20) + b'"}}'
    for content in (huge, (huge[place : place + 65_536] for place in range(0, len(huge), 65_536))):
        answer = cloud.http.post(
            "/volume/v3/toys", headers={**demo, "Content-Type": "application/json"}, content=content
        )
        assert (answer.status_code, answer.json()["overLimit"]["code"]) == (413, 413)


def test_a_field_below_its_microversion_is_unknown(cloud: ToyCloud, demo: dict[str, str]) -> None:
    def paint(version: str) -> httpx.Response:
        body = {"toy": {"name": f"painted {version}", "color": "red"}}
        headers = {**demo, "OpenStack-API-Version": f"volume {version}"}
        return cloud.http.post("/volume/v3/toys", headers=headers, json=body)

    assert paint("3.20").status_code == 202
    refused = paint("3.19")
    assert refused.status_code == 400
    assert "toy.color" in refused.json()["badRequest"]["message"]


def test_actions_go_by_the_key_of_the_body(cloud: ToyCloud, demo: dict[str, str]) -> None:
    def act(body: Any, version: str = "3.5") -> httpx.Response:
        headers = {**demo, "OpenStack-API-Version": f"volume {version}"}
        return cloud.http.post("/volume/v3/toys/abc/action", headers=headers, json=body)

    assert act({"os-paint": {"color": "blue"}}).json() == {"painted": "blue", "toy": "abc"}
    assert (act({"os-drop": None}).status_code, act({"os-drop": None}).content) == (202, b"")
    assert act({"os-drop": None}, "3.4").status_code == 400
    for wrong in ({"os-fly": {}}, {}, {"os-paint": {"color": "x"}, "os-drop": None}, [], {"os-paint": {"colour": "x"}}):
        assert act(wrong).status_code == 400, wrong


def test_queries(cloud: ToyCloud, demo: dict[str, str]) -> None:
    def ask(query: str) -> httpx.Response:
        return cloud.http.get(f"/volume/v3/toys/weight?{query}", headers=demo)

    answer = ask("weight=12&colour=a%20b")
    assert (answer.status_code, answer.json()) == (202, {"weight": 12})
    assert answer.headers["Location"].endswith("/volume/v3/toys")
    for wrong, named in (
        ("weight=heavy", "weight"),
        ("size=1", "size"),
        ("colour=%00", "colour"),
        ("colour=%ff", "UTF-8"),
    ):
        refused = ask(wrong)
        assert refused.status_code == 400, wrong
        assert named in refused.json()["badRequest"]["message"]


def test_an_unexpected_error_is_500_without_internals(cloud: ToyCloud, demo: dict[str, str]) -> None:
    answer = cloud.http.get("/volume/v3/fail", headers=demo)
    assert answer.status_code == 500
    assert answer.headers["x-openstack-request-id"] in answer.json()["computeFault"]["message"]
    assert "Zero" not in answer.text
    assert f"{answer.headers['x-openstack-request-id']} GET /volume/v3/fail failed" in cloud.logs


def test_policy_refuses_with_403(cloud: ToyCloud, admin: dict[str, str], demo: dict[str, str]) -> None:
    assert cloud.http.get("/volume/v3/admin", headers=admin).status_code == 200
    refused = cloud.http.get("/volume/v3/admin", headers=demo)
    assert refused.status_code == 403
    assert "pumice:anything" in refused.json()["forbidden"]["message"]


def test_readers_read_and_do_not_write(cloud: ToyCloud, admin: dict[str, str]) -> None:
    _, name, password = cloud.user(admin, "reader")
    reader = cloud.token(name, "demo", password)
    assert cloud.http.get("/volume/v3/toys", headers=reader).status_code == 200
    assert cloud.toy(reader, "not by a reader").status_code == 403
    malformed = {**reader, "Content-Type": "application/json"}
    assert cloud.http.post("/volume/v3/toys", headers=malformed, content=b"{").status_code == 403


def test_a_service_token_counts_only_with_the_role_service(
    cloud: ToyCloud, admin: dict[str, str], demo: dict[str, str]
) -> None:
    service = cloud.login("pumice", cloud.password_of("service"), "service").headers["X-Subject-Token"]
    for token, expected in (
        (service, True),
        (demo["X-Auth-Token"], False),
        (admin["X-Auth-Token"], False),
    ):
        answer = cloud.http.get("/volume/v3/who", headers={**demo, "X-Service-Token": token})
        assert (answer.status_code, answer.json()["service"]) == (200, expected)
    assert cloud.http.get("/volume/v3/who", headers={**demo, "X-Service-Token": "broken"}).status_code == 401


def test_an_operation_that_takes_too_long_is_504_or_unknown(cloud: ToyCloud, demo: dict[str, str]) -> None:
    answer = cloud.http.get(f"/volume/v3/operations/{uuid.uuid4()}", headers=demo)
    assert answer.status_code == 404


def test_the_same_idempotency_key_gives_the_same_answer_once(cloud: ToyCloud, demo: dict[str, str]) -> None:
    def make(key: str, name: str) -> httpx.Response:
        return cloud.toy({**demo, "Idempotency-Key": key}, name)

    key = str(uuid.uuid4())
    first, again = make(key, f"once {key}"), make(key, f"once {key}")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["toy"] == first.json()["toy"]
    assert "password" in first.json()
    assert "password" not in again.json()
    other = make(key, f"other {key}")
    assert (other.status_code, other.json()["conflictingRequest"]["code"]) == (409, 409)
    found = cloud.http.get("/volume/v3/toys", headers=demo, params={"name": f"once {key}"}).json()["toys"]
    assert [toy["id"] for toy in found] == [first.json()["toy"]["id"]]
    assert make("x" * 256, "long").status_code == 400


def test_a_key_belongs_to_its_user_and_a_refused_request_takes_none(
    cloud: ToyCloud, admin: dict[str, str], demo: dict[str, str]
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    assert cloud.toy({**demo, **key}, "").status_code == 400
    mine = cloud.toy({**demo, **key}, f"mine {key}")
    assert mine.status_code == 202
    _, name, password = cloud.user(admin)
    theirs = cloud.toy({**cloud.token(name, "demo", password), **key}, f"theirs {key}")
    assert theirs.status_code == 202
    assert theirs.json()["toy"]["id"] != mine.json()["toy"]["id"]


def test_lists_page_by_marker_through_everything_once(cloud: ToyCloud, demo: dict[str, str]) -> None:
    tag = uuid.uuid4().hex
    made = [
        cloud.toy(demo, f"{tag}-{place}", **({} if place % 3 else {"description": f"d{place % 2}"})).json()["toy"]["id"]
        for place in range(7)
    ]
    for sort in ("description:asc", "description:desc", "name:asc", "description:asc,name:desc", "created_at:desc"):
        seen: list[str] = []
        url: str | None = f"/volume/v3/toys?limit=3&sort={sort}"
        while url is not None:
            page = cloud.http.get(url, headers=demo).json()
            assert len(page["toys"]) <= 3
            seen += [toy["id"] for toy in page["toys"]]
            url = page["toys_links"][0]["href"] if "toys_links" in page else None
        assert len(seen) == len(set(seen)), sort
        assert set(made) <= set(seen), sort
        whole = cloud.http.get(f"/volume/v3/toys?sort={sort}", headers=demo).json()["toys"]
        assert seen == [toy["id"] for toy in whole], sort


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=x",
        "offset=-1",
        "offset=99999999999999999999",
        "sort_key=secret",
        "sort=name:up",
        "marker=no",
    ],
)
def test_junk_in_a_lists_query_is_400(cloud: ToyCloud, demo: dict[str, str], query: str) -> None:
    assert cloud.http.get(f"/volume/v3/toys?{query}", headers=demo).status_code == 400


def test_the_openapi_document_knows_routes_windows_and_bodies(cloud: ToyCloud) -> None:
    document = cloud.http.get("/volume/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document["servers"][0]["url"] == f"{str(cloud.http.base_url).rstrip('/')}/volume/v3"
    assert document["paths"]["/new-toys"]["get"]["x-since"] == "3.50"
    assert document["paths"]["/toys/{toy_id}/action"]["post"]["x-actions"] == ["os-paint", "os-drop"]
    assert "NewToyBody" in document["components"]["schemas"]


def test_no_secret_gets_into_the_log(cloud: ToyCloud, demo: dict[str, str]) -> None:
    path = f"/volume/v3/toys?name={demo['X-Auth-Token']}"
    identifier = cloud.http.get(path, headers=demo).headers["x-openstack-request-id"]
    assert cloud.toy(demo, "unmistakable body").status_code == 202
    wait_until(lambda: identifier in cloud.logs, 5, "the request in the log")
    for secret in (demo["X-Auth-Token"], cloud.password_of("admin"), cloud.password_of("demo"), "unmistakable body"):
        assert secret not in cloud.logs
    line = next(json.loads(line) for line in cloud.logs.splitlines() if identifier in line)
    assert (line["route"], line["status"], line["path"]) == ("toy.index", 200, "/volume/v3/toys")
