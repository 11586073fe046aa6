"""Quotas: how much a project may have, counted from the rows in the transaction that adds to them. No counters.

    limit of a project = what was set for it, else for the class "default", else DEFAULTS; -1: without limit

    check(tx, project_id, Addition(...))     called by create, extend, snapshot; raises QuotaExceeded
    of_project(tx, project_id)               each resource with its limit and what is in use

A key is (resource, volume type's id); the id is "" for all types together. In the API the former are called
"volumes_<name of the type>". Snapshots count as gigabytes too. On PostgreSQL the project's row in `quota_locks` is
locked while it is counted, so that two requests cannot both take the last place; on SQLite the write lock does that.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import insert as insert_or_lock
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from pumice.block import volume_types
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import quota_class_limits, quota_limits, quota_locks, snapshots, volumes
from pumice.errors import BadRequest, InvalidField, QuotaExceeded

Key = tuple[str, str]

DEFAULTS: Mapping[str, int] = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,
    "backups": 10,
    "backup_gigabytes": 1000,
    "per_volume_gigabytes": -1,
    "groups": 10,
}
TYPED = ("volumes", "snapshots", "gigabytes")
"""Resources that also have a limit for each volume type; without limit unless one was set."""

DEFAULT_CLASS = "default"
MAX_LIMIT = 2**31 - 1


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """What a request adds to a project."""

    volume_type_id: str
    volumes: int = 0
    snapshots: int = 0
    gigabytes: int = 0
    volume_size: int | None = None
    """Size of the volume afterwards, held against per_volume_gigabytes; None: not a volume's."""


class Quota(msgspec.Struct, frozen=True):
    """One resource of a project."""

    limit: int
    in_use: int


_LIMITS = union_all(
    select(
        literal(0).label("rank"),
        quota_class_limits.c.resource,
        quota_class_limits.c.volume_type_id,
        quota_class_limits.c.hard_limit,
    ).where(quota_class_limits.c.class_name == DEFAULT_CLASS),
    select(
        literal(1).label("rank"), quota_limits.c.resource, quota_limits.c.volume_type_id, quota_limits.c.hard_limit
    ).where(quota_limits.c.project_id == bindparam("project_id")),
)
_CLASS = select(
    quota_class_limits.c.resource, quota_class_limits.c.volume_type_id, quota_class_limits.c.hard_limit
).where(quota_class_limits.c.class_name == bindparam("class_name"))
_VOLUMES = (
    select(volumes.c.volume_type_id, func.count(), func.sum(volumes.c.size))
    .where(volumes.c.project_id == bindparam("project_id"), volumes.c.deleted_at.is_(None), volumes.c.consumes_quota)
    .group_by(volumes.c.volume_type_id)
)
_SNAPSHOTS = (
    select(volumes.c.volume_type_id, func.count(), func.sum(snapshots.c.size))
    .join(volumes, volumes.c.id == snapshots.c.volume_id)
    .where(
        snapshots.c.project_id == bindparam("project_id"),
        snapshots.c.deleted_at.is_(None),
        snapshots.c.consumes_quota,
    )
    .group_by(volumes.c.volume_type_id)
)
_LOCK = (
    insert_or_lock(quota_locks)
    .values(project_id=bindparam("project_id"))
    .on_conflict_do_update(index_elements=["project_id"], set_={"project_id": bindparam("project_id")})
)


def check(tx: Transaction, project_id: str, added: Addition) -> None:
    """Refuse what would go beyond a limit of the project. Raises QuotaExceeded naming the limit and what is used."""
    _lock(tx, project_id)
    limits = _limits(tx, project_id)
    largest = limits["per_volume_gigabytes", ""]
    if added.volume_size is not None and 0 <= largest < added.volume_size:
        raise QuotaExceeded(
            f"Requested volume size {added.volume_size}G exceeds the maximum allowed size of one volume, {largest}G"
            " (quota 'per_volume_gigabytes')."
        )
    asked = [
        ((resource, type_id), amount)
        for resource in TYPED
        if (amount := getattr(added, resource))
        for type_id in ("", added.volume_type_id)
        if limits.get((resource, type_id), -1) >= 0
    ]
    if not asked:
        return
    used = _used(tx, project_id)
    for key, amount in asked:
        if used.get(key, 0) + amount > limits[key]:
            raise _exceeded(tx, key, amount, used.get(key, 0), limits[key])


def check_type(tx: Transaction, project_id: str, type_id: str, size: int) -> None:
    """Refuse a volume that becomes of this type beyond the type's limits; all types together stay as they are.

    Raises QuotaExceeded."""
    _lock(tx, project_id)
    limits = _limits(tx, project_id)
    used = _used(tx, project_id)
    for resource, amount in (("volumes", 1), ("gigabytes", size)):
        key = (resource, type_id)
        if 0 <= limits.get(key, -1) < used.get(key, 0) + amount:
            raise _exceeded(tx, key, amount, used.get(key, 0), limits[key])


def of_project(tx: Transaction, project_id: str, caller: Caller | None = None) -> dict[str, Quota]:
    """Every resource by its name in the API, those of each volume type too; with a caller, of those they may use."""
    limits, used = _limits(tx, project_id), _used(tx, project_id)
    return {name: Quota(limits.get(key, -1), used.get(key, 0)) for name, key in _names(tx, caller).items()}


def of_class(tx: Transaction, class_name: str = DEFAULT_CLASS, caller: Caller | None = None) -> dict[str, int]:
    """The limits of a class by their names in the API; what was not set is the default. caller: as above."""
    limits = {**_defaults(), **_by_key(tx.execute(_CLASS, {"class_name": class_name}))}
    return {name: limits.get(key, -1) for name, key in _names(tx, caller).items()}


def set_for_project(tx: Transaction, project_id: str, wanted: Mapping[str, Any], *, below_use: bool = True) -> None:
    """Set these limits of a project. Raises InvalidField (no whole number), BadRequest (no such resource; with
    below_use False also a limit below what is in use)."""
    checked = _checked(tx, wanted)
    if not below_use:
        _refuse_below_use(tx, project_id, checked)
    for key, limit in checked.items():
        _put(tx, quota_limits, {"project_id": project_id}, key, limit)


def set_for_class(tx: Transaction, class_name: str, wanted: Mapping[str, Any]) -> None:
    """Set these limits of a class; those of "default" count for every project. Raises as `set_for_project`."""
    for key, limit in _checked(tx, wanted).items():
        _put(tx, quota_class_limits, {"class_name": class_name}, key, limit)


def reset(tx: Transaction, project_id: str) -> None:
    """The project has the default limits again."""
    tx.execute(delete(quota_limits).where(quota_limits.c.project_id == project_id))


def _lock(tx: Transaction, project_id: str) -> None:
    """Nobody else counts or changes what this project has before the transaction ends."""
    if not tx.sqlite:
        tx.execute(_LOCK, {"project_id": project_id})


def _refuse_below_use(tx: Transaction, project_id: str, wanted: Mapping[Key, int]) -> None:
    _lock(tx, project_id)
    used = _used(tx, project_id)
    for key, limit in wanted.items():
        if 0 <= limit < used.get(key, 0):
            raise BadRequest(
                f"Quota {_name(tx, key)} limit must be equal or greater than existing resources: {used[key]} are in"
                f" use, {limit} was asked."
            )


def _name(tx: Transaction, key: Key) -> str:
    resource, type_id = key
    return f"{resource}_{volume_types.by_id(tx, type_id).name}" if type_id else resource


def _defaults() -> dict[Key, int]:
    return {(resource, ""): limit for resource, limit in DEFAULTS.items()}


def _by_key(rows: Iterable[Any]) -> dict[Key, int]:
    return {(resource, type_id): limit for resource, type_id, limit in rows}


def _limits(tx: Transaction, project_id: str) -> dict[Key, int]:
    rows = sorted(tx.execute(_LIMITS, {"project_id": project_id}), key=lambda row: row[0])
    return {**_defaults(), **_by_key(tuple(row[1:]) for row in rows)}


def _used(tx: Transaction, project_id: str) -> dict[Key, int]:
    used: dict[Key, int] = {}
    for resource, statement in (("volumes", _VOLUMES), ("snapshots", _SNAPSHOTS)):
        for type_id, count, size in tx.execute(statement, {"project_id": project_id}):
            for key, amount in ((resource, count), ("gigabytes", size)):
                for scope in ("", type_id):
                    used[key, scope] = used.get((key, scope), 0) + int(amount)
    return used


def _names(tx: Transaction, caller: Caller | None = None) -> dict[str, Key]:
    """Every name that the API has, with its key; with a caller, without the types that they may not know of."""
    names = {resource: (resource, "") for resource in DEFAULTS}
    for kind in volume_types.every(tx, caller):
        names |= {f"{resource}_{kind.name}": (resource, kind.id) for resource in TYPED}
    return names


def _checked(tx: Transaction, wanted: Mapping[str, Any]) -> dict[Key, int]:
    names = _names(tx)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise BadRequest(f"Bad key(s) in quota set: {', '.join(name[:64] for name in unknown)}.")
    checked: dict[Key, int] = {}
    for name, value in wanted.items():
        checked[names[name]] = _whole(name, value)
    return checked


def _whole(name: str, value: Any) -> int:
    expected = f"a whole number from -1 (without limit) to {MAX_LIMIT}"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidField(name, value, expected)
    try:
        number = int(value) if len(str(value)) <= 20 else MAX_LIMIT + 1
    except ValueError:
        raise InvalidField(name, value, expected) from None
    if not -1 <= number <= MAX_LIMIT:
        raise InvalidField(name, value, expected)
    return number


def _put(tx: Transaction, table: Any, owner: dict[str, str], key: Key, limit: int) -> None:
    resource, type_id = key
    row = {**owner, "resource": resource, "volume_type_id": type_id, "hard_limit": limit, "updated_at": tx.now}
    insert: Any = (insert_or_update if tx.sqlite else insert_or_lock)(table)
    tx.execute(
        insert.values(row).on_conflict_do_update(
            index_elements=[*owner, "resource", "volume_type_id"], set_={"hard_limit": limit, "updated_at": tx.now}
        )
    )


def _exceeded(tx: Transaction, key: Key, amount: int, used: int, limit: int) -> QuotaExceeded:
    resource, name = key[0], _name(tx, key)
    if resource == "gigabytes":
        return QuotaExceeded(
            f"Requested volume or snapshot exceeds allowed {name} quota."
            f" Requested {amount}G, quota is {limit}G and {used}G has been consumed."
        )
    return QuotaExceeded(f"Maximum number of {resource} allowed ({limit}) exceeded for quota '{name}'.")
