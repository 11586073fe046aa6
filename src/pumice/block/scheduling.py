"""Which pool takes a new volume, or for each pool why it cannot.

The answer is made in the transaction that creates the volume, from what the agents last reported, so "no backend" is
known, and said with its reasons, before the request returns (story 5).
"""

from collections.abc import Mapping

import msgspec
from sqlalchemy import func, select

from pumice.block import capability_specs
from pumice.block.model import GIB, Pool, Service
from pumice.block.queries import POOL, SERVICE
from pumice.block.services import DOWN_AFTER
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import pools, services, volumes


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume needs of its pool."""

    size: int
    """GiB."""
    extra_specs: Mapping[str, str]
    availability_zone: str | None = None
    backend: str | None = None
    """Only this backend (host@name): where the source of a clone is."""
    multiattach: bool = False


class NoPool(msgspec.Struct, frozen=True):
    """No pool fits; `sentence` says why, for each."""

    sentence: str


def choose(tx: Transaction, wish: Wish) -> Pool | NoPool:
    """The fitting pool with the most free space."""
    statement = select(*POOL, *SERVICE).join(services, services.c.id == pools.c.service_id).order_by(pools.c.name)
    candidates: list[Pool] = []
    reasons: list[str] = []
    width = len(POOL)
    for row in tx.execute(statement):
        pool, service = Pool(*row[:width]), Service(*row[width:])
        reason = _refusal(tx, pool, service, wish)
        if reason is None:
            candidates.append(pool)
        else:
            reasons.append(f"{pool.name}: {reason}")
    if candidates:
        return max(candidates, key=lambda pool: pool.free_bytes)
    why = "; ".join(reasons) if reasons else "no backend has reported yet (is an agent running?)"
    return NoPool(f"no backend can host this volume: {why}")


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
    if wish.availability_zone is not None and service.availability_zone != wish.availability_zone:
        return f"is in zone {service.availability_zone}, not {wish.availability_zone}"
    unfit = capability_specs.refusal(wish.extra_specs, pool)
    if unfit is not None:
        return unfit
    if wish.multiattach and not pool.capabilities.get("multiattach"):
        return "cannot attach a volume to several servers"
    ratio = float(pool.capabilities.get("max_over_subscription_ratio", 1e9))
    promised = _sizes(tx, pool)
    if promised + wish.size * GIB > pool.total_bytes * ratio:
        return f"{promised // GIB} GiB are promised of {pool.total_bytes // GIB} GiB, {ratio:g} times of it at most"
    free = pool.free_bytes - pool.total_bytes * pool.reserved_percentage // 100
    if not pool.capabilities.get("thin"):
        free -= _sizes(tx, pool, "making")
    if free < wish.size * GIB:
        return f"{max(0, free) // GIB} GiB free of {wish.size} GiB asked"
    return None


def _sizes(tx: Transaction, pool: Pool, life: str | None = None) -> int:
    """Bytes of the live volumes there. Of those that are being made, the last report of a pool that is not thin may not
    count any yet; in a thin one they take next to nothing, and counted whole a burst of them would be refused."""
    statement = select(func.coalesce(func.sum(volumes.c.size), 0)).where(
        volumes.c.backend == pool.backend, volumes.c.deleted_at.is_(None)
    )
    if life is not None:
        statement = statement.where(volumes.c.life == life)
    return int(tx.execute(statement).scalar_one()) * GIB
