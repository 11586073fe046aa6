"""Services and pools: what each agent reports of its backends, and who is up.

A service is up when it reported within DOWN_AFTER and has no problems. Problems are shown with it; a backend that has
any is never scheduled to (story 5), and takes work again by itself at its next good report.
"""

from typing import Any

import msgspec
from sqlalchemy import bindparam, func, or_, select, update

from pumice.block.model import Pool, Service
from pumice.block.queries import POOL, SERVICE
from pumice.caller import new_id
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import pools, services, snapshots, volumes
from pumice.errors import BadRequest, NotFound
from pumice.outcomes import Problem

DOWN_AFTER = 60 * SECOND
"""A service that has not reported for so long is down."""

VOLUME_BINARY = "cinder-volume"
SCHEDULER_BINARY = "cinder-scheduler"
COMPUTE_BINARY = "nova-compute"

_REPORT = (
    update(services)
    .where(services.c.binary == bindparam("of_binary"), services.c.host == bindparam("of_host"))
    .values(problems=bindparam("problems"), reported_at=bindparam("now"))
)


LATE_COMMIT = 5 * SECOND
"""On PostgreSQL a transaction that began earlier may commit later than another; none of ours takes so long."""

_PROMISED = select(func.coalesce(func.sum(volumes.c.size), 0)).where(
    volumes.c.backend == bindparam("backend"),
    volumes.c.deleted_at.is_(None),
    volumes.c.created_at < bindparam("before"),
)


class PoolReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of one pool; sizes in bytes."""

    name: str
    backend: str
    backend_name: str
    capabilities: dict[str, Any]
    total_bytes: int
    free_bytes: int
    allocated_bytes: int
    reserved_percentage: int = 0


def is_up(service: Service, now: int) -> bool:
    """Reported lately, and works."""
    return now - service.reported_at < DOWN_AFTER and not service.problems


def backends_up(tx: Transaction) -> int:
    """How many backends take volumes, as far as their reports say."""
    return sum(is_up(service, tx.now) for service in listed(tx, binary=VOLUME_BINARY))


def report_service(tx: Transaction, binary: str, host: str, availability_zone: str, problems: list[Problem]) -> None:
    """The heartbeat of a service: it is there, with these problems."""
    found = [msgspec.to_builtins(problem) for problem in problems]
    parameters = {"of_binary": binary, "of_host": host, "problems": found, "now": tx.now}
    if not tx.execute(_REPORT, parameters).rowcount:
        tx.execute(
            services.insert(),
            {
                "id": new_id(),
                "binary": binary,
                "host": host,
                "availability_zone": availability_zone,
                "disabled": False,
                "frozen": False,
                "problems": found,
                "reported_at": tx.now,
                "created_at": tx.now,
            },
        )


def report_pool(tx: Transaction, report: PoolReport) -> None:
    """What a backend's pool has; the backend's service must have reported before.

    What its volumes were promised is counted here, so that a request counts only those made since."""
    before = tx.now - LATE_COMMIT
    promised = tx.execute(_PROMISED, {"backend": report.backend, "before": before}).scalar_one()
    counted = {"promised_gib": int(promised), "promised_at": before}
    values = {**msgspec.to_builtins(report), **counted, "reported_at": tx.now}
    if not tx.execute(update(pools).where(pools.c.name == report.name).values(**values)).rowcount:
        statement = select(services.c.id).where(services.c.binary == VOLUME_BINARY, services.c.host == report.backend)
        tx.execute(pools.insert(), {**values, "service_id": tx.execute(statement).scalar_one()})


def listed(tx: Transaction, *, binary: str | None = None, host: str | None = None) -> list[Service]:
    """Services by binary and host. A host filter "node1" also finds the backends "node1@..."."""
    statement = select(*SERVICE).order_by(services.c.binary, services.c.host)
    if binary is not None:
        statement = statement.where(services.c.binary == binary)
    if host is not None:
        statement = statement.where((services.c.host == host) | services.c.host.startswith(f"{host}@", autoescape=True))
    return [Service(*row) for row in tx.execute(statement)]


def listed_pools(tx: Transaction) -> list[Pool]:
    """Every pool, by name."""
    return [Pool(*row) for row in tx.execute(select(*POOL).order_by(pools.c.name))]


class HostUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project has on a host; `project` "(total)" is all of them together. Gigabytes in GiB."""

    project: str
    volumes: int = 0
    volume_gigabytes: int = 0
    snapshots: int = 0
    snapshot_gigabytes: int = 0


def usage_of_host(tx: Transaction, host: str) -> list[HostUsage]:
    """What is on the backends of a host ("node1", or one backend "node1@file"): all of it first, then each project."""
    numbers: dict[str, dict[str, int]] = {"(total)": {}}
    for noun, table in (("volume", volumes), ("snapshot", snapshots)):
        statement = (
            select(table.c.project_id, func.count(), func.sum(table.c.size))
            .where(
                table.c.deleted_at.is_(None),
                or_(table.c.backend == host, table.c.backend.startswith(f"{host}@", autoescape=True)),
            )
            .group_by(table.c.project_id)
            .order_by(table.c.project_id)
        )
        for project, count, size in tx.execute(statement):
            for owner in ("(total)", project):
                of_owner = numbers.setdefault(owner, {})
                of_owner[f"{noun}s"] = of_owner.get(f"{noun}s", 0) + int(count)
                of_owner[f"{noun}_gigabytes"] = of_owner.get(f"{noun}_gigabytes", 0) + int(size)
    return [HostUsage(project=project, **found) for project, found in numbers.items()]


def set_disabled(tx: Transaction, binary: str, host: str, *, disabled: bool, reason: str | None) -> None:
    """Whether the scheduler may give it new work. Raises NotFound."""
    statement = update(services).where(services.c.binary == binary, services.c.host == host)
    if not tx.execute(statement.values(disabled=disabled, disabled_reason=reason)).rowcount:
        raise NotFound(f"Service {binary[:64]} could not be found on host {host[:64]}.")


def set_frozen(tx: Transaction, host: str, *, frozen: bool) -> None:
    """Whether the backend takes no new volumes. Raises BadRequest for a host that is no backend."""
    known_backend(tx, host)
    statement = update(services).where(services.c.binary == VOLUME_BINARY, services.c.host == host)
    tx.execute(statement.values(frozen=frozen))


def known_backend(tx: Transaction, host: str) -> None:
    """Raises BadRequest for a host that is no backend."""
    statement = select(services.c.id).where(services.c.binary == VOLUME_BINARY, services.c.host == host)
    if tx.execute(statement).first() is None:
        raise BadRequest(f"Host {host[:64]} has no service {VOLUME_BINARY}; give a backend, as os-services lists them.")
