"""Flavors: the sizes of servers. Deleted softly: a server keeps a copy, and a deleted flavor can be restored."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from pumice.caller import Caller
from pumice.compute.model import Flavor
from pumice.compute.queries import FLAVOR
from pumice.db.engine import Transaction
from pumice.db.paging import Listing, Page, PageRequest, number_filter
from pumice.db.schema import flavors, servers
from pumice.errors import Conflict, NotFound

DEFAULTS = (
    ("1", "m1.tiny", 128, 1, 0),
    ("2", "m1.small", 256, 1, 0),
    ("3", "m1.medium", 512, 1, 1),
)
"""(id, name, memory in MiB, vcpus, disk in GiB): sized for small guests; add others as needed."""

LISTING = Listing(
    flavors,
    filters={"memory_mib": number_filter(flavors.c.memory_mib)},
    sorts={
        "flavorid": flavors.c.id,
        "name": flavors.c.name,
        "memory_mb": flavors.c.memory_mib,
        "vcpus": flavors.c.vcpus,
        "root_gb": flavors.c.disk,
        "created_at": flavors.c.created_at,
    },
    default_sort=(("flavorid", "asc"),),
    noun="Flavor",
)


def ensure_defaults(tx: Transaction) -> None:
    """Make the default flavors on first start; never again, even when all were deleted."""
    if tx.execute(select(flavors.c.id).limit(1)).first() is not None:
        return
    for identifier, name, memory_mib, vcpus, disk in DEFAULTS:
        tx.execute(flavors.insert(), _row(tx, identifier, name, memory_mib=memory_mib, vcpus=vcpus, disk=disk))


def create(tx: Transaction, identifier: str, name: str, **sizes: Any) -> Flavor:
    """Make a flavor: memory_mib, vcpus, disk, and optionally ephemeral, swap, is_public, description.

    Raises Conflict when id or name is taken."""
    taken = select(flavors.c.id).where(
        (flavors.c.id == identifier) | (flavors.c.name == name), flavors.c.deleted_at.is_(None)
    )
    if tx.execute(taken).first() is not None:
        raise Conflict(f"A flavor with the id {identifier} or the name {name} exists already; choose another.")
    # A new flavor takes the place of a deleted one of its id; servers keep their copy of the old one.
    tx.execute(flavors.delete().where(flavors.c.id == identifier, flavors.c.deleted_at.is_not(None)))
    try:
        tx.execute(flavors.insert(), _row(tx, identifier, name, **sizes))
    except IntegrityError as error:
        raise Conflict(f"Flavor {name} is being created by another request.") from error
    return known(tx, identifier)


def known(tx: Transaction, identifier: str) -> Flavor:
    """A live flavor. Raises NotFound."""
    row = tx.execute(select(*FLAVOR).where(flavors.c.id == identifier, flavors.c.deleted_at.is_(None))).one_or_none()
    if row is None:
        raise NotFound.of("Flavor", identifier)
    return Flavor(*row)


def get(tx: Transaction, caller: Caller, identifier: str) -> Flavor:
    """A flavor that the caller may use. Raises NotFound."""
    found = known(tx, identifier)
    if not (found.is_public or caller.is_admin):
        raise NotFound.of("Flavor", identifier)
    return found


def page(
    tx: Transaction, caller: Caller, request: PageRequest, *, is_public: bool | None, least: dict[str, int]
) -> Page[Flavor]:
    """The flavors that the caller may use. is_public None: both (administrators). least: minDisk, minRam."""
    statement = select(*FLAVOR).where(
        flavors.c.deleted_at.is_(None),
        flavors.c.disk >= least.get("minDisk", 0),
        flavors.c.memory_mib >= least.get("minRam", 0),
    )
    if not caller.is_admin:
        is_public = True
    if is_public is not None:
        statement = statement.where(flavors.c.is_public.is_(is_public))
    return LISTING.page(tx, statement, request, lambda row: Flavor(*row))


def delete(tx: Transaction, identifier: str) -> None:
    """Delete a flavor, softly; servers keep their copy of it. Raises NotFound."""
    known(tx, identifier)
    tx.execute(update(flavors).where(flavors.c.id == identifier).values(deleted_at=tx.now))


def everything(tx: Transaction) -> list[Flavor]:
    """Every flavor that is not deleted, by id; for the operator's eyes."""
    statement = select(*FLAVOR).where(flavors.c.deleted_at.is_(None)).order_by(flavors.c.id)
    return [Flavor(*row) for row in tx.execute(statement)]


def deleted(tx: Transaction) -> list[Flavor]:
    """Flavors that can be restored, the last deleted first."""
    statement = select(*FLAVOR).where(flavors.c.deleted_at.is_not(None)).order_by(flavors.c.deleted_at.desc())
    return [Flavor(*row) for row in tx.execute(statement)]


def uses(tx: Transaction, identifier: str) -> int:
    """Live servers of this flavor."""
    statement = select(func.count()).select_from(servers)
    return int(
        tx.execute(statement.where(servers.c.flavor_id == identifier, servers.c.deleted_at.is_(None))).scalar_one()
    )


def restore(tx: Transaction, identifier: str) -> Flavor:
    """A deleted flavor is there again. Raises NotFound (none is deleted), Conflict (its name is another's now)."""
    row = tx.execute(select(*FLAVOR).where(flavors.c.id == identifier, flavors.c.deleted_at.is_not(None))).first()
    if row is None:
        raise NotFound(f"There is no deleted flavor {identifier}; `pumice flavor list --deleted` shows them.")
    found = Flavor(*row)
    taken = select(flavors.c.id).where(flavors.c.name == found.name, flavors.c.deleted_at.is_(None))
    other = tx.execute(taken).scalar()
    if other is not None:
        raise Conflict(f"Flavor {other} is called {found.name} now; delete it first to restore flavor {identifier}.")
    statement = update(flavors).where(flavors.c.id == identifier, flavors.c.deleted_at.is_not(None))
    tx.execute(statement.values(deleted_at=None))
    return known(tx, identifier)


def _row(tx: Transaction, identifier: str, name: str, **values: Any) -> dict[str, Any]:
    defaults = {"ephemeral": 0, "swap": 0, "is_public": True, "extra_specs": {}, "description": None}
    return {"id": identifier, "name": name, "created_at": tx.now, **defaults, **values}
