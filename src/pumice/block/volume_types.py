"""Volume types: what kinds of volumes there are, and which of them a caller may use.

Here are the default type and the looking up by name or id that other nouns need, the service functions of types, and
those of their extra specs and access (who may use a type that is not public). Administrators change them; a type that
volumes have cannot be deleted, and neither can the default one.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, func, literal, or_, select, true, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from pumice.block.listings import pairs_of
from pumice.block.model import VolumeType
from pumice.block.queries import VOLUME_TYPE
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.paging import Filter, Listing, Page, text_filter
from pumice.db.schema import default_volume_types, volume_type_access, volume_types, volumes
from pumice.errors import BadRequest, Conflict, InvalidField, NotFound

DEFAULT_TYPE_NAME = "__DEFAULT__"

ZONES = "RESKEY:availability_zones"
"""The extra spec that says in which zones volumes of the type can be: "zone-a, zone-b"."""


def zones_of(specs: Mapping[str, str]) -> tuple[str, ...]:
    """The zones of a type; (): any."""
    return tuple(zone.strip() for zone in specs.get(ZONES, "").split(",") if zone.strip())


def specs_filter(column: ColumnElement[dict[str, str]]) -> Filter:
    """`extra_specs={'key': 'value'}`: every pair is there; of the zones, that one is among them."""

    def condition(name: str, text: str) -> ColumnElement[bool]:
        found = []
        for key, value in pairs_of(name, text).items():
            has = column[key].as_string()
            if key == ZONES:
                among = func.replace(literal(",") + func.replace(has, " ", "") + ",", f",{value.strip()},", "")
                found.append(and_(has.is_not(None), among != literal(",") + func.replace(has, " ", "") + ","))
            else:
                found.append(has == value)
        return and_(true(), *found)

    return condition


_LISTING = Listing(
    volume_types,
    filters={
        "name": text_filter(volume_types.c.name),
        "description": text_filter(volume_types.c.description),
        "extra_specs": specs_filter(volume_types.c.extra_specs),
    },
    sorts={name: volume_types.c[name] for name in ("id", "name", "description", "created_at", "updated_at")},
    noun="Volume type",
    full_page_links=True,
    marker_error=NotFound,
)


class NewType(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /types asks for, parsed."""

    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = {}


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
    row = tx.execute(_DEFAULT).one_or_none()
    if row is None:
        raise NotFound("There is no default volume type; name one, or ask the administrator to set a default.")
    return VolumeType(*row)


_DEFAULT = select(*VOLUME_TYPE).where(volume_types.c.is_default, volume_types.c.deleted_at.is_(None))
_BY_ID = select(*VOLUME_TYPE).where(volume_types.c.id == bindparam("id"))


def by_id(tx: Transaction, type_id: str) -> VolumeType:
    """The type of an existing volume, deleted or not. Raises NotFound."""
    row = tx.execute(_BY_ID, {"id": type_id}).one_or_none()
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


def get(tx: Transaction, caller: Caller, type_id: str) -> VolumeType:
    """A type by its id alone, as the API's paths have it. Raises NotFound."""
    found = visible(tx, caller, type_id)
    if found.id != type_id:
        raise NotFound.of("Volume type", type_id)
    return found


def every(tx: Transaction, caller: Caller | None = None) -> list[VolumeType]:
    """Every type there is, or that the caller may use, by name."""
    statement = select(*VOLUME_TYPE).where(volume_types.c.deleted_at.is_(None)).order_by(volume_types.c.name)
    if caller is not None and not caller.is_admin:
        statement = statement.where(_usable(caller))
    return [VolumeType(*row) for row in tx.execute(statement)]


def _usable(caller: Caller) -> ColumnElement[bool]:
    """Public, or granted to the caller's project."""
    granted = select(volume_type_access.c.volume_type_id).where(
        volume_type_access.c.project_id == (caller.project_id or "")
    )
    return or_(volume_types.c.is_public, volume_types.c.id.in_(granted))


def page(tx: Transaction, caller: Caller, params: Mapping[str, str], *, is_public: bool | None) -> Page[VolumeType]:
    """A page of the types that the caller may use. is_public narrows an administrator's list; None: all of them."""
    statement = select(*VOLUME_TYPE).where(volume_types.c.deleted_at.is_(None))
    if not caller.is_admin:
        statement = statement.where(_usable(caller))
    elif is_public is not None:
        statement = statement.where(volume_types.c.is_public.is_(is_public))
    return _LISTING.page(tx, statement, _LISTING.parse(params), lambda row: VolumeType(*row))


def create(tx: Transaction, wanted: NewType) -> VolumeType:
    """A new type; one that is not public may be used by nobody yet. Raises InvalidField, Conflict (name)."""
    type_id = new_id()
    _refuse_taken(tx, wanted.name)
    row = {
        "id": type_id,
        "name": wanted.name,
        "description": wanted.description,
        "is_public": wanted.is_public,
        "is_default": False,
        "extra_specs": check_specs(wanted.extra_specs),
        "created_at": tx.now,
    }
    try:
        tx.execute(volume_types.insert(), row)
    except IntegrityError as error:
        raise _taken(wanted.name) from error
    return by_id(tx, type_id)


def change(tx: Transaction, caller: Caller, type_id: str, changes: Mapping[str, Any]) -> VolumeType:
    """Change name, description or is_public; `changes` holds only what was sent.

    Raises BadRequest (nothing was sent), Conflict (the name is taken), NotFound."""
    found = get(tx, caller, type_id)
    if not changes:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    name = changes.get("name", found.name)
    if name != found.name:
        _refuse_taken(tx, name)
    _store(tx, type_id, dict(changes))
    return by_id(tx, type_id)


def delete(tx: Transaction, caller: Caller, type_id: str) -> None:
    """Delete a type that no volume has. Raises BadRequest (the default one, or volumes have it), NotFound."""
    found = get(tx, caller, type_id)
    if found.is_default:
        raise BadRequest(f"Volume type {found.name} is the default one; make another type the default first.")
    used = select(volumes.c.id).where(volumes.c.volume_type_id == type_id, volumes.c.deleted_at.is_(None)).limit(1)
    if tx.execute(used).first() is not None:
        raise BadRequest(f"Volume type {found.name} is used by volumes; delete or retype them first.")
    preferred = select(default_volume_types.c.project_id).where(default_volume_types.c.volume_type_id == type_id)
    if tx.execute(preferred).first() is not None:
        raise BadRequest(f"Volume type {found.name} is the default one of a project; unset that first.")
    tx.execute(delete_from(volume_type_access).where(volume_type_access.c.volume_type_id == type_id))
    _store(tx, type_id, {"deleted_at": tx.now})


def check_specs(specs: Mapping[str, str]) -> dict[str, str]:
    """Extra specs as they may be stored. Raises InvalidField."""
    for key, value in specs.items():
        if not 1 <= len(key) <= 255 or not key.strip() or "/" in key:
            raise InvalidField("extra_specs", key, "a key has 1 to 255 characters and no slash")
        if len(value) > 255:
            raise InvalidField(f"extra_specs.{key}", value, "at most 255 characters")
    return dict(specs)


def set_specs(tx: Transaction, caller: Caller, type_id: str, specs: Mapping[str, str]) -> dict[str, str]:
    """Add or overwrite these extra specs; what was sent. Raises InvalidField, NotFound.

    A type's `multiattach` cannot change while volumes have it: BadRequest."""
    checked = check_specs(specs)
    found = _locked(tx, caller, type_id)
    if "multiattach" in checked and checked["multiattach"] != found.extra_specs.get("multiattach"):
        _refuse_used(tx, found)
    _store(tx, type_id, {"extra_specs": {**found.extra_specs, **checked}})
    return checked


def delete_spec(tx: Transaction, caller: Caller, type_id: str, key: str) -> None:
    """Forget one extra spec. Raises NotFound for the type or the key, BadRequest as `set_specs`."""
    found = _locked(tx, caller, type_id)
    if key not in found.extra_specs:
        raise no_spec(type_id, key)
    if key == "multiattach":
        _refuse_used(tx, found)
    _store(tx, type_id, {"extra_specs": {name: one for name, one in found.extra_specs.items() if name != key}})


def no_spec(type_id: str, key: str) -> NotFound:
    return NotFound(f"Volume type {type_id} has no extra spec with the key {key[:64]}.")


def projects_with_access(tx: Transaction, caller: Caller, type_id: str) -> list[str]:
    """The projects that may use a type that is not public. Raises NotFound, also for a public one."""
    if get(tx, caller, type_id).is_public:
        raise NotFound(f"Volume type {type_id} is public: it has no list of projects.")
    statement = (
        select(volume_type_access.c.project_id)
        .where(volume_type_access.c.volume_type_id == type_id)
        .order_by(volume_type_access.c.project_id)
    )
    return list(tx.execute(statement).scalars())


def grant(tx: Transaction, caller: Caller, type_id: str, project_id: str) -> None:
    """Let a project use a type that is not public. Raises Conflict (public, or granted already), NotFound."""
    if get(tx, caller, type_id).is_public:
        raise Conflict(f"Volume type {type_id} is public: every project may use it.")
    if _granted(tx, type_id, project_id):
        raise Conflict(f"Project {project_id} may use volume type {type_id} already.")
    tx.execute(volume_type_access.insert(), {"volume_type_id": type_id, "project_id": project_id})


def withdraw(tx: Transaction, caller: Caller, type_id: str, project_id: str) -> None:
    """Take it back; volumes that there are stay. Raises Conflict (public), NotFound (type, or it was not granted)."""
    if get(tx, caller, type_id).is_public:
        raise Conflict(f"Volume type {type_id} is public: every project may use it.")
    statement = delete_from(volume_type_access).where(
        volume_type_access.c.volume_type_id == type_id, volume_type_access.c.project_id == project_id
    )
    if not tx.execute(statement).rowcount:
        raise NotFound(f"Project {project_id[:64]} has no access to volume type {type_id}.")


def _locked(tx: Transaction, caller: Caller, type_id: str) -> VolumeType:
    """The type, which nobody else changes before this transaction ends. Raises NotFound."""
    get(tx, caller, type_id)
    _store(tx, type_id, {})
    return by_id(tx, type_id)


def _store(tx: Transaction, type_id: str, values: dict[str, Any]) -> None:
    statement = update(volume_types).where(volume_types.c.id == type_id, volume_types.c.deleted_at.is_(None))
    try:
        changed = tx.execute(statement.values(**values, updated_at=tx.now)).rowcount
    except IntegrityError as error:
        raise _taken(str(values.get("name"))) from error
    if not changed:
        raise NotFound.of("Volume type", type_id)


def _refuse_taken(tx: Transaction, name: str) -> None:
    statement = select(volume_types.c.id).where(volume_types.c.name == name, volume_types.c.deleted_at.is_(None))
    if tx.execute(statement).first() is not None:
        raise _taken(name)


def _taken(name: str) -> Conflict:
    return Conflict(f"Volume type {name} already exists; names of types are unique.")


def _refuse_used(tx: Transaction, kind: VolumeType) -> None:
    statement = select(volumes.c.id).where(volumes.c.volume_type_id == kind.id, volumes.c.deleted_at.is_(None))
    if tx.execute(statement.limit(1)).first() is not None:
        raise BadRequest(f"Volume type {kind.name} is used by volumes; its multiattach cannot change.")


def _granted(tx: Transaction, type_id: str, project_id: str | None) -> bool:
    statement = select(volume_type_access.c.project_id).where(
        volume_type_access.c.volume_type_id == type_id, volume_type_access.c.project_id == (project_id or "")
    )
    return tx.execute(statement).first() is not None
