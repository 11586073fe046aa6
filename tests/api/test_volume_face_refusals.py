"""What the volume face refuses over HTTP: bad bodies and ids, strangers, readers; idempotency keys; races."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pumice.api.volume import ROUTES
from tests.api.volume_cloud import MISSING, Account, ServedCloud

pytestmark = pytest.mark.real

CLIENTS = 8


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"size": "big"}, "volume.size"),
        ({"size": 0}, "volume.size"),
        ({"size": -1}, "volume.size"),
        ({"size": 1.5}, "volume.size"),
        ({"size": 10**30}, "volume.size"),
        ({"size": 2**40}, "size"),
        ({}, "size"),
        ({"size": 1, "name": 5}, "volume.name"),
        ({"size": 1, "name": "x" * 256}, "volume.name"),
        ({"size": 1, "name": "a\0b"}, "volume.name"),
        ({"size": 1, "description": ["x"]}, "volume.description"),
        ({"size": 1, "metadata": "x"}, "volume.metadata"),
        ({"size": 1, "metadata": {"b": "right", "a": 1}}, "'volume.metadata.a': 1; expected `str`"),
        ({"size": 1, "metadata": {"": "x"}}, "'volume.metadata': ''; a key of it"),
        ({"size": 1, "metadata": {"k" * 256: "x"}}, "'volume.metadata': 'kkk"),
        ({"size": 1, "metadata": {"b": "right", "a": "x" * 256}}, "'volume.metadata.a': 'xxx"),
        ({"size": 1, "availability_zone": "moon"}, "'availability_zone': 'moon'; there are nova"),
        ({"size": 1, "multiattach": "perhaps"}, "volume.multiattach"),
        ({"size": 1, "snapshot_id": 5}, "volume.snapshot_id"),
        ({"size": 1, "volume_type": {}}, "volume.volume_type"),
        ({"size": 1, "nonsense": True}, "nonsense"),
        ({"size": 1, "group_id": MISSING}, "group_id"),
        ({"size": 1, "snapshot_id": MISSING, "source_volid": MISSING}, "one source"),
    ],
)
def test_a_wrong_field_of_a_new_volume_is_named(guest: Account, fields: dict[str, Any], named: str) -> None:
    assert named in guest.refused("POST", "/volumes", {"volume": fields}, status=400)
    assert guest.ask("GET", "/volumes") == {"volumes": []}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"snapshot_id": MISSING}, f"Snapshot {MISSING}"),
        ({"source_volid": "no uuid"}, "Volume no uuid"),
        ({"size": 1, "volume_type": "golden"}, "golden"),
        ({"size": 1, "imageRef": MISSING}, MISSING),
    ],
)
def test_what_a_volume_cannot_be_made_of_is_named(guest: Account, fields: dict[str, Any], named: str) -> None:
    answer = guest.send("POST", "/volumes", {"volume": fields})
    assert answer.status_code in (400, 404)
    assert named in answer.text
    assert guest.ask("GET", "/volumes") == {"volumes": []}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("os-extend", {"new_size": "wide"}, "new_size"),
        ("os-extend", {"new_size": 0}, "new_size"),
        ("os-extend", {}, "new_size"),
        ("os-extend", None, "os-extend"),
        ("os-extend", {"new_size": 2**50}, "new_size"),
        ("os-extend", {"new_size": 5000}, "100 GiB free of 4999 GiB asked"),
        ("os-set_bootable", {"bootable": "perhaps"}, "bootable"),
        ("os-attach", {"instance_uuid": 5}, "instance_uuid"),
        ("os-attach", {"instance_uuid": MISSING, "mountpoint": ""}, "mountpoint"),
        ("os-attach", {}, "instance_uuid"),
        ("os-attach", {"instance_uuid": MISSING, "mode": "sideways"}, "'sideways'; one of rw, ro"),
        ("os-retype", {"new_type": "x", "migration_policy": "maybe"}, "migration_policy': 'maybe'; one of never, on-"),
        ("os-detach", {"attachment_id": []}, "attachment_id"),
        ("os-reserve", {"x": 1}, "x"),
        ("os-frobnicate", {}, "os-frobnicate"),
    ],
)
def test_a_wrong_field_of_an_action_is_named(guest: Account, key: str, value: Any, named: str) -> None:
    volume = guest.volume()
    assert named in guest.refused("POST", f"/volumes/{volume}/action", {key: value}, status=400)
    assert guest.status(volume) == "available"
    guest.ask("DELETE", f"/volumes/{volume}", status=202)
    guest.wait_gone(f"/volumes/{volume}")


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/snapshots", {"snapshot": {}}, "volume_id"),
        ("POST", "/snapshots", {"snapshot": {"volume_id": 5}}, "volume_id"),
        ("POST", "/snapshots", {"snapshot": {"volume_id": MISSING, "metadata": [1]}}, "metadata"),
        ("POST", "/snapshots", {"snapshot": {"volume_id": MISSING, "name": {}}}, "name"),
        ("POST", "/snapshots", {"snapshot": {"volume_id": MISSING, "force": "maybe"}}, "snapshot.force"),
        ("POST", "/attachments", {"attachment": {}}, "volume_uuid"),
        ("POST", "/attachments", {"attachment": {"volume_uuid": 5}}, "volume_uuid"),
        ("POST", "/attachments", {"attachment": {"volume_uuid": MISSING, "connector": "c"}}, "connector"),
        ("POST", "/attachments", {"attachment": {"volume_uuid": MISSING, "mode": "ro"}}, "mode"),
        ("PUT", f"/volumes/{MISSING}", {"volume": {"name": 5}}, "name"),
        ("PUT", f"/volumes/{MISSING}", {"volume": {"size": 5}}, "size"),
        ("PUT", f"/volumes/{MISSING}/metadata", {"metadata": {"a": None}}, "metadata"),
        ("PUT", f"/volumes/{MISSING}/metadata/a", {"meta": "a"}, "meta"),
        ("PUT", f"/attachments/{MISSING}", {"attachment": {"connector": None}}, "connector"),
        ("PUT", f"/attachments/{MISSING}", {"attachment": {}}, "connector"),
        ("POST", "/volumes", {"size": 1}, "size"),
        ("POST", "/volumes", [], "object"),
        ("POST", f"/volumes/{MISSING}/action", {}, "one key"),
        ("DELETE", f"/volumes/{MISSING}?cascade=maybe", None, "cascade"),
        ("DELETE", f"/volumes/{MISSING}?force=maybe", None, "force"),
    ],
)
def test_a_wrong_field_of_any_body_is_named(guest: Account, method: str, path: str, body: Any, named: str) -> None:
    assert named in guest.refused(method, path, body, version="3.44", status=400)


def test_a_snapshot_or_attachment_of_what_is_not_there_is_404(guest: Account) -> None:
    assert MISSING in guest.refused("POST", "/snapshots", {"snapshot": {"volume_id": MISSING}}, status=404)
    body = {"attachment": {"volume_uuid": MISSING}}
    assert MISSING in guest.refused("POST", "/attachments", body, version="3.27", status=404)


def _paths() -> list[tuple[str, str]]:
    """(method, path with {id}) of every route of one volume, snapshot, attachment or message."""
    found = []
    for route in ROUTES:
        if route.path == "/snapshots/{snapshot_id}/action":  # for administrators
            continue
        for name in ("{volume_id}", "{snapshot_id}", "{attachment_id}", "{message_id}"):
            if name in route.path:
                found.append((route.method, route.path.replace(name, "{id}").replace("{key}", "k")))
    return sorted(set(found))


def _valid_body(method: str, path: str) -> Any:
    if method in ("GET", "DELETE"):
        return None
    if path.startswith("/volumes/") and path.endswith("/action"):
        return {"os-extend": {"new_size": 5}}
    if path.endswith("/action"):
        return {"os-complete": {}}
    if path.endswith("/metadata"):
        return {"metadata": {"k": "v"}}
    if path.endswith("/metadata/k"):
        return {"meta": {"k": "v"}}
    if path.startswith("/attachments/"):
        return {"attachment": {"connector": {"host": "node1"}}}
    return {path.split("/")[1].removesuffix("s"): {"name": "n"}}


@pytest.mark.parametrize(("method", "path"), _paths())
def test_no_such_id_is_404(guest: Account, method: str, path: str) -> None:
    body = _valid_body(method, path)
    for identifier in (MISSING, "no-uuid", "%F0%9F%A6%86", "a" * 300, MISSING.upper().replace("0", "A")):
        guest.ask(method, path.format(id=identifier), body, version="3.71", status=404)
    guest.ask(method, path.format(id=""), body, version="3.71", status=404)


def test_what_belongs_to_another_project_is_404(user: Account, served: ServedCloud) -> None:
    volume = user.volume(metadata={"k": "v"})
    snapshot = user.snapshot(volume, metadata={"k": "v"})
    body = {"attachment": {"volume_uuid": volume}}
    attachment = user.ask("POST", "/attachments", body, version="3.71")["attachment"]["id"]
    stranger = served.account()
    ids = {"volumes": volume, "snapshots": snapshot, "attachments": attachment}
    for method, path in _paths():
        kind = path.split("/")[1]
        if kind in ids:
            stranger.ask(method, path.format(id=ids[kind]), _valid_body(method, path), version="3.71", status=404)
    for body in (
        {"volume": {"size": 1, "snapshot_id": snapshot}},
        {"volume": {"size": 1, "source_volid": volume}},
    ):
        stranger.refused("POST", "/volumes", body, status=404)
    stranger.refused("POST", "/snapshots", {"snapshot": {"volume_id": volume}}, status=404)
    assert stranger.ask("GET", "/volumes") == {"volumes": []}
    assert user.status(volume) == "reserved"
    user.ask("DELETE", f"/attachments/{attachment}", version="3.71")


def test_another_project_in_the_url_is_refused(user: Account, served: ServedCloud) -> None:
    other = served.account()
    assert user.ask("GET", f"/{user.project_id}/volumes") == {"volumes": []}
    user.refused("GET", f"/{other.project_id}/volumes", status=400)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.write], ids=lambda route: route.name)
def test_a_reader_changes_nothing(reader: Account, route: Any) -> None:
    path = route.path.replace("{key}", "k")
    for name in ("volume_id", "snapshot_id", "attachment_id", "message_id"):
        path = path.replace("{" + name + "}", MISSING)
    body = {route.key: {}} if route.key else _valid_body(route.method, path)
    reader.refused(route.method, path, body, version="3.71", status=403)


def test_a_reader_reads(guest: Account, reader: Account) -> None:
    volume = guest.volume()
    assert reader.status(volume) == "available"
    assert [one["id"] for one in reader.ask("GET", "/volumes/detail")["volumes"]] == [volume]
    guest.ask("DELETE", f"/volumes/{volume}", status=202)
    guest.wait_gone(f"/volumes/{volume}")


def test_doubled_slashes_and_empty_ids_are_404(guest: Account) -> None:
    for path in ("/volumes//", "/volumes/", "/snapshots//", "/attachments/", "/volumes//metadata", "/types//"):
        guest.ask("GET", path, version="3.27", status=404)


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
def test_an_idempotency_key_makes_it_once(user: Account, kind: str) -> None:
    volume = user.volume()
    body: dict[str, Any] = {"volume": {"size": 1}} if kind == "volumes" else {"snapshot": {"volume_id": volume}}
    one = kind.removesuffix("s")
    key = {"Idempotency-Key": "the first"}
    before = len(user.ask("GET", f"/{kind}")[kind])
    first = user.ask("POST", f"/{kind}", body, headers=key, status=202)
    assert user.ask("POST", f"/{kind}", body, headers=key, status=202) == first
    assert len(user.ask("GET", f"/{kind}")[kind]) == before + 1
    other = {one: {**body[one], "name": "else"}}
    assert "the first" in user.refused("POST", f"/{kind}", other, headers=key, status=409)
    second = user.ask("POST", f"/{kind}", body, headers={"Idempotency-Key": "the second"}, status=202)
    assert second[one]["id"] != first[one]["id"]


def _at_once(call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(call, range(CLIENTS)))


def _one_wins(answers: list[httpx.Response], won: int, lost: tuple[int, ...]) -> None:
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(won) == 1, [answer.text for answer in answers]
    assert set(codes) - {won} <= set(lost), [answer.text for answer in answers]


def test_of_many_reservations_at_once_one_wins(user: Account) -> None:
    held = user.volume()
    answers = _at_once(lambda _: user.send("POST", f"/volumes/{held}/action", {"os-reserve": {}}))
    _one_wins(answers, 202, (400,))
    body = {"attachment": {"volume_uuid": user.volume()}}
    answers = _at_once(lambda _: user.send("POST", "/attachments", body, version="3.27"))
    _one_wins(answers, 200, (409,))


def test_of_many_attachments_to_one_server_at_once_one_wins(user: Account) -> None:
    volume, server = user.volume(multiattach=True), user.served.server(user)
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": server}}
    answers = _at_once(lambda _: user.send("POST", "/attachments", body, version="3.27"))
    _one_wins(answers, 200, (409,))


def test_of_many_deletes_and_extends_at_once_none_fails_oddly(user: Account) -> None:
    volume = user.volume()
    extend = {"os-extend": {"new_size": 2}}
    _one_wins(_at_once(lambda _: user.send("POST", f"/volumes/{volume}/action", extend)), 202, (400, 409))
    user.wait_volume(volume, "available")
    codes = {answer.status_code for answer in _at_once(lambda _: user.send("DELETE", f"/volumes/{volume}"))}
    assert 202 in codes and codes <= {202, 404, 409}
    user.wait_gone(f"/volumes/{volume}")


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
def test_metadata_written_at_once_is_all_kept(user: Account, kind: str) -> None:
    volume = user.volume()
    path = f"/{kind}/{volume if kind == 'volumes' else user.snapshot(volume)}/metadata"
    for answer in _at_once(lambda number: user.send("POST", path, {"metadata": {f"k{number}": "v"}})):
        assert answer.status_code == 200, answer.text
    assert set(user.ask("GET", path)["metadata"]) == {f"k{number}" for number in range(CLIENTS)}
    for answer in _at_once(lambda number: user.send("DELETE", f"{path}/k{number}")):
        assert answer.status_code == 200, answer.text
    assert user.ask("GET", path) == {"metadata": {}}


def test_one_idempotency_key_sent_at_once_makes_one_volume(user: Account) -> None:
    key = {"Idempotency-Key": "all together"}
    answers = _at_once(lambda _: user.send("POST", "/volumes", {"volume": {"size": 1}}, headers=key))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["volume"]["id"] for answer in answers}) == 1
    assert len(user.ask("GET", "/volumes")["volumes"]) == 1
