"""Volume types: the default one, and which type a name or id means to a caller."""

from sqlalchemy import or_, select

from pumice.block.model import VolumeType
from pumice.block.queries import VOLUME_TYPE
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import volume_type_access, volume_types
from pumice.errors import NotFound

DEFAULT_TYPE_NAME = "__DEFAULT__"


def ensure_default(tx: Transaction) -> None:
    """Make the default type on first start."""
    if tx.execute(select(volume_types.c.id).where(volume_types.c.deleted_at.is_(None)).limit(1)).first() is None:
        tx.execute(
            volume_types.insert(),
            {
                "id": new_id(),
                "name": DEFAULT_TYPE_NAME,
                "description": "Default volume type",
                "is_public": True,
                "is_default": True,
                "extra_specs": {},
                "created_at": tx.now,
            },
        )


def default(tx: Transaction) -> VolumeType:
    """The type of a volume that names none. Raises NotFound when the operator left none."""
    statement = select(*VOLUME_TYPE).where(volume_types.c.is_default, volume_types.c.deleted_at.is_(None))
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise NotFound("There is no default volume type; name one, or ask the administrator to set a default.")
    return VolumeType(*row)


def by_id(tx: Transaction, type_id: str) -> VolumeType:
    """The type of an existing volume, deleted or not. Raises NotFound."""
    row = tx.execute(select(*VOLUME_TYPE).where(volume_types.c.id == type_id)).one_or_none()
    if row is None:
        raise NotFound.of("Volume type", type_id)
    return VolumeType(*row)


def visible(tx: Transaction, caller: Caller, name_or_id: str) -> VolumeType:
    """The type that the caller may use: public, or granted to the project. Raises NotFound naming it."""
    statement = (
        select(*VOLUME_TYPE)
        .where(
            volume_types.c.deleted_at.is_(None), or_(volume_types.c.id == name_or_id, volume_types.c.name == name_or_id)
        )
        .order_by(volume_types.c.id != name_or_id)
        .limit(1)
    )
    row = tx.execute(statement).first()
    if row is not None:
        found = VolumeType(*row)
        if found.is_public or caller.is_admin or _granted(tx, found.id, caller.project_id):
            return found
    raise NotFound.of("Volume type", name_or_id)


def listed(tx: Transaction, caller: Caller) -> list[VolumeType]:
    """The types that the caller may use, by name."""
    statement = select(*VOLUME_TYPE).where(volume_types.c.deleted_at.is_(None)).order_by(volume_types.c.name)
    if not caller.is_admin:
        granted = select(volume_type_access.c.volume_type_id).where(
            volume_type_access.c.project_id == (caller.project_id or "")
        )
        statement = statement.where(or_(volume_types.c.is_public, volume_types.c.id.in_(granted)))
    return [VolumeType(*row) for row in tx.execute(statement)]


def _granted(tx: Transaction, type_id: str, project_id: str | None) -> bool:
    statement = select(volume_type_access.c.project_id).where(
        volume_type_access.c.volume_type_id == type_id, volume_type_access.c.project_id == (project_id or "")
    )
    return tx.execute(statement).first() is not None
