"""A whole cloud with two projects that have one of everything each, and what must not change: tables and files.

world.ids["volume_id"]            what `{volume_id}` of a route's path stands for: a thing of the project `own`
world.foreign["volume_id"]        the same of another project
world.tokens["member", "project"] a token of that role on that scope; see ROLES and SCOPES
world.fingerprint()               one hash for each table, and one of the files
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from pumice.api.edge.versions import Microversion
from pumice.api.faces import faces
from pumice.db.schema import metadata, tokens
from pumice.identity.model import DEFAULT_DOMAIN, Scope
from pumice.identity.tokens import digest, issue
from tests.api.volume_cloud import MISSING, Account, ServedCloud, serving
from tests.hostile.wire import Reply, Wire

ROLES = ("other", "reader", "member", "manager", "admin", "service")
"""`other` is a role that no rule knows."""
SCOPES = ("project", "domain", "system", "unscoped")

LOGS = {
    "login_attempts": "who tried to log in",
    "worker_sessions": "the heartbeat of the worker",
}
"""Tables that change without a request's success, each with what they hold."""

NOT_HASHED = {"sessions": "locks of the worker", "wakeups": "sockets"}
"""Folders below the state directory that do not count as state."""

FACES: Mapping[str, Face] = {face.name: face for face in faces()}
WAYS: list[tuple[Face, Route]] = [(face, route) for face in FACES.values() for route in face.routes]

Ids = dict[str, str]


class World:
    """See the head of this file."""

    def __init__(self, served: ServedCloud, folder: Path, wire: Wire) -> None:
        self.served, self.folder, self.wire = served, folder, wire
        self.own = served.account()
        self.stranger = served.account()
        self.tokens: dict[tuple[str, str], str] = {}
        self._known: dict[str, str] | None = None
        self._shared = self._identities()
        self.ids = self._shared | self._things(self.own, "own")
        self.foreign = self._shared | self._things(self.stranger, "foreign")
        self.admin = self.tokens["admin", "project"]
        self.owner = self.token(self.ids["user_id"], Scope("project", self.own.project_id))
        """Of the user that `{user_id}` stands for."""
        served.cloud.wait_idle()

    # ---- requests

    def ask(self, method: str, target: str | bytes, token: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request with JSON; headers by their names with underscores."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        return self.wire.send(method, target, {"X-Auth-Token": token, **sent}, body)

    # ---- what must not change

    def fingerprint(self) -> dict[str, str]:
        """A hash for each table that is not in LOGS, and of the state directory's files."""
        hashes = {}
        with self.served.cloud.database.read() as tx:
            for table in metadata.sorted_tables:
                if table.name not in LOGS:
                    rows = sorted(repr(tuple(row)) for row in tx.execute(select(table)))
                    hashes[table.name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
        files = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.relative_to(self.folder).parts[0] not in NOT_HASHED:
                files.update(f"{path}\0{path.stat().st_mode}\0".encode() + path.read_bytes())
        return {**hashes, "files": files.hexdigest()}

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """What happens within leaves every table and file as it was."""
        before = self._known or self.fingerprint()
        yield
        self._known = self.fingerprint()
        changed = [name for name, after in self._known.items() if after != before[name]]
        assert changed == [], f"refused requests changed {', '.join(changed)}"

    def settle(self) -> None:
        """Wait until no operation is live; what is there now is what must not change from now on. The backend and the
        host have just been heard of then, however long other tests took."""
        self.served.cloud.report()
        self.served.cloud.report_host()
        self.served.cloud.wait_idle()
        self._known = None

    # ---- making it

    def token(self, user_id: str, scope: Scope) -> str:
        """A token of that user, without a login."""
        with self.served.cloud.database.write() as tx:
            text, _ = issue(tx, user_id, scope, ["password"], 3600)
        return text

    def expired(self, user_id: str, scope: Scope) -> str:
        text = self.token(user_id, scope)
        with self.served.cloud.database.write() as tx:
            tx.execute(update(tokens).where(tokens.c.digest == digest(text)).values(expires_at=1))
        return text

    def _identities(self) -> Ids:
        """A user for each role, on every scope, and the tokens of them; ids of what belongs to no project."""
        identity = self.served.identity_call
        for name in ("other", "manager"):
            identity("POST", "/roles", {"role": {"name": name}})
        roles = {role["name"]: role["id"] for role in identity("GET", "/roles")["roles"]}
        places = {
            "project": (Scope("project", self.own.project_id), f"/projects/{self.own.project_id}"),
            "domain": (Scope("domain", DEFAULT_DOMAIN), f"/domains/{DEFAULT_DOMAIN}"),
            "system": (Scope("system"), "/system"),
        }
        for role in ROLES:
            user_id = identity("POST", "/users", {"user": {"name": f"with-{role}"}})["user"]["id"]
            for scope, (asked, path) in places.items():
                identity("PUT", f"{path}/users/{user_id}/roles/{roles[role]}")
                self.tokens[role, scope] = self.token(user_id, asked)
            self.tokens[role, "unscoped"] = self.token(user_id, Scope("none"))
        self.tokens["member", "foreign project"] = self.stranger.token
        self.tokens["reader", "foreign project"] = self.served.account("reader", self.stranger.project_id).token
        self.tokens["expired", "project"] = self.expired(self.own.user_id, Scope("project", self.own.project_id))
        spare = identity("POST", "/users", {"user": {"name": "spare"}})["user"]["id"]
        domain = identity("POST", "/domains", {"domain": {"name": "spare"}})["domain"]["id"]
        identity("PUT", f"/projects/{self.own.project_id}/tags/blue")
        for path in (f"/projects/{self.own.project_id}", f"/domains/{domain}", "/system"):
            identity("PUT", f"{path}/users/{spare}/roles/{roles['other']}")
        return {
            **self._credential(spare),
            "service_id": identity("GET", "/services")["services"][0]["id"],
            "endpoint_id": identity("GET", "/endpoints")["endpoints"][0]["id"],
            "region_id": "RegionOne",
            "user_id": spare,
            "role_id": roles["other"],
            "domain_id": domain,
            "class_name": "default",
            "flavor_id": "1",
            "host": "node1@memory",
            "hypervisor_id": self._hypervisor(),
            "network_id": MISSING,
            "tag": "blue",
            "key": "colour",
            "spec": "multiattach",
            "event_type": "volume.create.end",
            "trait_name": "size",
            "meter_name": "volume.size",
        }

    def _credential(self, user_id: str) -> Ids:
        """An application credential of that user with an access rule."""
        rule = {"service": "block-storage", "method": "GET", "path": "/v3/volumes"}
        body = {"application_credential": {"name": "spare", "access_rules": [rule]}}
        token = self.token(user_id, Scope("project", self.own.project_id))
        path = f"/identity/v3/users/{user_id}/application_credentials"
        made = self.served.http.post(path, headers={"X-Auth-Token": token}, json=body)
        assert made.status_code == 201, made.text
        credential = made.json()["application_credential"]
        return {"credential_id": credential["id"], "rule_id": credential["access_rules"][0]["id"]}

    def _things(self, account: Account, word: str) -> Ids:
        """One of everything in the account's project; texts in it hold the word."""
        marks = {"colour": word}
        kind = self._private_type(account, word)
        volume = account.volume(name=f"{word}-volume", metadata=marks)
        busy = account.volume(name=f"{word}-busy", volume_type=kind)
        snapshot = account.snapshot(volume, name=f"{word}-snapshot", metadata=marks)
        server = self.served.server(account)
        attachment = self._attachment(account, server, busy)
        unplaced = {"volume": {"size": 1_000_000, "name": f"{word}-unplaced"}}
        account.ask("POST", "/volumes", unplaced, status=202)
        message = account.ask("GET", "/messages", version="3.3")["messages"][0]["id"]
        sample = self._get(account, "/metering/v2/samples?limit=1")[0]["id"]
        action = self._get(account, f"/compute/v2.1/servers/{server}/os-instance-actions")["instanceActions"][0]
        return {
            "volume_id": volume,
            "attached_volume_id": busy,
            "snapshot_id": snapshot,
            "server_id": server,
            "attachment_id": attachment,
            "message_id": message,
            "event_id": self._get(account, "/metering/v2/events?limit=1")[0]["message_id"],
            "volume_type_id": self._get(account, f"/volume/v3/types/{kind}")["volume_type"]["id"],
            "image_id": self._image(account, word),
            "project_id": account.project_id,
            "target_id": account.project_id,
            "resource_id": volume,
            "sample_id": sample,
            "request_id": action["request_id"],
        }

    def _private_type(self, account: Account, word: str) -> str:
        """A type that only the account's project may use."""
        name = f"{word}-type"
        operator = self.served.account("admin")
        specs = {"multiattach": "<is> True"}
        kind = {"name": name, "os-volume-type-access:is_public": False, "extra_specs": specs}
        kind_id = operator.ask("POST", "/types", {"volume_type": kind})["volume_type"]["id"]
        access = {"addProjectAccess": {"project": account.project_id}}
        operator.ask("POST", f"/types/{kind_id}/action", access, status=202)
        default = {"default_type": {"volume_type": kind_id}}
        operator.ask("PUT", f"/default-types/{account.project_id}", default, version="3.62")
        return str(kind_id)

    def _attachment(self, account: Account, server: str, volume: str) -> str:
        """The volume, attached to the server."""
        sent = {"X-Auth-Token": account.token, "OpenStack-API-Version": "compute 2.60"}
        body = {"volumeAttachment": {"volumeId": volume}}
        path = f"/compute/v2.1/servers/{server}/os-volume_attachments"
        made = self.served.http.post(path, headers=sent, json=body)
        assert made.status_code == 200, made.text
        account.wait_volume(volume, "in-use")
        (attachment,) = account.ask("GET", "/attachments", version="3.27")["attachments"]
        return str(attachment["id"])

    def _image(self, account: Account, word: str) -> str:
        """A private image with bytes."""
        body = {"name": f"{word}-image", "disk_format": "raw", "container_format": "bare", "tags": ["blue"]}
        sent = {"X-Auth-Token": account.token}
        made = self.served.http.post("/image/v2/images", headers=sent, json=body)
        assert made.status_code == 201, made.text
        image_id = str(made.json()["id"])
        sent["Content-Type"] = "application/octet-stream"
        stored = self.served.http.put(
            f"/image/v2/images/{image_id}/file", headers=sent, content=b"bytes of " + word.encode()
        )
        assert stored.status_code == 204, stored.text
        return image_id

    def _hypervisor(self) -> str:
        answer = self._get(self.served.account("admin"), "/compute/v2.1/os-hypervisors")
        return str(answer["hypervisors"][0]["id"])

    def _get(self, account: Account, path: str) -> Any:
        answer = self.served.http.get(path, headers={"X-Auth-Token": account.token})
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def made(url: str, folder: Path) -> Iterator[World]:
    """The world on that prepared database, served."""
    with serving(url, folder) as served, Wire("127.0.0.1", served.port) as wire:
        yield World(served, folder, wire)


def path_of(face: Face, route: Route, ids: Mapping[str, str]) -> str:
    """The whole path with ids in their places; what has none is an id of nothing."""
    path = route.path
    for name in names_in(route):
        path = path.replace("{" + name + "}", ids.get(word_of(face, name, route), MISSING))
    return f"/{face.name}/{face.version}{path}"


def word_of(face: Face, name: str, route: Route | None = None) -> str:
    """What the world calls that name of a path."""
    if (face.name, name) == ("metering", "message_id"):
        return "event_id"
    if (face.name, name) == ("compute", "volume_id") and route is not None and "/os-volume_attachments" in route.path:
        return "attached_volume_id"
    if name == "key" and route is not None and route.path.startswith("/types"):
        return "spec"
    return name


def names_in(route: Route) -> list[str]:
    return [part.strip("{}") for part in route.path.split("/") if part.startswith("{")]


def version_header(face: Face, route: Route) -> dict[str, str]:
    """The newest microversion that has the route."""
    if face.versions is None:
        return {}
    major, minor = min(face.versions.highest, route.window()[1])
    return {"OpenStack-API-Version": f"{face.versions.service} {major}.{minor}"}


def version_of(face: Face, route: Route, lowest: Microversion, highest: Microversion) -> str:
    """The newest microversion between the two that the route has, as the header says it; empty: there is none."""
    if face.versions is None:
        return "none 1.0"
    first, last = route.window()
    newest = min(face.versions.highest, last, highest)
    if newest < max(face.versions.lowest, first, lowest):
        return ""
    return f"{face.versions.service} {newest[0]}.{newest[1]}"


def label(way: tuple[Face, Route]) -> str:
    """ "volume POST /volumes/{volume_id}/action os-extend": names a test of one route."""
    face, route = way
    window = f" from {route.since}" if route.since and route.method == "POST" and route.until is None else ""
    return " ".join(filter(None, (face.name, route.method, route.path, route.key))) + window
