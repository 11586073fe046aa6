"""Volume types: /types (Block Storage API v3, "Volume types"): which there are, and who may use them."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import default_types, volume_types
from pumice.block.model import VolumeType
from pumice.db.engine import Transaction
from pumice.errors import InvalidField

TypeName = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=255)]

USER_VISIBLE = frozenset({"multiattach", "RESKEY:availability_zones"})
"""Extra specs that tell every user what a volume of the type can do; the others tell about backends."""


def _specs(kind: VolumeType, call: Call) -> dict[str, str]:
    return kind.extra_specs if call.caller.is_admin else seen_by_users(kind.extra_specs)


def seen_by_users(specs: dict[str, str]) -> dict[str, str]:
    """What of the extra specs is shown to those who are no administrators."""
    return {key: value for key, value in specs.items() if key in USER_VISIBLE}


CHANGED = View(
    "volume_type",
    Field("id"),
    Field("name"),
    Field("description"),
    Field("is_public"),
    Field("extra_specs", _specs),
)
CREATED = CHANGED.extended(Field("os-volume-type-access:is_public", lambda kind: kind.is_public))
TYPE = CREATED.extended(Field("qos_specs_id", visible=lambda call: call.caller.is_admin))


class TypeCreate(Struct, forbid_unknown_fields=True):
    name: TypeName
    description: Description | None = None
    is_public: bool = field(default=True, name="os-volume-type-access:is_public")
    extra_specs: dict[str, str] | None = None


class TypeCreateBody(Struct, forbid_unknown_fields=True):
    volume_type: TypeCreate


class TypeUpdate(Struct, forbid_unknown_fields=True):
    name: TypeName | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    is_public: bool | UnsetType = UNSET
    shown_is_public: bool | UnsetType = field(default=UNSET, name="os-volume-type-access:is_public")
    """openstacksdk calls it as answers do."""


class TypeUpdateBody(Struct, forbid_unknown_fields=True):
    volume_type: TypeUpdate


def listed(tx: Transaction, call: Call) -> Any:
    ignored = () if call.version >= (3, 52) else ("extra_specs",)
    params = {name: text for name, text in call.params.items() if name not in ignored}
    return TYPE.page(volume_types.page(tx, call.caller, params, is_public=_is_public(call)), call)


def show(tx: Transaction, call: Call) -> Any:
    return TYPE.render(volume_types.get(tx, call.caller, call.path["volume_type_id"]), call)


def default(tx: Transaction, call: Call) -> Any:
    return TYPE.render(default_types.for_project(tx, call.caller.project_id), call)


def create(tx: Transaction, call: Call) -> Any:
    asked: TypeCreate = call.body.volume_type
    wanted = volume_types.NewType(
        name=_name(asked.name),
        description=asked.description,
        is_public=asked.is_public,
        extra_specs=asked.extra_specs or {},
    )
    return CREATED.render(volume_types.create(tx, wanted), call)


def change(tx: Transaction, call: Call) -> Any:
    asked: TypeUpdate = call.body.volume_type
    changes: dict[str, Any] = {}
    for name in ("name", "description", "is_public"):
        value = getattr(asked, name)
        if value is not UNSET and not (name == "name" and value is None):
            changes[name] = _name(value) if name == "name" else value
    if asked.shown_is_public is not UNSET:
        changes.setdefault("is_public", asked.shown_is_public)
    return CHANGED.render(volume_types.change(tx, call.caller, call.path["volume_type_id"], changes), call)


def delete(tx: Transaction, call: Call) -> None:
    volume_types.delete(tx, call.caller, call.path["volume_type_id"])


def _name(text: str) -> str:
    if not text.strip():
        raise InvalidField("volume_type.name", text, "a name that is not blank")
    return text.strip()


def _is_public(call: Call) -> bool | None:
    """`is_public=none` asks for all; without it administrators see the public ones, as in the API."""
    text = call.params.get("is_public", "true").strip().lower()
    if text in ("none", ""):
        return None
    if text in ("true", "1", "yes", "t", "y", "on"):
        return True
    if text in ("false", "0", "no", "f", "n", "off"):
        return False
    raise InvalidField("is_public", call.params["is_public"], "true, false or none")


_ONE = "/types/{volume_type_id}"

ROUTES = (
    Route("GET", "/types", listed, action="volume_extension:type_get_all", name="types.list"),
    Route("POST", "/types", create, action="volume_extension:type_create", body=TypeCreateBody, write=True, lax=True),
    Route("GET", "/types/default", default, action="volume_extension:type_get"),
    Route("GET", _ONE, show, action="volume_extension:type_get"),
    Route("PUT", _ONE, change, action="volume_extension:type_update", body=TypeUpdateBody, write=True, lax=True),
    Route("DELETE", _ONE, delete, action="volume_extension:type_delete", status=202, write=True),
)
