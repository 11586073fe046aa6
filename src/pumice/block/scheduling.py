"""Which pool takes a new volume, or for each pool why it cannot.

The answer is made in the transaction that creates the volume, from what the agents last reported, so "no backend" is
known, and said with its reasons, before the request returns (story 5).
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select

from pumice.block import capability_query, capability_specs
from pumice.block.model import GIB, Pool, Service
from pumice.block.queries import POOL, SERVICE
from pumice.block.services import DOWN_AFTER
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import pools, services, volumes
from pumice.errors import NotFound


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a user wants a volume to be (scheduler hints), looked up: backends as host@name."""

    same_backends: tuple[str, ...] | None = None
    """Where the volumes of `same_host` are."""
    other_backends: tuple[str, ...] = ()
    """Where those of `different_host` are."""
    host: str | None = None
    """Where the server of `local_to_instance` runs."""
    query: list[Any] | None = None
    """`capability_query`."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume needs of its pool."""

    size: int
    """GiB."""
    extra_specs: Mapping[str, str]
    availability_zones: tuple[str, ...] = ()
    """One of these; empty: any."""
    hints: Hints = Hints()
    backend: str | None = None
    """Only this backend (host@name): where the source of a clone is."""
    pool: str | None = None
    """Only this pool."""
    moved_from: str | None = None
    """Any backend of the same host but this one: where the volume is that moves."""
    multiattach: bool = False


class Chosen(msgspec.Struct, frozen=True):
    """The pool, and the zone of its backend."""

    pool: Pool
    availability_zone: str


class NoPool(msgspec.Struct, frozen=True):
    """No pool fits; `sentence` says why, for each."""

    sentence: str


def choose(tx: Transaction, wish: Wish) -> Chosen | NoPool:
    """The fitting pool with the most free space; of the pools that are not the one that was wished nothing is said."""
    candidates: list[Chosen] = []
    reasons: list[str] = []
    width = len(POOL)
    for row in tx.execute(_POOLS):
        pool, service = Pool(*row[:width]), Service(*row[width:])
        if wish.pool not in (None, pool.name):
            continue
        reason = _refusal(tx, pool, service, wish)
        if reason is None:
            candidates.append(Chosen(pool, service.availability_zone))
        else:
            reasons.append(f"{pool.name}: {reason}")
    if candidates:
        return max(candidates, key=lambda chosen: chosen.pool.free_bytes)
    why = "; ".join(reasons) if reasons else "no backend has reported yet (is an agent running?)"
    return NoPool(f"no backend can host this volume: {why}")


def refusal_of(tx: Transaction, pool_name: str, wish: Wish) -> str | None:
    """Why this pool could not host such a volume; None when it could. Raises NotFound."""
    width = len(POOL)
    row = tx.execute(_POOLS.where(pools.c.name == pool_name)).one_or_none()
    if row is None:
        raise NotFound.of("Pool", pool_name)
    return _refusal(tx, Pool(*row[:width]), Service(*row[width:]), wish)


def no_room(tx: Transaction, pool_name: str, size: int) -> str | None:
    """Why a volume of this pool cannot grow by so many GiB; None when it can, as far as the pool has reported."""
    row = tx.execute(select(*POOL).where(pools.c.name == pool_name)).one_or_none()
    return None if row is None else _full(tx, Pool(*row), size)


def zones(tx: Transaction) -> list[str]:
    """The availability zones that there are: those of the backends that have reported."""
    statement = select(services.c.availability_zone).join(pools, pools.c.service_id == services.c.id).distinct()
    return sorted(tx.execute(statement).scalars())


_POOLS = select(*POOL, *SERVICE).join(services, services.c.id == pools.c.service_id).order_by(pools.c.name)


def _refusal(tx: Transaction, pool: Pool, service: Service, wish: Wish) -> str | None:
    """Why this pool cannot take the volume; None when it can."""
    if service.disabled:
        return f"disabled ({service.disabled_reason or 'no reason given'})"
    if service.frozen:
        return "frozen by an administrator"
    if tx.now - service.reported_at >= DOWN_AFTER:
        return f"not heard of for {(tx.now - service.reported_at) // SECOND} s"
    if service.problems:
        return "; ".join(f"{problem['sentence']} ({problem['fix']})" for problem in service.problems)
    if wish.backend is not None and pool.backend != wish.backend:
        return f"the source is on {wish.backend}"
    if wish.moved_from is not None:
        if pool.backend == wish.moved_from:
            return "the volume is there"
        if pool.backend.partition("@")[0] != wish.moved_from.partition("@")[0]:
            return f"is on another host than the volume, which is on {wish.moved_from}"
    if wish.availability_zones and service.availability_zone not in wish.availability_zones:
        return f"is in zone {service.availability_zone}, not {' or '.join(wish.availability_zones)}"
    against = _against_hints(pool, wish.hints)
    if against is not None:
        return against
    unfit = capability_specs.refusal(wish.extra_specs, pool)
    if unfit is not None:
        return unfit
    if wish.multiattach and not pool.capabilities.get("multiattach"):
        return "cannot attach a volume to several servers"
    return _full(tx, pool, wish.size)


def _full(tx: Transaction, pool: Pool, size: int) -> str | None:
    """Why there is no room for so many GiB more; None when there is."""
    ratio = float(pool.capabilities.get("max_over_subscription_ratio", 1e9))
    promised = _promised(tx, pool, pool.total_bytes * ratio - size * GIB)
    if promised + size * GIB > pool.total_bytes * ratio:
        return f"{promised // GIB} GiB are promised of {pool.total_bytes // GIB} GiB, {ratio:g} times of it at most"
    free = pool.free_bytes - pool.total_bytes * pool.reserved_percentage // 100
    if not pool.capabilities.get("thin"):
        free -= _making(tx, pool)
    if free < size * GIB:
        return f"{max(0, free) // GIB} GiB free of {size} GiB asked"
    return None


def _against_hints(pool: Pool, hints: Hints) -> str | None:
    """Why the user does not want the volume there."""
    if hints.same_backends is not None and pool.backend not in hints.same_backends:
        return "is not where the volumes of the hint same_host are"
    if pool.backend in hints.other_backends:
        return "has a volume of the hint different_host"
    if hints.host is not None and pool.backend.partition("@")[0] != hints.host:
        return f"is not on host {hints.host} of the hint local_to_instance"
    if hints.query is not None and not capability_query.holds(hints.query, pool):
        return "does not fulfil the hint query"
    return None


def _promised(tx: Transaction, pool: Pool, allowed: float) -> int:
    """Bytes promised to the live volumes there; not less than it is, and exact beyond what is allowed.

    What was counted with the last report, and what was made since: counting all of 10,000 volumes in each request took
    most of it. Only when that is too much, because volumes were deleted since, all are counted."""
    since = 0 if pool.promised_at is None else pool.promised_at
    made = int(tx.execute(_MADE_SINCE, {"backend": pool.backend, "since": since}).scalar_one())
    promised = ((pool.promised_gib or 0) + made) * GIB
    if promised <= allowed or not since:
        return promised
    return int(tx.execute(_MADE_SINCE, {"backend": pool.backend, "since": 0}).scalar_one()) * GIB


def _making(tx: Transaction, pool: Pool) -> int:
    """Bytes of the volumes that are being made: the last report of a pool that is not thin may not count any yet. In a
    thin one they take next to nothing, and counted whole a burst of them would be refused."""
    return int(tx.execute(_MAKING, {"backend": pool.backend}).scalar_one()) * GIB


_SUM = select(func.coalesce(func.sum(volumes.c.size), 0)).where(
    volumes.c.backend == bindparam("backend"), volumes.c.deleted_at.is_(None)
)
_MADE_SINCE = _SUM.where(volumes.c.created_at >= bindparam("since"))
_MAKING = _SUM.where(volumes.c.life == "making")
