"""The volume type of a volume that names none: the project's own default, else the cloud's.

Administrators set the former for a project (Block Storage API, "Default volume types", since 3.62).
"""

from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as insert_or_replace
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from pumice.block import volume_types
from pumice.block.model import VolumeType
from pumice.block.queries import VOLUME_TYPE
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import default_volume_types, projects
from pumice.db.schema import volume_types as types
from pumice.errors import BadRequest, NotFound

_OF_PROJECT = (
    select(*VOLUME_TYPE)
    .join(default_volume_types, default_volume_types.c.volume_type_id == types.c.id)
    .where(default_volume_types.c.project_id == bindparam("project_id"), types.c.deleted_at.is_(None))
)


class DefaultType(msgspec.Struct, frozen=True):
    """A project's default type."""

    project_id: str
    volume_type_id: str


def for_project(tx: Transaction, project_id: str | None) -> VolumeType:
    """The type of the project's volumes that name none. Raises NotFound when there is none at all."""
    row = tx.execute(_OF_PROJECT, {"project_id": project_id or ""}).one_or_none()
    return volume_types.default(tx) if row is None else VolumeType(*row)


def of_project(tx: Transaction, project_id: str) -> DefaultType:
    """What was set for the project. Raises NotFound."""
    table = default_volume_types
    row = tx.execute(select(table.c.volume_type_id).where(table.c.project_id == project_id)).one_or_none()
    if row is None:
        raise NotFound(f"Default volume type for project {project_id[:64]} could not be found.")
    return DefaultType(project_id, row.volume_type_id)


def every(tx: Transaction) -> list[DefaultType]:
    """Every project that has one."""
    table = default_volume_types
    rows = tx.execute(select(table.c.project_id, table.c.volume_type_id).order_by(table.c.project_id))
    return [DefaultType(*row) for row in rows]


def put(tx: Transaction, caller: Caller, project_id: str, name_or_id: str) -> DefaultType:
    """Set it. Raises NotFound (project, type), BadRequest (the project may not use that type)."""
    if tx.execute(select(projects.c.id).where(projects.c.id == project_id)).first() is None:
        raise NotFound.of("Project", project_id)
    kind = volume_types.visible(tx, caller, name_or_id)
    if not kind.is_public and project_id not in volume_types.projects_with_access(tx, caller, kind.id):
        raise BadRequest(f"Project {project_id} has no access to volume type {kind.name}; grant it first.")
    values = {"volume_type_id": kind.id, "updated_at": tx.now}
    insert: Any = insert_or_update if tx.sqlite else insert_or_replace
    statement = insert(default_volume_types).values(project_id=project_id, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["project_id"], set_=values))
    return DefaultType(project_id, kind.id)


def unset(tx: Transaction, project_id: str) -> None:
    """The project has the cloud's default again; so it is when it had none of its own."""
    tx.execute(delete(default_volume_types).where(default_volume_types.c.project_id == project_id))
