"""What must hold once the load has stopped and everything runs again: nothing is stuck, and nothing is left over.

let_go_outside(cloud)   ends what the load holds as a host outside
findings(cloud)         database against pool, exports and hypervisor, both ways: sentences, none when all is well
clear_away(cloud)       deletes everything through the API: what cannot be deleted is stuck; then all must be empty
"""

import json
import subprocess
from typing import Any

import httpx

from tests.chaos.cloud import ChaosCloud
from tests.demo.shell import OURS, clean_environment
from tests.support.waiting import wait_until

RESTING = {
    "volumes": ("available", "in-use", "error"),
    "snapshots": ("available", "error"),
    "servers": ("ACTIVE", "SHUTOFF", "ERROR"),
}
CLEARING_SECONDS = 90.0


def findings(cloud: ChaosCloud) -> list[str]:
    """Sentences that say what is not as it must be."""
    found = [f"operation {row['kind']} {row['id']} is {row['state']}" for row in cloud.live_operations()]
    for table, words in RESTING.items():
        for row in cloud.rows(f"SELECT id, status FROM {table} WHERE deleted_at IS NULL"):
            if row["status"] not in words:
                found.append(f"{table} {row['id']} is {row['status']}")
    for row in cloud.rows("SELECT id, stage FROM attachments WHERE deleted_at IS NULL"):
        if row["stage"] != "attached":
            found.append(f"attachment {row['id']} is {row['stage']}")
    for table in ("operation_resources", "volume_holds", "marks"):
        found += [f"{table} has {row}" for row in cloud.rows(f"SELECT * FROM {table}")]
    return found + _pool(cloud) + _exports(cloud) + _guests(cloud) + _reconciler(cloud)


def _pool(cloud: ChaosCloud) -> list[str]:
    found = []
    for kind in ("volume", "snapshot"):
        rows = cloud.rows(f"SELECT id, life FROM {kind}s WHERE deleted_at IS NULL")
        there = cloud.pool_contents(kind)
        found += [
            f"{kind} {one['id']} has no data" for one in rows if one["life"] == "there" and one["id"] not in there
        ]
        found += [f"{kind} data {one} has no row" for one in there - {row["id"] for row in rows}]
    return found


def _exports(cloud: ChaosCloud) -> list[str]:
    rows = cloud.rows("SELECT id, volume_id FROM attachments WHERE deleted_at IS NULL AND host IS NOT NULL")
    expected = {f"{row['volume_id']}.{row['id']}.json" for row in rows}
    there = cloud.exports()
    return [f"export {name} is left over" for name in there - expected] + [
        f"export {name} is missing" for name in expected - there
    ]


def _guests(cloud: ChaosCloud) -> list[str]:
    servers = {
        row["id"]: row["status"] for row in cloud.rows("SELECT id, status FROM servers WHERE deleted_at IS NULL")
    }
    guests = cloud.guests()
    found = [f"guest {one} is left over" for one in guests.keys() - servers.keys()]
    found += [f"server {one} has no guest" for one, word in servers.items() if word != "ERROR" and one not in guests]
    rows = cloud.rows("SELECT server_id, volume_id FROM attachments WHERE deleted_at IS NULL AND stage = 'attached'")
    expected = {(row["server_id"], row["volume_id"]) for row in rows if row["server_id"] is not None}
    there = {(server, volume) for server, volumes in guests.items() for volume in volumes}
    found += [f"guest {server} has the disk {volume} and no attachment" for server, volume in there - expected]
    found += [f"guest {server} lacks the disk {volume}" for server, volume in expected - there]
    folder = cloud.state / "servers"
    files = {path.name for path in folder.iterdir()} if folder.exists() else set()
    return found + [f"files of server {one} are left over" for one in files - servers.keys()]


def _reconciler(cloud: ChaosCloud) -> list[str]:
    """What `pumice reconcile --dry-run` says."""
    ended = subprocess.run(
        [OURS / "pumice", "reconcile", "--dry-run", "--json", "--state", cloud.state],
        env={**clean_environment(), **{k: v for k, v in cloud.settings.items() if k != "PUMICE_FAULTS"}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ended.returncode not in (0, 3):
        return [f"pumice reconcile ended with {ended.returncode}: {ended.stderr[-500:]}"]
    told = json.loads(ended.stdout)
    outcomes: list[dict[str, Any]] = told["outcomes"]
    return [f"reconcile: {one['finding']['name']}: {one['finding']['sentence']}" for one in outcomes] + told["notes"]


def let_go_outside(cloud: ChaosCloud) -> None:
    """The hosts outside delete their attachments, as those whose calls got no answer do sooner or later."""
    with cloud.login("demo") as http:
        for row in cloud.rows("SELECT id FROM attachments WHERE deleted_at IS NULL AND origin = 'external'"):
            http.delete(f"/volume/v3/attachments/{row['id']}").raise_for_status()


def clear_away(cloud: ChaosCloud) -> list[str]:
    """Delete everything as its users would; what is left then, as sentences."""
    with cloud.login("admin") as http:
        for server in _listed(http, "/compute/v2.1/servers", "servers"):
            http.delete(f"/compute/v2.1/servers/{server['id']}").raise_for_status()
        _wait_empty(http, "/compute/v2.1/servers", "servers")
        for snapshot in _listed(http, "/volume/v3/snapshots", "snapshots"):
            http.delete(f"/volume/v3/snapshots/{snapshot['id']}").raise_for_status()
        _wait_empty(http, "/volume/v3/snapshots", "snapshots")
        for volume in _listed(http, "/volume/v3/volumes", "volumes"):
            http.delete(f"/volume/v3/volumes/{volume['id']}").raise_for_status()
        _wait_empty(http, "/volume/v3/volumes", "volumes")
    cloud.wait_settled(CLEARING_SECONDS)
    left = {
        "volume data": cloud.pool_contents("volume"),
        "snapshot data": cloud.pool_contents("snapshot"),
        "exports": cloud.exports(),
        "guests": set(cloud.guests()),
    }
    return [f"{what} left after everything was deleted: {sorted(names)}" for what, names in left.items() if names]


def _listed(http: httpx.Client, path: str, plural: str) -> list[dict[str, Any]]:
    answer = http.get(path)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()[plural]
    return found


def _wait_empty(http: httpx.Client, path: str, plural: str) -> None:
    wait_until(lambda: not _listed(http, path, plural), CLEARING_SECONDS, f"all {plural} are deleted")
