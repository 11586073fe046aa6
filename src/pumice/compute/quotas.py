"""Limits of compute: what a project's servers may take, counted from the rows in the transaction that adds to them.

    limit of a project = what was set for it, else for all projects, else DEFAULTS; -1: without limit

Too much is 403, as compute's clients know it. On PostgreSQL the project's row in `quota_locks` is locked while it is
counted; on SQLite the write lock does that. Memory in MiB.
"""

from collections.abc import Mapping

import msgspec
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert as insert_or_lock

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import compute_quota_limits, keypairs, quota_locks, servers
from pumice.errors import BadRequest, Forbidden, InvalidField

DEFAULTS: Mapping[str, int] = {
    "instances": -1,
    "cores": -1,
    "ram": -1,
    "metadata_items": 128,
    "key_pairs": 100,
    "server_groups": 0,
    "server_group_members": 0,
    # What there is nothing of: kept as set, and of no effect.
    "floating_ips": 0,
    "fixed_ips": 0,
    "security_groups": 0,
    "security_group_rules": 0,
    "injected_files": 0,
    "injected_file_content_bytes": 0,
    "injected_file_path_bytes": 0,
}
COUNTED = ("instances", "cores", "ram")
FOR_ALL = ""
MAX_LIMIT = 2**31 - 1

_LOCK = (
    insert_or_lock(quota_locks)
    .values(project_id=bindparam("project_id"))
    .on_conflict_do_update(index_elements=["project_id"], set_={"project_id": bindparam("project_id")})
)


class Totals(msgspec.Struct, frozen=True):
    """What servers take; memory in MiB."""

    instances: int = 0
    cores: int = 0
    ram: int = 0


def limits(tx: Transaction, project_id: str) -> dict[str, int]:
    """Every resource with its limit for this project; FOR_ALL: for those without limits of their own."""
    statement = select(
        compute_quota_limits.c.project_id, compute_quota_limits.c.resource, compute_quota_limits.c.hard_limit
    ).where(compute_quota_limits.c.project_id.in_((FOR_ALL, project_id)))
    found = sorted(tuple(row) for row in tx.execute(statement))
    return {**DEFAULTS, **{resource: limit for _project, resource, limit in found}}


def totals(tx: Transaction, project_id: str) -> Totals:
    """What the project's live servers take, counted from the rows."""
    statement = select(servers.c.flavor).where(servers.c.project_id == project_id, servers.c.deleted_at.is_(None))
    copies = list(tx.execute(statement).scalars())
    return Totals(len(copies), sum(int(one["vcpus"]) for one in copies), sum(int(one["ram"]) for one in copies))


def check(tx: Transaction, project_id: str, each: Totals, least: int, most: int) -> int:
    """How many such servers the project may add: `most`, or as many as fit, at least `least`. Raises Forbidden naming
    the limits and what is used."""
    if not tx.sqlite:
        tx.execute(_LOCK, {"project_id": project_id})
    allowed = limits(tx, project_id)
    if all(allowed[name] < 0 for name in COUNTED):
        return most
    used = totals(tx, project_id)
    fit, short = most, []
    for name in COUNTED:
        limit, one = allowed[name], getattr(each, name)
        if limit < 0 or one == 0:
            continue
        room = max(0, limit - getattr(used, name)) // one
        fit = min(fit, room)
        if room < least:
            short.append(f"{name}: requested {one * least}, used {getattr(used, name)} of {limit}")
    if short:
        raise Forbidden(f"Quota exceeded for {'; '.join(short)}.")
    return fit


def check_metadata(tx: Transaction, project_id: str, items: int) -> None:
    """Refuse more metadata items than a server may have. Raises Forbidden."""
    limit = limits(tx, project_id)["metadata_items"]
    if 0 <= limit < items:
        raise Forbidden(f"Maximum number of metadata items exceeds {limit} (quota 'metadata_items').")


def check_keypairs(tx: Transaction, caller: Caller, user_id: str) -> None:
    """Refuse one more key pair beyond the limit of the caller's project. Raises Forbidden."""
    limit = limits(tx, caller.project_id or FOR_ALL)["key_pairs"]
    used = tx.execute(select(func.count()).where(keypairs.c.user_id == user_id)).scalar_one()
    if 0 <= limit <= used:
        raise Forbidden(f"Quota exceeded, too many key pairs: {used} of {limit} (quota 'key_pairs').")


def set_limits(tx: Transaction, project_id: str, wanted: Mapping[str, int], *, force: bool = False) -> None:
    """Set limits of a project (FOR_ALL: of all without their own). Raises InvalidField; BadRequest for one below
    what is in use, unless forced."""
    used = totals(tx, project_id) if project_id else Totals()
    for resource, limit in wanted.items():
        if resource not in DEFAULTS:
            raise InvalidField(f"quota_set.{resource}", limit, f"limits are {', '.join(DEFAULTS)}")
        if not -1 <= limit <= MAX_LIMIT:
            raise InvalidField(f"quota_set.{resource}", limit, f"a whole number from -1 (no limit) to {MAX_LIMIT}")
        taken = getattr(used, resource, 0)
        if not force and 0 <= limit < taken:
            raise BadRequest(
                f"Quota limit {limit} for {resource} must be greater than or equal to what is used, {taken}."
            )
    forget = delete(compute_quota_limits).where(
        compute_quota_limits.c.project_id == project_id, compute_quota_limits.c.resource.in_(list(wanted))
    )
    tx.execute(forget)
    for resource, limit in wanted.items():
        row = {"project_id": project_id, "resource": resource, "hard_limit": limit, "updated_at": tx.now}
        tx.execute(compute_quota_limits.insert(), row)


def forget_limits(tx: Transaction, project_id: str) -> None:
    """The project has no limits of its own any more."""
    tx.execute(delete(compute_quota_limits).where(compute_quota_limits.c.project_id == project_id))
