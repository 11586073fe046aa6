"""The first start: a domain, an administrator, a demo project and user, roles, and `clouds.yaml` for the clients.

Passwords are random unless given. They are written to `clouds.yaml` (mode 0600) before the rows are committed under a
second name, and renamed after it: whenever the process dies, the next start finds both or makes both anew.
"""

import json
import os
import re
import secrets
import uuid
from pathlib import Path

import msgspec
from sqlalchemy import insert, select, text

from pumice.db.engine import Database, Transaction
from pumice.db.schema import domains, role_assignments
from pumice.identity import domains as domain_rows
from pumice.identity import generation, projects, roles, users
from pumice.identity.changes import row_values
from pumice.identity.model import DEFAULT_DOMAIN, SYSTEM_TARGET, Assignment, Project, Role, User
from pumice.identity.passwords import hash_now

FILE = "clouds.yaml"


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7083521)")
"""Hosts that start together on PostgreSQL: the second must find the first one's rows (SQLite has its write lock)."""


class FirstStart(msgspec.Struct, frozen=True, kw_only=True):
    """What the first start makes."""

    admin_password: str
    demo_password: str
    service_password: str
    service_user: str


def bootstrap(
    database: Database,
    state: Path,
    auth_url: str,
    region: str,
    service_user: str,
    admin_password: str | None = None,
    cacert: str = "",
) -> bool:
    """Make what is missing at a first start; True when this was one. Later starts keep `clouds.yaml` up to date.

    auth_url: ends with /identity/v3. cacert: the file by which clients check our certificate, if they need one."""
    with database.read() as tx:
        done = _is_done(tx)
    if done:
        _finish(state)
        _refresh(state / FILE, auth_url, cacert)
        return False
    first = FirstStart(
        admin_password=admin_password or secrets.token_urlsafe(18),
        demo_password=secrets.token_urlsafe(18),
        service_password=secrets.token_urlsafe(18),
        service_user=service_user,
    )
    hashes = {name: hash_now(getattr(first, f"{name}_password")) for name in ("admin", "demo", "service")}
    with database.write() as tx:
        if not tx.sqlite:
            tx.execute(_ONE_AT_A_TIME)
        if _is_done(tx):
            return False
        _write_private(state / f"{FILE}.new", _with_cacert(clouds_yaml(first, auth_url, region), cacert))
        _make(tx, first, hashes)
    _finish(state)
    return True


def clouds_yaml(first: FirstStart, auth_url: str, region: str) -> str:
    """The clouds `admin`, `demo`, `system` (the administrator with system scope) and `service`."""
    clouds = [
        ("admin", "admin", first.admin_password, 'project_name: "admin"'),
        ("demo", "demo", first.demo_password, 'project_name: "demo"'),
        ("system", "admin", first.admin_password, 'system_scope: "all"'),
        ("service", first.service_user, first.service_password, 'project_name: "service"'),
    ]
    lines = [
        "# Written by Pumice at its first start. Use: OS_CLIENT_CONFIG_FILE=<this file> openstack --os-cloud demo ..."
    ]
    lines.append("clouds:")
    for name, user, password, scope in clouds:
        lines += [
            f"  {name}:",
            "    auth:",
            f"      auth_url: {json.dumps(auth_url)}",
            f"      username: {json.dumps(user)}",
            f"      password: {json.dumps(password)}",
            f"      {scope}",
            '      user_domain_name: "Default"',
        ]
        if scope.startswith("project"):
            lines.append('      project_domain_name: "Default"')
        lines += [f"    region_name: {json.dumps(region)}", "    identity_api_version: 3"]
    return "\n".join(lines) + "\n"


def _is_done(tx: Transaction) -> bool:
    return tx.execute(select(domains.c.id).where(domains.c.id == DEFAULT_DOMAIN)).first() is not None


def _make(tx: Transaction, first: FirstStart, hashes: dict[str, str]) -> None:
    domain_rows.create(tx, DEFAULT_DOMAIN, "Default", "The default domain")
    made = {name: roles.create(tx, Role(_id(), name, about, tx.now)) for name, about in _ROLES.items()}
    homes = {
        name: projects.create(tx, Project(_id(), DEFAULT_DOMAIN, DEFAULT_DOMAIN, name, about, True, tx.now))
        for name, about in _PROJECTS.items()
    }
    for user_name, key, project, role in (
        ("admin", "admin", "admin", "admin"),
        ("demo", "demo", "demo", "member"),
        (first.service_user, "service", "service", "service"),
    ):
        home = homes[project]
        user = User(_id(), DEFAULT_DOMAIN, user_name, "", None, True, home.id, None, tx.now)
        users.create(tx, user, hashes[key])
        _assign(tx, Assignment(user.id, made[role].id, "project", home.id))
        if role == "admin":
            _assign(tx, Assignment(user.id, made[role].id, "system", SYSTEM_TARGET))
            _assign(tx, Assignment(user.id, made[role].id, "domain", DEFAULT_DOMAIN))
            _assign(tx, Assignment(user.id, made[role].id, "project", homes["demo"].id))
    generation.advance(tx)


def _assign(tx: Transaction, one: Assignment) -> None:
    tx.execute(insert(role_assignments).values(**row_values(one)))


_ROLES = {
    "admin": "May do everything",
    "member": "May use the resources of a project",
    "reader": "May look at the resources of a project",
    "service": "Is another service of the cloud",
}
_PROJECTS = {
    "admin": "The administrator's project",
    "demo": "A project to try things in",
    "service": "The project of the cloud's services",
}


def _id() -> str:
    """As Keystone writes ids: without dashes."""
    return uuid.uuid4().hex


def _finish(state: Path) -> None:
    fresh, final = state / f"{FILE}.new", state / FILE
    if fresh.exists():
        fresh.replace(final)


def _with_cacert(text: str, cacert: str) -> str:
    """Each cloud of the text with this `cacert`, or without one."""
    bare = re.sub(r"^    cacert: .*\n", "", text, flags=re.MULTILINE)
    if not cacert:
        return bare
    return re.sub(
        r"^    region_name: .*\n", lambda match: f"{match[0]}    cacert: {json.dumps(cacert)}\n", bare, flags=re.M
    )


def _refresh(path: Path, auth_url: str, cacert: str) -> None:
    """The cloud may listen elsewhere than before; everything else in the file stays as it is."""
    if not path.exists():
        return
    before = path.read_text()
    after = re.sub(r"^( *auth_url: ).*$", lambda match: match[1] + json.dumps(auth_url), before, flags=re.MULTILINE)
    after = _with_cacert(after, cacert)
    if after != before:
        fresh = path.with_name(path.name + ".refreshed")
        _write_private(fresh, after)
        fresh.replace(path)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
