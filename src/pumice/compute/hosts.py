"""Compute hosts: what each agent reports, and which host takes a new server, or for each host why it cannot.

The answer is made in the transaction that creates the server, so "no host" is known, and said with its reasons,
before the request returns.
"""

from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block.model import Service
from pumice.block.queries import SERVICE
from pumice.block.services import COMPUTE_BINARY, DOWN_AFTER, report_service
from pumice.clock import SECOND
from pumice.compute.model import Host
from pumice.compute.queries import HOST
from pumice.db.engine import Transaction
from pumice.db.schema import compute_hosts, servers, services
from pumice.outcomes import Problem


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of its host: the fields of the hypervisor's `HostInfo`, and the zone."""

    host: str
    hypervisor_type: str
    hypervisor_version: str
    vcpus: int
    memory_mib: int
    connector: dict[str, Any]
    availability_zone: str = "nova"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a server needs of its host."""

    memory_mib: int
    availability_zone: str | None = None
    host: str | None = None
    """That one and no other."""
    preferred: tuple[str, ...] = ()
    """Hosts where its volumes lie."""


class NoHost(msgspec.Struct, frozen=True):
    """No host fits; `sentence` says why, for each."""

    sentence: str


def report(tx: Transaction, found: HostReport, problems: list[Problem]) -> None:
    """The heartbeat of a compute host: what it has, and what keeps it from running guests."""
    report_service(tx, COMPUTE_BINARY, found.host, found.availability_zone, problems)
    values = {**msgspec.structs.asdict(found), "reported_at": tx.now}
    if not tx.execute(update(compute_hosts).where(compute_hosts.c.host == found.host).values(**values)).rowcount:
        tx.execute(compute_hosts.insert(), values)


def listed(tx: Transaction) -> list[tuple[Host, Service]]:
    """Every compute host with its service, by name."""
    width = len(HOST)
    return [(Host(*row[:width]), Service(*row[width:])) for row in tx.execute(_HOSTS)]


_HOSTS = (
    select(*HOST, *SERVICE)
    .join(services, (services.c.host == compute_hosts.c.host) & (services.c.binary == COMPUTE_BINARY))
    .order_by(compute_hosts.c.host)
)


def zones(tx: Transaction) -> set[str]:
    """The availability zones of all hosts; "nova" while there is none."""
    return set(tx.execute(select(compute_hosts.c.availability_zone).distinct()).scalars()) or {"nova"}


def choose(tx: Transaction, wish: Wish) -> Host | NoHost:
    """The fitting host: one where the volumes lie before others, then the one with the most free memory."""
    promised = promised_memory(tx)
    candidates: list[tuple[bool, int, Host]] = []
    reasons: list[str] = []
    for host, service in listed(tx):
        if wish.host not in (None, host.host):
            continue
        free = host.memory_mib - promised.get(host.host, 0)
        reason = _refusal(tx, host, service, wish, free)
        if reason is None:
            candidates.append((host.host in wish.preferred, free, host))
        else:
            reasons.append(f"{host.host}: {reason}")
    if candidates:
        return max(candidates, key=lambda one: one[:2])[2]
    why = "; ".join(reasons) if reasons else "no compute host has reported yet (is an agent running?)"
    return NoHost(f"no host can run this server: {why}")


def promised_memory(tx: Transaction) -> dict[str, int]:
    """MiB that the servers of each host have, running or not; a resized one may still be reverted."""
    used: dict[str, int] = {}
    statement = select(servers.c.host, servers.c.flavor, servers.c.old_flavor).where(
        servers.c.deleted_at.is_(None), servers.c.host.is_not(None)
    )
    for host, flavor, old in tx.execute(statement):
        used[host] = used.get(host, 0) + max(int(flavor["ram"]), int((old or flavor)["ram"]))
    return used


def _refusal(tx: Transaction, host: Host, service: Service, wish: Wish, free: int) -> str | None:
    """Why this host cannot take the server; None when it can."""
    if service.disabled:
        return f"disabled ({service.disabled_reason or 'no reason given'})"
    if tx.now - service.reported_at >= DOWN_AFTER:
        return f"not heard of for {(tx.now - service.reported_at) // SECOND} s"
    if service.problems:
        return "; ".join(f"{problem['sentence']} ({problem['fix']})" for problem in service.problems)
    if wish.availability_zone is not None and host.availability_zone != wish.availability_zone:
        return f"is in zone {host.availability_zone}, not {wish.availability_zone}"
    if free < wish.memory_mib:
        return f"{max(0, free)} MiB of memory free of {wish.memory_mib} MiB asked"
    return None
