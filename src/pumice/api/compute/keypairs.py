"""Key pairs of users: /os-keypairs (Compute API v2.1; types 2.2, users 2.10, paging 2.35, import only from 2.92)."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import Field, View, next_link
from pumice.clock import isoformat
from pumice.compute import keypairs
from pumice.compute.model import KeyPair
from pumice.db.engine import Transaction
from pumice.db.paging import PageRequest
from pumice.errors import InvalidField

LISTED = View(
    "keypair",
    Field("name"),
    Field("fingerprint"),
    Field("public_key"),
    Field("type", since="2.2"),
)
MADE = LISTED.extended(Field("user_id"))
SHOWN = MADE.extended(
    Field("id"),
    Field("created_at", lambda found: isoformat(found.created_at)),
    Field("updated_at", fixed=None),
    Field("deleted_at", fixed=None),
    Field("deleted", fixed=False),
)
_PLAIN = re.compile(r"[A-Za-z0-9 _-]+")
_WIDER = re.compile(r"[A-Za-z0-9 _.@-]+")


class KeypairCreate(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    public_key: str | None = None
    type: Annotated[str, Since("2.2")] = "ssh"
    user_id: Annotated[Annotated[str, Meta(min_length=1, max_length=64)] | None, Since("2.10")] = None


class KeypairCreateBody(Struct, forbid_unknown_fields=True):
    keypair: KeypairCreate


def create(tx: Transaction, call: Call) -> Any:
    asked: KeypairCreate = call.body.keypair
    _check(asked, _PLAIN, "letters, digits, spaces, _ and -")
    return _made(tx, call, asked)


def import_only(tx: Transaction, call: Call) -> Any:
    asked: KeypairCreate = call.body.keypair
    _check(asked, _WIDER, "letters, digits, spaces, @, ., _ and -")
    if asked.public_key is None:
        raise InvalidField("keypair.public_key", None, "from microversion 2.92 on key pairs are only imported")
    return _made(tx, call, asked)


def _check(asked: KeypairCreate, names: re.Pattern[str], right: str) -> None:
    if not names.fullmatch(asked.name) or asked.name != asked.name.strip():
        raise InvalidField("keypair.name", asked.name, f"{right}, none of the spaces at an end")
    if asked.type not in keypairs.TYPES:
        raise InvalidField("keypair.type", asked.type, " or ".join(keypairs.TYPES))


def _made(tx: Transaction, call: Call, asked: KeypairCreate) -> Any:
    made = keypairs.create(
        tx, call.caller, asked.name, kind=asked.type, public_key=asked.public_key, user_id=asked.user_id
    )
    answer = MADE.render(made.keypair, call)
    if made.private_key is not None:
        answer["keypair"]["private_key"] = made.private_key
    return answer


def listed(tx: Transaction, call: Call) -> Any:
    """Below 2.35 all at once."""
    return _page(tx, call, PageRequest())


def listed_in_pages(tx: Transaction, call: Call) -> Any:
    return _page(tx, call, keypairs.LISTING.parse(call.params))


def _page(tx: Transaction, call: Call, request: PageRequest) -> Any:
    found = keypairs.page(tx, call.caller, request, user_id=_user(call))
    answer: dict[str, Any] = {"keypairs": [LISTED.render(one, call) for one in found.items]}
    if found.next_marker is not None:
        answer["keypairs_links"] = [{"rel": "next", "href": next_link(call, found.next_marker)}]
    return answer


def show(tx: Transaction, call: Call) -> Any:
    found: KeyPair = keypairs.get(tx, call.caller, call.path["keypair_name"], user_id=_user(call))
    return SHOWN.render(found, call)


def delete(tx: Transaction, call: Call) -> None:
    keypairs.delete(tx, call.caller, call.path["keypair_name"], user_id=_user(call))


def _user(call: Call) -> str | None:
    return call.params.get("user_id") if call.version >= (2, 10) else None


def _create(
    handler: Callable[[Transaction, Call], Any], name: str, status: int, since: str, until: str | None
) -> Route:
    return Route(
        "POST",
        "/os-keypairs",
        handler,
        status=status,
        since=since,
        until=until,
        body=KeypairCreateBody,
        write=True,
        secrets=("private_key",),
        action="compute:keypairs:create",
        name=name,
    )


def _delete(name: str, status: int, since: str, until: str | None) -> Route:
    return Route(
        "DELETE",
        "/os-keypairs/{keypair_name}",
        delete,
        status=status,
        since=since,
        until=until,
        write=True,
        action="compute:keypairs:delete",
        name=name,
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-keypairs", listed, until="2.34", action="compute:keypairs:index", name="keypairs.list"),
    Route(
        "GET",
        "/os-keypairs",
        listed_in_pages,
        since="2.35",
        action="compute:keypairs:index",
        name="keypairs.list_in_pages",
    ),
    Route("GET", "/os-keypairs/{keypair_name}", show, action="compute:keypairs:show", name="keypairs.show"),
    _create(create, "keypairs.create", 200, "2.1", "2.1"),
    _create(create, "keypairs.create_typed", 201, "2.2", "2.91"),
    _create(import_only, "keypairs.import", 201, "2.92", None),
    _delete("keypairs.delete", 202, "2.1", "2.1"),
    _delete("keypairs.delete_typed", 204, "2.2", None),
)
