"""The metering face over HTTP: with the stock ceilometer program, and as plain requests, bad ones too."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pumice.db.engine import Database
from pumice.metering.events import emit
from tests.metering.world import ADMIN, OTHER_PROJECT
from tests.support.databases import KINDS, Databases
from tests.support.ports import free_port
from tests.support.processes import BIN, Processes

pytestmark = pytest.mark.real

CEILOMETER = BIN.parent.parent / ".venv-clients" / "bin" / "ceilometer"
GENERATED = 1_793_491_200_000_000
VOLUME = "0a0a0a0a-1111-4111-8111-000000000001"


class Served:
    """The faces, two projects' events, and tokens."""

    def __init__(self, url: str, base: str) -> None:
        self.base = base
        self.http = httpx.Client(base_url=base, timeout=30)
        self.database = Database(url)
        answer = self.login()
        self.project: str = answer.json()["token"]["project"]["id"]
        self.admin = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
        self.ids = [self.put(VOLUME, self.project, size) for size in (1, 2)]
        self.foreign = self.put("w", OTHER_PROJECT, 7)

    def login(self) -> httpx.Response:
        user = {"name": "admin", "domain": {"id": "default"}, "password": "secret admin"}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        answer = self.http.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return answer

    def put(self, volume: str, project: str, size: int) -> str:
        payload = {
            "volume_id": volume,
            "tenant_id": project,
            "size": size,
            "display_name": "data",
            "host": "node1@file",
        }
        with self.database.write() as tx:
            return emit(tx, "volume.exists", payload, caller=ADMIN, resource_id=volume, generated=GENERATED + size)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(f"/metering/v2{path}", **{"headers": self.admin, **options})

    def ceilometer(self, *words: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OS_")},
            "OS_AUTH_URL": f"{self.base}/identity/v3",
            "OS_USERNAME": "admin",
            "OS_PASSWORD": "secret admin",
            "OS_PROJECT_NAME": "admin",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run([CEILOMETER, *words], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        self.http.close()
        self.database.close()


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("metering")
    port = free_port()
    with databases.fresh(str(request.param)) as url, Processes(folder) as processes:
        process = processes.start(BIN / "python", "-m", "tests.metering.served", str(folder / "state"), url, str(port))
        process.wait_for_output("listening", 60)
        made = Served(url, f"http://127.0.0.1:{port}")
        try:
            yield made
        finally:
            made.close()


def cells(table: str) -> list[list[str]]:
    """The rows of a printed table."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_ceilometer_lists_the_events_of_story_1(served: Served) -> None:
    table = served.ceilometer("event-list", "-q", "event_type=volume.exists")
    for message_id in [*served.ids, served.foreign]:
        assert re.search(rf"\| {message_id} \| volume\.exists \| 2026-11-01T00:00:00\.00000\d \|", table)
    assert re.search(r"\|\s+size\s+\| integer\s*\|\s+2\s+\|", table)
    assert re.search(r"\|\s+display_name\s+\|\s+string\s+\|\s+data\s+\|", table)
    assert served.ceilometer("event-list", "-q", "event_type=volume.exists;size>integer::2").count("volume.exists") == 1
    shown = served.ceilometer("event-show", served.ids[0])
    assert "volume.exists" in shown and VOLUME in shown
    assert "volume.exists" in served.ceilometer("event-type-list")
    assert ["size", "integer"] in cells(served.ceilometer("trait-description-list", "-e", "volume.exists"))
    values = cells(served.ceilometer("trait-list", "-e", "volume.exists", "-t", "size"))
    assert sorted(row[1] for row in values) == ["1", "2", "7"]


def test_ceilometer_lists_the_samples_of_story_1(served: Served) -> None:
    rows = cells(served.ceilometer("sample-list", "-m", "volume.exists", "-q", f"resource_id={VOLUME}"))
    expected = [VOLUME, "volume.exists", "delta", "1.0", "volume"]
    assert [row[:5] for row in rows] == [expected, expected]
    assert rows[0][5] == "2026-11-01T00:00:00.000002"
    sizes = cells(served.ceilometer("sample-list", "-m", "volume.size"))
    assert [row[:5] for row in sizes] == [
        ["w", "volume.size", "gauge", "7.0", "GiB"],
        [VOLUME, "volume.size", "gauge", "2.0", "GiB"],
        [VOLUME, "volume.size", "gauge", "1.0", "GiB"],
    ]
    everything = cells(served.ceilometer("sample-list", "-l", "4"))
    assert len(everything) == 4
    assert "volume" in served.ceilometer("sample-show", everything[0][0])
    query = served.ceilometer("query-samples", "-f", '{"and": [{"=": {"meter": "volume.size"}}, {">": {"volume": 1}}]}')
    assert len(cells(query)) == 2


def test_ceilometer_knows_meters_resources_and_statistics(served: Served) -> None:
    names = {row[0] for row in cells(served.ceilometer("meter-list"))}
    assert {"volume", "volume.exists", "volume.size"} <= names
    assert len(cells(served.ceilometer("meter-list", "--unique", "True"))) >= 3
    resources = cells(served.ceilometer("resource-list"))
    assert [row[0] for row in resources][:2] == [VOLUME, "w"]
    assert VOLUME in served.ceilometer("resource-show", VOLUME)
    (row,) = cells(served.ceilometer("statistics", "-m", "volume.size"))
    assert row[3:8] == ["7.0", "1.0", "3.3333333333333335", "10.0", "3"]
    grouped = served.ceilometer(
        "statistics", "-m", "volume.size", "-g", "resource_id", "-a", "sum", "-a", "cardinality<-user_id"
    )
    assert len(cells(grouped)) == 2
    assert "samples:query:complex" in served.ceilometer("capabilities")


def test_discovery_needs_no_token(served: Served) -> None:
    assert served.http.get("/metering").json()["versions"]["values"][0]["id"] == "v2"
    assert served.http.get("/metering/v2").status_code == 200


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/events?limit=0", "limit"),
        ("/events?limit=x", "limit"),
        ("/events?limit=10001", "limit"),
        ("/events?marker=nobody", "marker"),
        ("/events?sort=size", "sort"),
        ("/events?colour=red", "colour"),
        ("/events?q.field=a&q.op=like&q.value=1", "q.op"),
        ("/events?q.field=a", "q.value"),
        ("/events?q.field=size&q.type=integer&q.value=x", "size"),
        ("/samples?q.field=colour&q.value=1", "q.field"),
        ("/meters/volume?limit=-1", "limit"),
        ("/meters?unique=perhaps", "unique"),
        ("/meters/volume/statistics?period=x", "period"),
        ("/meters/volume/statistics?groupby=x", "groupby"),
        ("/meters/volume/statistics?aggregate.func=x", "aggregate.func"),
        ("/meters/volume/statistics?aggregate.func=cardinality", "aggregate.param"),
        ("/resources?q.field=meter&q.value=x", "q.field"),
    ],
)
def test_a_bad_question_is_told_which_part_is_wrong(served: Served, path: str, named: str) -> None:
    answer = served.get(path)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error_message"]
    assert named in error["faultstring"] and error["faultcode"] == "Client"


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "{"},
        {"filter": '{"like": {"a": 1}}'},
        {"filter": 5},
        {"orderby": "{}x"},
        {"limit": 0},
        {"limit": "many"},
        {"colour": "red"},
    ],
)
def test_a_bad_complex_query_is_refused(served: Served, body: dict[str, Any]) -> None:
    answer = served.http.post("/metering/v2/query/samples", headers=served.admin, json=body)
    assert answer.status_code == 400, answer.text
    assert next(iter(body)) in answer.json()["error_message"]["faultstring"]


def test_missing_things_are_404(served: Served) -> None:
    for path in ("/events/nobody", "/samples/nobody", "/resources/nobody", "/nowhere"):
        answer = served.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["error_message"]["faultstring"]
    assert served.get("/meters/cpu_util").json() == []
    assert served.get("/events", headers={}).status_code == 401


def test_links_of_a_resource_lead_to_its_samples(served: Served) -> None:
    resource = served.get(f"/resources/{VOLUME}").json()
    links = {link["rel"]: link["href"] for link in resource["links"]}
    found = served.http.get(links["volume.size"], headers=served.admin).json()
    assert [sample["counter_volume"] for sample in found] == [2.0, 1.0]
    assert served.http.get(links["self"], headers=served.admin).json() == resource
    assert len(served.get("/resources?meter_links=0").json()[0]["links"]) == 1


def test_samples_have_all_their_fields(served: Served) -> None:
    new = served.get("/samples?limit=1").json()[0]
    assert set(new) == {
        "id", "meter", "type", "unit", "volume", "user_id", "project_id", "resource_id", "source", "timestamp",
        "recorded_at", "metadata",
    }  # fmt: skip
    assert served.get(f"/samples/{new['id']}").json() == new
    old = served.get("/meters/volume.size").json()[0]
    assert set(old) == {
        "source", "counter_name", "counter_type", "counter_unit", "counter_volume", "user_id", "project_id",
        "resource_id", "timestamp", "recorded_at", "resource_metadata", "message_id",
    }  # fmt: skip
    after = served.get(f"/meters/volume.size?limit=5&marker={old['message_id']}").json()
    assert len(after) == 2 and json.dumps(old) not in json.dumps(after)
