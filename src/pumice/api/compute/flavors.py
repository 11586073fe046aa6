"""Flavors: /flavors, their extra specs (Compute API v2.1)."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import Field, View
from pumice.caller import new_id
from pumice.compute import flavors
from pumice.db.engine import Transaction
from pumice.errors import InvalidField, NotFound

SUMMARY = View(
    "flavor",
    Field("id"),
    Field("name"),
    Field("description", since="2.55"),
    Field("links", lambda flavor, call: call.links.pair(f"/flavors/{flavor.id}")),
)
DETAIL = SUMMARY.extended(
    Field("ram", lambda flavor: flavor.memory_mib),
    Field("vcpus"),
    Field("disk"),
    Field("swap", lambda flavor: flavor.swap or "", until="2.74"),
    Field("swap", since="2.75"),
    Field("OS-FLV-EXT-DATA:ephemeral", lambda flavor: flavor.ephemeral),
    Field("OS-FLV-DISABLED:disabled", fixed=False),
    Field("os-flavor-access:is_public", lambda flavor: flavor.is_public),
    Field("rxtx_factor", lambda flavor: 1.0),
    Field("extra_specs", since="2.61"),
)

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class FlavorCreate(Struct, forbid_unknown_fields=True):
    name: Name
    ram: AtLeastOne
    vcpus: AtLeastOne
    disk: Count
    id: Name | Count | None = None
    swap: Count = 0
    rxtx_factor: float = 1.0
    ephemeral: Count = field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    is_public: bool = field(name="os-flavor-access:is_public", default=True)
    description: Annotated[str | None, Since("2.55")] = None


class FlavorCreateBody(Struct, forbid_unknown_fields=True):
    flavor: FlavorCreate


def create(tx: Transaction, call: Call) -> Any:
    asked: FlavorCreate = call.body.flavor
    made = flavors.create(
        tx,
        str(asked.id) if asked.id not in (None, "auto") else new_id(),
        asked.name.strip(),
        memory_mib=asked.ram,
        vcpus=asked.vcpus,
        disk=asked.disk,
        ephemeral=asked.ephemeral,
        swap=asked.swap,
        is_public=asked.is_public,
        description=asked.description,
    )
    return DETAIL.render(made, call)


def _page(tx: Transaction, call: Call) -> Any:
    texts = {"none": None, "true": True, "1": True, "false": False, "0": False}
    word = call.params.get("is_public", "true").lower()
    if word not in texts:
        raise InvalidField("is_public", word, "one of true, false, none")
    least: dict[str, int] = {name: _number(call, name) for name in ("minDisk", "minRam") if name in call.params}
    is_public = texts[word] if "is_public" in call.params or not call.caller.is_admin else True
    return flavors.page(tx, call.caller, flavors.LISTING.parse(call.params), is_public=is_public, least=least)


def _number(call: Call, name: str) -> int:
    text = call.params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidField(name, text, "a whole number")
    return int(text)


def listed(tx: Transaction, call: Call) -> Any:
    return SUMMARY.page(_page(tx, call), call)


def detail(tx: Transaction, call: Call) -> Any:
    return DETAIL.page(_page(tx, call), call)


def show(tx: Transaction, call: Call) -> Any:
    return DETAIL.render(flavors.get(tx, call.caller, call.path["flavor_id"]), call)


def delete(tx: Transaction, call: Call) -> None:
    flavors.delete(tx, call.path["flavor_id"])


def extra_specs(tx: Transaction, call: Call) -> Any:
    return {"extra_specs": flavors.get(tx, call.caller, call.path["flavor_id"]).extra_specs}


def extra_spec(tx: Transaction, call: Call) -> Any:
    specs, key = flavors.get(tx, call.caller, call.path["flavor_id"]).extra_specs, call.path["key"]
    if key not in specs:
        raise NotFound(f"Flavor {call.path['flavor_id']} has no extra spec {key[:64]}.")
    return {key: specs[key]}


_ONE = "/flavors/{flavor_id}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors", listed, action="compute:flavors:index", name="flavors.list"),
    Route("GET", "/flavors/detail", detail, action="compute:flavors:detail", name="flavors.detail"),
    Route("GET", _ONE, show, action="compute:flavors:show", name="flavors.show"),
    Route(
        "POST",
        "/flavors",
        create,
        body=FlavorCreateBody,
        lax=True,
        write=True,
        action="compute:flavors:create",
        name="flavors.create",
    ),
    Route("DELETE", _ONE, delete, status=202, write=True, action="compute:flavors:delete", name="flavors.delete"),
    Route("GET", f"{_ONE}/os-extra_specs", extra_specs, action="compute:flavors:show_specs", name="flavors.specs"),
    Route("GET", f"{_ONE}/os-extra_specs/{{key}}", extra_spec, action="compute:flavors:show_spec", name="flavors.spec"),
)
