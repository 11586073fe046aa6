"""Answers that wait for an operation, the deadline, idempotency over it; a database that goes away; proxies."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from pumice.caller import new_id, system_caller
from pumice.db.engine import Database, Transaction
from pumice.operations import store
from pumice.operations.model import Operation, OperationRow, Step
from tests.api.cloud import ToyCloud
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def database(cloud: ToyCloud) -> Iterator[Database]:
    opened = Database(cloud.database_url)
    yield opened
    opened.close()


class Nothing(msgspec.Struct, frozen=True):
    """The arguments of an operation that nobody works on."""


def nobody(tx: Transaction, *run: object) -> None:
    """What it settles and how it fails: nothing is recorded."""


IDLE = Operation("toy.idle", Nothing, subject="toy", steps=(Step("rest", record=nobody),), failed=nobody, settle=nobody)


def start_operation(database: Database) -> OperationRow:
    with database.write() as tx:
        return store.enqueue(tx, IDLE, Nothing(), subject_id=new_id(), claims=[], caller=system_caller())


def end_operation(database: Database, row: OperationRow) -> None:
    with database.write() as tx:
        assert store.finish(tx, row, "done", results={}) is not None


def test_past_the_deadline_it_is_504_and_the_same_request_again_answers(
    cloud: ToyCloud, demo: dict[str, str], database: Database
) -> None:
    row = start_operation(database)
    path = f"/volume/v3/operations/{row.id}"
    late = cloud.http.get(path, headers=demo)
    assert (late.status_code, late.json()["gatewayTimeout"]["code"]) == (504, 504)
    end_operation(database, row)
    assert cloud.http.get(path, headers=demo).json() == {"state": "done"}


def test_an_idempotency_key_finds_the_operation_that_is_awaited(
    cloud: ToyCloud, demo: dict[str, str], database: Database
) -> None:
    row = start_operation(database)
    headers = {**demo, "Idempotency-Key": str(uuid.uuid4())}
    path = f"/volume/v3/operations/{row.id}"
    assert cloud.http.post(path, headers=headers).status_code == 504
    assert cloud.http.post(path, headers=headers).status_code == 504
    end_operation(database, row)
    first, again = (cloud.http.post(path, headers=headers) for _ in range(2))
    assert [answer.json() for answer in (first, again)] == [{"state": "done"}] * 2
    assert cloud.http.post(path, headers=headers, json={"other": "body"}).status_code == 409


def test_a_flood_of_forged_tokens_takes_no_write_lock(
    cloud: ToyCloud, demo: dict[str, str], database: Database
) -> None:
    with database.write():
        begin = time.monotonic()
        for _ in range(20):
            body = {"toy": {"name": "x"}}
            forged = {"X-Auth-Token": uuid.uuid4().hex}
            assert cloud.http.post("/volume/v3/toys", headers=forged, json=body).status_code == 401
        assert cloud.http.get("/volume/v3/toys", headers=demo).status_code == 200
        assert time.monotonic() - begin < 5


def test_without_its_database_it_is_503_and_comes_back_by_itself(
    databases: Databases, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with databases.fresh("postgresql") as url:
        cloud = ToyCloud(tmp_path / "state", url)
        try:
            demo = cloud.token("demo", "demo")
            postgres_server.stop()
            try:
                for path in ("/volume/v3/toys", "/volume/v3/who", "/healthz"):
                    answer = cloud.http.get(path, headers=demo)
                    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), path
                assert cloud.toy(demo, "not now").status_code == 503
            finally:
                postgres_server.start()
            wait_until(lambda: cloud.http.get("/healthz").status_code == 200, 10, "the API serves again")
            assert cloud.toy(demo, "now").status_code == 202
        finally:
            cloud.close()


def test_only_a_trusted_proxy_is_believed(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("sqlite") as url:
        cloud = ToyCloud(tmp_path / "state", url, environment={"PUMICE_TRUSTED_PROXIES": '["127.0.0.2"]'})
        try:
            demo = cloud.token("demo", "demo")
            said = {
                **demo,
                "X-Forwarded-For": "192.0.2.7, 192.0.2.8",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "cloud.example",
            }
            transport = httpx.HTTPTransport(local_address="127.0.0.2")
            with httpx.Client(transport=transport, base_url=cloud.http.base_url) as proxy:
                assert proxy.get("/volume/v3/who", headers=said).json()["client"] == "192.0.2.8"
                link = proxy.get("/volume/", headers=said).json()["versions"][0]["links"][0]["href"]
                assert link == "https://cloud.example/volume/v3/"
            assert cloud.http.get("/volume/v3/who", headers=said).json()["client"] == "127.0.0.1"
            link = cloud.http.get("/volume/", headers=said).json()["versions"][0]["links"][0]["href"]
            assert link == f"{str(cloud.http.base_url).rstrip('/')}/volume/v3/"
        finally:
            cloud.close()
