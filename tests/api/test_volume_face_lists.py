"""Lists of the volume face over HTTP: paging to the end, filters, sort keys, markers, what is refused."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pumice.caller import new_id
from tests.api.volume_cloud import MISSING, Account, ServedCloud

pytestmark = pytest.mark.real


def _pages(user: Account, path: str, plural: str, version: str = "3.27") -> list[list[dict[str, Any]]]:
    """Every page, by following `next` to the end."""
    pages, url = [], path
    while url:
        answer = user.ask("GET", url, version=version)
        pages.append(answer[plural])
        links = answer.get(f"{plural}_links", [])
        assert [link["rel"] for link in links] in ([], ["next"])
        url = links[0]["href"] if links else ""
        assert len(pages) < 50
    return pages


@pytest.mark.parametrize("path", ["/volumes", "/volumes/detail"])
def test_following_next_shows_every_volume_once(user: Account, served: ServedCloud, path: str) -> None:
    made = [user.volume(name=f"v{number}") for number in range(5)]
    first = user.ask("GET", f"{path}?limit=2&sort=name:asc&status=available")
    (link,) = first["volumes_links"]
    asked = urlsplit(link["href"])
    assert link["href"].startswith(f"{served.url}/volume/v3{path}?")
    assert parse_qs(asked.query) == {
        "limit": ["2"],
        "sort": ["name:asc"],
        "status": ["available"],
        "marker": [made[1]],
    }
    pages = _pages(user, f"{path}?limit=2&sort=name:asc&status=available", "volumes")
    assert [[volume["id"] for volume in page] for page in pages] == [made[:2], made[2:4], made[4:]]


def test_following_next_shows_every_snapshot_and_attachment_once(user: Account, nova: Account) -> None:
    volume = user.volume()
    snapshots = {user.snapshot(volume) for _ in range(3)}
    found = [one["id"] for page in _pages(user, "/snapshots?limit=1", "snapshots") for one in page]
    assert len(found) == 3 and set(found) == snapshots
    attachments = set()
    for _ in range(3):
        body = {"attachment": {"volume_uuid": user.volume(), "instance_uuid": MISSING}}
        attachments.add(nova.ask("POST", "/attachments", body, version="3.27")["attachment"]["id"])
    for path in ("/attachments?limit=2", "/attachments/detail?limit=2"):
        pages = _pages(user, path, "attachments")
        assert [len(page) for page in pages] == [2, 1]
        assert {one["id"] for page in pages for one in page} == attachments
    for attachment in attachments:
        nova.ask("DELETE", f"/attachments/{attachment}", version="3.27")


def test_following_next_shows_every_type_once(operator: Account) -> None:
    names = sorted(new_id() for _ in range(3))
    for name in names:
        operator.ask("POST", "/types", {"volume_type": {"name": name, "description": "paged"}})
    pages = _pages(operator, "/types?limit=2&sort=name:asc&description=paged", "volume_types")
    assert [[one["name"] for one in page] for page in pages] == [names[:2], names[2:]]
    assert operator.ask("GET", "/types?limit=0") == {"volume_types": []}
    assert MISSING in operator.refused("GET", f"/types?marker={MISSING}", status=404)


def test_volumes_are_filtered(user: Account) -> None:
    plain = user.volume(1, name="plain", metadata={"tier": "one"})
    copy = user.volume(2, name="copy", source_volid=plain, metadata={"tier": "two", "x": "y"})
    user.ask("POST", f"/volumes/{copy}/action", {"os-set_bootable": {"bootable": True}})
    for query, expected in (
        ("name=plain", [plain]),
        ("name=nothing", []),
        (f"id={copy}", [copy]),
        ("status=available&name=copy", [copy]),
        ("status=in-use", []),
        ("bootable=true", [copy]),
        ("bootable=false", [plain]),
        ("metadata={'tier': 'two'}", [copy]),
        ('metadata={"x":"y"}', [copy]),
        ("metadata={'tier': 'two', 'x': 'z'}", []),
        (f"source_volid={plain}", [copy]),
        ("availability_zone=nova&name=plain", [plain]),
        ("created_at=gt:2999-01-01T00:00:00", []),
        ("created_at=lt:2999-01-01T00:00:00&name=copy", [copy]),
    ):
        found = [volume["id"] for volume in user.ask("GET", f"/volumes/detail?{query}", version="3.60")["volumes"]]
        assert found == expected, query


def test_volumes_are_sorted(user: Account) -> None:
    made = {name: user.volume(size, name=name) for name, size in (("b", 3), ("a", 3), ("c", 1))}
    names = {volume: name for name, volume in made.items()}
    for query, expected in (
        ("", "cab"),
        ("sort=name", "cba"),
        ("sort=name:asc", "abc"),
        ("sort=size:asc,name:desc", "cba"),
        ("sort=size:desc,name:asc", "abc"),
        ("sort_key=created_at&sort_dir=asc", "bac"),
        ("sort_key=size,name&sort_dir=asc,asc", "cab"),
    ):
        answer = user.ask("GET", f"/volumes?{query}")["volumes"]
        assert "".join(names[volume["id"]] for volume in answer) == expected, query
        walked = [one["id"] for page in _pages(user, f"/volumes?limit=1&{query}", "volumes") for one in page]
        assert walked == [volume["id"] for volume in answer]


def test_a_list_is_counted_where_asked(user: Account) -> None:
    user.volume()
    user.volume()
    assert user.ask("GET", "/volumes?limit=1&with_count=true", version="3.45")["count"] == 2
    assert "count" not in user.ask("GET", "/volumes?limit=1", version="3.45")
    assert "count" not in user.ask("GET", "/volumes?limit=1&with_count=true", version="3.44")


@pytest.mark.parametrize("path", ["/volumes", "/volumes/detail", "/snapshots", "/snapshots/detail", "/attachments"])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=none", "limit"),
        ("limit=-1", "limit"),
        ("offset=x", "offset"),
        ("sort=moon:asc", "moon"),
        ("sort=id:up", "up"),
        ("sort_key=id&sort_dir=asc,desc", "sort_dir"),
        ("all_tenants=maybe", "all_tenants"),
        ("status=%00", "NUL"),
        ("name=%ff", "UTF-8"),
    ],
)
def test_junk_in_the_query_is_named(guest: Account, path: str, query: str, named: str) -> None:
    assert named in guest.refused("GET", f"{path}?{query}", status=400, version="3.27")


@pytest.mark.parametrize("path", ["/volumes", "/volumes/detail", "/snapshots", "/snapshots/detail", "/attachments"])
def test_an_unknown_marker_is_named(guest: Account, path: str) -> None:
    for marker in (MISSING, "not-an-id"):
        assert marker in guest.refused("GET", f"{path}?marker={marker}", status=404, version="3.27")


def test_filters_with_wrong_values_are_named(guest: Account) -> None:
    for query, named in (
        ("bootable=perhaps", "bootable"),
        ("metadata=nonsense", "metadata"),
        ("created_at=gt:yesterday", "created_at"),
    ):
        assert named in guest.refused("GET", f"/volumes?{query}", status=400, version="3.60")


def test_only_administrators_see_all_projects(user: Account, operator: Account) -> None:
    volume = user.volume(name=f"of {user.project_id}")
    query = f"all_tenants=1&name=of {user.project_id}"
    assert [one["id"] for one in operator.ask("GET", f"/volumes?{query}")["volumes"]] == [volume]
    assert operator.ask("GET", f"/volumes?name=of {user.project_id}")["volumes"] == []
    found = operator.ask("GET", f"/volumes?all_tenants=1&project_id={user.project_id}")["volumes"]
    assert [one["id"] for one in found] == [volume]
    stranger = operator.served.account()
    assert stranger.ask("GET", f"/volumes?{query}")["volumes"] == []
    assert stranger.ask("GET", f"/volumes?project_id={user.project_id}")["volumes"] == []
