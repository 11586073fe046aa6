"""Every filter and sort key of the volume face's lists, from its microversion on, over data that tell a wrong one."""

from collections.abc import Callable
from typing import Any

import pytest

from pumice.caller import new_id
from tests.api.volume_cloud import MISSING, Account, ServedCloud
from tests.block.cloud import BACKEND

pytestmark = pytest.mark.real

POOL = f"{BACKEND}#pool"


class Shelf:
    """Volumes a, b and c, which differ in whatever can be asked; each has a snapshot (sa, sb, sc), b an attachment."""

    def __init__(self, served: ServedCloud, operator: Account) -> None:
        self.operator = operator
        self.user = served.account()
        self.mate = served.account("member", self.user.project_id)
        self.nova = served.nova(self.user)
        kind = operator.ask("POST", "/types", {"volume_type": {"name": f"kind-{new_id()}"}})["volume_type"]
        self.kind: dict[str, Any] = kind
        self.ids: dict[str, str] = {}
        self._volume("a", self.user, size=3, name="alpha", description="first", metadata={"tier": "it's"})
        self._snapshot("sa", self.user, "a", name="alpha s", description="of a", metadata={"when": "now"})
        self._volume("b", self.mate, size=1, name="Beta alpha", volume_type=kind["name"], metadata={"tier": "x"})
        self._snapshot("sb", self.mate, "b", name="beta s")
        self._volume("c", self.user, name="gamma", multiattach=True, snapshot_id=self.ids["sa"])
        self._snapshot("sc", self.user, "c", name="gamma s")
        self._act("b", "os-set_bootable", {"bootable": True}, 200)
        self._act("b", "os-set_image_metadata", {"metadata": {"os": "linux"}}, 200)
        self._act("c", "os-reset_status", {"status": "error", "migration_status": "error"}, 202)
        operator.ask(
            "POST", f"/snapshots/{self.ids['sc']}/action", {"os-reset_status": {"status": "error"}}, status=202
        )
        wanted = {"volume_uuid": self.ids["b"], "instance_uuid": MISSING, "mode": "ro"}
        body = {"attachment": {**wanted, "connector": {"host": "node1", "mountpoint": "/dev/vdq"}}}
        self.attachment = self.nova.ask("POST", "/attachments", body, version="3.54")["attachment"]["id"]
        self.nova.ask("POST", f"/attachments/{self.attachment}/action", {"os-complete": {}}, version="3.54", status=204)

    def close(self) -> None:
        self.nova.ask("DELETE", f"/attachments/{self.attachment}", version="3.54")

    def _volume(self, key: str, account: Account, size: int | None = None, **fields: Any) -> None:
        self.ids[key] = account.volume(size, **fields)

    def _snapshot(self, key: str, account: Account, volume: str, **fields: Any) -> None:
        self.ids[key] = account.snapshot(self.ids[volume], **fields)

    def _act(self, key: str, action: str, value: Any, status: int) -> None:
        self.operator.ask("POST", f"/volumes/{self.ids[key]}/action", {action: value}, status=status)

    def found(self, account: Account, plural: str, query: str, version: str) -> str:
        """The keys of the things in the answer, in its order: "cba"."""
        keys = {identifier: key for key, identifier in self.ids.items()}
        answer = account.ask("GET", f"/{plural}/detail?{query}", version=version)[plural]
        return "".join(keys[one["id"]].removeprefix("s") for one in answer if one["id"] in keys)


@pytest.fixture(scope="module")
def shelf(served: ServedCloud, operator: Account) -> Any:
    made = Shelf(served, operator)
    yield made
    made.close()


VOLUME_FILTERS: list[tuple[str, str, str | Callable[[Shelf], str], str]] = [
    ("3.0", "id", lambda shelf: shelf.ids["a"], "a"),
    ("3.0", "name", "alpha", "a"),
    ("3.0", "display_name", "gamma", "c"),
    ("3.0", "description", "first", "a"),
    ("3.0", "status", "available", "a"),
    ("3.0", "status", "in-use", "b"),
    ("3.0", "status", "error", "c"),
    ("3.0", "size", "1", "b"),
    ("3.0", "bootable", "true", "b"),
    ("3.0", "bootable", "false", "ca"),
    ("3.0", "multiattach", "True", "c"),
    ("3.0", "availability_zone", "nova", "cba"),
    ("3.0", "availability_zone", "mars", ""),
    ("3.0", "user_id", lambda shelf: shelf.mate.user_id, "b"),
    ("3.0", "volume_type_id", lambda shelf: str(shelf.kind["id"]), "b"),
    ("3.0", "volume_type", lambda shelf: str(shelf.kind["name"]), "b"),
    ("3.0", "migration_status", "error", "c"),
    ("3.0", "attach_status", "attached", "b"),
    ("3.0", "attach_status", "detached", "ca"),
    ("3.0", "source_volid", MISSING, ""),
    ("3.0", "snapshot_id", lambda shelf: shelf.ids["sa"], "c"),
    ("3.0", "replication_status", "enabled", ""),
    ("3.0", "metadata", "{'tier': 'x'}", "b"),
    ("3.0", "metadata", '{"tier": "it\'s"}', "a"),
    ("3.0", "metadata", "{'tier': \"it's\"}", "a"),
    ("3.0", "metadata", "{'tier': 'y'}", ""),
    ("3.0", "metadata", "{}", "cba"),
    ("3.4", "glance_metadata", "{'os': 'linux'}", "b"),
    ("3.4", "glance_metadata", "{'os': 'dos'}", ""),
    ("3.0", "image_metadata", "{'os': 'linux'}", "b"),
    ("3.10", "group_id", MISSING, ""),
    ("3.60", "created_at", "lt:2001-01-01T00:00:00", ""),
    ("3.60", "created_at", "gte:2001-01-01T00:00:00,lt:2999-01-01T00:00:00", "cba"),
    ("3.60", "updated_at", "gt:2999-01-01T00:00:00", ""),
    ("3.65", "consumes_quota", "true", "cba"),
    ("3.65", "consumes_quota", "false", ""),
    ("3.34", "name~", "alpha", "ba"),
    ("3.34", "name~", "ALPHA", ""),
    ("3.34", "name~", "%", ""),
    ("3.34", "description~", "irs", "a"),
    ("3.34", "status~", "use", "b"),
    ("3.34", "availability_zone~", "ov", "cba"),
]

SNAPSHOT_FILTERS: list[tuple[str, str, str | Callable[[Shelf], str], str]] = [
    ("3.0", "id", lambda shelf: shelf.ids["sa"], "a"),
    ("3.0", "name", "beta s", "b"),
    ("3.0", "display_name", "gamma s", "c"),
    ("3.0", "description", "of a", "a"),
    ("3.0", "status", "error", "c"),
    ("3.0", "volume_id", lambda shelf: shelf.ids["b"], "b"),
    ("3.0", "user_id", lambda shelf: shelf.mate.user_id, "b"),
    ("3.0", "volume_size", "1", "b"),
    ("3.0", "volume_type_id", lambda shelf: str(shelf.kind["id"]), "b"),
    ("3.0", "availability_zone", "mars", ""),
    ("3.0", "availability_zone", "nova", "cba"),
    ("3.0", "group_snapshot_id", MISSING, ""),
    ("3.22", "metadata", "{'when': 'now'}", "a"),
    ("3.0", "created_at", "gt:2999-01-01T00:00:00", ""),
    ("3.0", "updated_at", "gt:2999-01-01T00:00:00", ""),
    ("3.65", "consumes_quota", "true", "cba"),
    ("3.65", "consumes_quota", "false", ""),
    ("3.34", "name~", "a s", "cba"),
    ("3.34", "name~", "alp", "a"),
    ("3.34", "description~", "of", "a"),
    ("3.34", "status~", "rro", "c"),
]


def _below(version: str) -> str | None:
    """The microversion before; None before the first."""
    minor = int(version.split(".")[1])
    return f"3.{minor - 1}" if minor else None


@pytest.mark.parametrize(("plural", "table"), [("volumes", VOLUME_FILTERS), ("snapshots", SNAPSHOT_FILTERS)])
def test_every_filter_from_its_version_on(shelf: Shelf, plural: str, table: list[Any]) -> None:
    for since, name, given, expected in table:
        value = given if isinstance(given, str) else given(shelf)
        query = f"{name.replace('~', '%7E')}={value.replace('%', '%25')}"
        for version in (since, "3.71"):
            assert shelf.found(shelf.user, plural, query, version) == expected, (version, query)
        below = _below(since)
        if below is None:
            continue
        if below >= "3.31" and len(below) == 4:
            assert name in shelf.user.refused("GET", f"/{plural}?{query}", status=400, version=below)
        else:
            assert shelf.found(shelf.user, plural, query, below) == "cba", (below, query)


def test_the_tables_above_have_every_filter(shelf: Shelf) -> None:
    for resource, table, special in (
        ("volume", VOLUME_FILTERS, {"host", "host~", "project_id"}),
        ("snapshot", SNAPSHOT_FILTERS, {"host", "project_id"}),
    ):
        path = f"/resource_filters?resource={resource}"
        (told,) = shelf.operator.ask("GET", path, version="3.71")["resource_filters"]
        assert set(told["filters"]) == {name for _, name, _, _ in table} | special
        (told,) = shelf.user.ask("GET", path, version="3.71")["resource_filters"]
        assert set(told["filters"]) == {name for _, name, _, _ in table}


def test_hosts_and_projects_are_filtered_by_administrators(shelf: Shelf) -> None:
    mine = f"all_tenants=1&project_id={shelf.user.project_id}"
    host = POOL.replace("#", "%23")
    for text, expected in ((host, "cba"), (BACKEND, "cba"), ("node1", "cba"), ("node", ""), (f"{BACKEND}%23x", "")):
        assert shelf.found(shelf.operator, "volumes", f"{mine}&host={text}", "3.71") == expected, text
    assert shelf.found(shelf.operator, "volumes", f"{mine}&host%7E=emor", "3.71") == "cba"
    assert shelf.found(shelf.operator, "snapshots", f"{mine}&host={BACKEND}", "3.71") == "cba"
    assert shelf.found(shelf.operator, "snapshots", f"{mine}&host=elsewhere@x", "3.71") == ""
    assert shelf.found(shelf.operator, "volumes", f"all_tenants=1&project_id={new_id()}", "3.71") == ""
    assert shelf.found(shelf.user, "volumes", "host=nowhere", "3.30") == "cba"
    assert "host" in shelf.user.refused("GET", "/volumes?host=nowhere", version="3.31", status=400)


def test_unknown_filters_are_named_since_they_are_known(shelf: Shelf) -> None:
    for plural in ("volumes", "snapshots", "attachments", "messages"):
        assert shelf.user.ask("GET", f"/{plural}?moon=full", version="3.30")
        assert "moon" in shelf.user.refused("GET", f"/{plural}?moon=full", version="3.31", status=400)


VOLUME_SORTS = {
    "id": None,
    "name": "bac",
    "display_name": "bac",
    "status": "acb",
    "size": "bac",
    "availability_zone": None,
    "bootable": "acb",
    "created_at": "abc",
    "updated_at": None,
    "host": None,
    "volume_type_id": None,
    "project_id": None,
    "user_id": None,
    "migration_status": "abc",
    "attach_status": "bac",
    "launched_at": "abc",
}
"""Key, and the ascending order (ties by id are left out: None)."""
SNAPSHOT_SORTS = {
    "id": None,
    "name": "abc",
    "display_name": "abc",
    "status": "abc",
    "volume_id": None,
    "created_at": "abc",
    "updated_at": None,
    "project_id": None,
    "user_id": None,
    "size": "bac",
    "volume_size": "bac",
}


@pytest.mark.parametrize(("plural", "table"), [("volumes", VOLUME_SORTS), ("snapshots", SNAPSHOT_SORTS)])
def test_every_sort_key_both_ways_and_page_by_page(shelf: Shelf, plural: str, table: dict[str, str | None]) -> None:
    for key, expected in table.items():
        tied = "" if expected is None or len(expected) < 3 else expected
        up = shelf.found(shelf.user, plural, f"sort={key}:asc,created_at:asc", "3.71")
        down = shelf.found(shelf.user, plural, f"sort_key={key},created_at&sort_dir=desc,desc", "3.71")
        assert up == down[::-1] and sorted(up) == ["a", "b", "c"], key
        if tied:
            assert up == tied, key
        walked, marker = "", ""
        while True:
            query = f"limit=1&sort={key}:asc,created_at:asc{marker}"
            found = shelf.found(shelf.user, plural, query, "3.71")
            if not found:
                break
            walked += found
            marker = f"&marker={shelf.ids[found if plural == 'volumes' else f's{found}']}"
        assert walked == up, key
    assert shelf.found(shelf.user, plural, "sort=created_at:asc&offset=1&limit=1", "3.71") == "b"


def test_snapshots_are_sorted_by_name_since_3_30(shelf: Shelf) -> None:
    for query in ("sort=name:asc", "sort_key=name&sort_dir=asc", "sort=id,name"):
        assert "3.30" in shelf.user.refused("GET", f"/snapshots?{query}", version="3.29", status=400)
        assert shelf.user.ask("GET", f"/snapshots?{query}", version="3.30")["snapshots"]


def test_attachments_are_filtered_and_sorted(shelf: Shelf) -> None:
    extra = shelf.nova.ask(
        "POST",
        "/attachments",
        {"attachment": {"volume_uuid": shelf.ids["a"], "instance_uuid": new_id()}},
        version="3.27",
    )["attachment"]["id"]
    first, both = [shelf.attachment], [extra, shelf.attachment]
    for query, expected in (
        ("", both),
        (f"id={extra}", [extra]),
        (f"volume_id={shelf.ids['b']}", first),
        (f"instance_id={MISSING}", first),
        (f"instance_uuid={MISSING}", first),
        ("status=attached", first),
        ("attach_status=reserved", [extra]),
        ("attach_mode=ro", first),
        ("mountpoint=/dev/vdq", first),
        ("attached_host=node1", first),
        ("sort=created_at:asc", both[::-1]),
        ("sort=attach_status:asc", both[::-1]),
        ("sort=instance_id:asc&limit=1", first),
        ("limit=1&offset=1", first),
        (f"marker={extra}", first),
    ):
        found = [one["id"] for one in shelf.user.ask("GET", f"/attachments?{query}", version="3.71")["attachments"]]
        assert found == expected, query
    shelf.nova.ask("DELETE", f"/attachments/{extra}", version="3.27")


def test_messages_are_filtered_sorted_and_paged_since_3_5(served: ServedCloud) -> None:
    user = served.account()
    made = [user.ask("POST", "/volumes", {"volume": {"size": 5000}}, status=202)["volume"]["id"] for _ in range(3)]
    every = user.ask("GET", "/messages?sort=created_at:asc", version="3.5")["messages"]
    assert [one["resource_uuid"] for one in every] == made
    second = every[1]
    for query, expected in (
        (f"id={second['id']}", [1]),
        (f"resource_uuid={made[2]}", [2]),
        ("resource_type=VOLUME", [0, 1, 2]),
        ("resource_type=SNAPSHOT", []),
        (f"event_id={second['event_id']}", [0, 1, 2]),
        ("event_id=other", []),
        (f"request_id={second['request_id']}", [1]),
        ("message_level=ERROR", [0, 1, 2]),
        ("message_level=INFO", []),
        ("limit=2", [0, 1]),
        ("limit=0", []),
        ("limit=1&offset=1", [1]),
        (f"marker={every[0]['id']}", [1, 2]),
        (f"marker={every[0]['id']}&limit=1", [1]),
    ):
        answer = user.ask("GET", f"/messages?sort=created_at:asc&{query}", version="3.71")
        assert [one["id"] for one in answer["messages"]] == [every[place]["id"] for place in expected], query
        if query == "limit=2":
            (link,) = answer["messages_links"]
            assert user.ask("GET", link["href"], version="3.71")["messages"] == every[2:]
        assert len(user.ask("GET", f"/messages?{query}", version="3.4")["messages"]) == 3
    for key in ("id", "event_id", "resource_type", "resource_uuid", "request_id", "message_level", "guaranteed_until"):
        up = user.ask("GET", f"/messages?sort={key}:asc", version="3.71")["messages"]
        assert up == user.ask("GET", f"/messages?sort={key}:desc", version="3.71")["messages"][::-1]
    assert "moon" in user.refused("GET", "/messages?sort=moon:asc", version="3.71", status=400)
    assert MISSING in user.refused("GET", f"/messages?marker={MISSING}", version="3.71", status=404)


def test_the_summary_counts_what_a_list_has(shelf: Shelf) -> None:
    for query, count, size in (
        ("", 3, 7),
        ("name=alpha", 1, 3),
        ("status=in-use", 1, 1),
        ("metadata={'tier': 'x'}", 1, 1),
        ("volume_type=" + shelf.kind["name"], 1, 1),
        ("name=none", 0, 0),
    ):
        found = shelf.user.ask("GET", f"/volumes/summary?{query}", version="3.36")["volume-summary"]
        assert (found["total_count"], found["total_size"]) == (count, size), query
    everyone = f"all_tenants=1&project_id={shelf.user.project_id}"
    found = shelf.operator.ask("GET", f"/volumes/summary?{everyone}", version="3.36")["volume-summary"]
    assert found == {"total_count": 3, "total_size": 7, "metadata": {"tier": ["it's", "x"]}}


def test_pools_are_filtered(shelf: Shelf) -> None:
    path = "/scheduler-stats/get_pools"
    foreign = {"volume_type": {"name": f"foreign-{new_id()}", "extra_specs": {"volume_backend_name": "other"}}}
    other = shelf.operator.ask("POST", "/types", foreign)["volume_type"]["name"]
    both = [{"name": POOL}]
    for version, query, expected in (
        ("3.28", "name=x", []),
        ("3.27", "name=x", both),
        ("3.28", f"name={POOL.replace('#', '%23')}", both),
        ("3.35", f"volume_type={other}", []),
        ("3.35", f"volume_type={shelf.kind['name']}", both),
    ):
        assert shelf.operator.ask("GET", f"{path}?{query}", version=version)["pools"] == expected, query
    assert "volume_type" in shelf.operator.refused("GET", f"{path}?volume_type=x", version="3.34", status=400)
    assert "golden" in shelf.operator.refused("GET", f"{path}?volume_type=golden", version="3.35", status=404)
    assert "moon" in shelf.operator.refused("GET", f"{path}?moon=full", version="3.31", status=400)
