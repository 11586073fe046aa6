"""Services and pools: what each agent reports of its backends, and who is up.

A service is up when it reported within DOWN_AFTER and has no problems. Problems are shown with it; a backend that has
any is never scheduled to (story 5), and takes work again by itself at its next good report.
"""

from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from pumice.block.model import Pool, Service
from pumice.block.queries import POOL, SERVICE
from pumice.caller import new_id
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import pools, services
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
    """What a backend's pool has; the backend's service must have reported before."""
    values = {**msgspec.to_builtins(report), "reported_at": tx.now}
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
