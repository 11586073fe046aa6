"""What the identity face's answers share: lists with links, JSON of streams, fields of bodies."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from pumice.api.edge.route import Call
from pumice.clock import isoformat
from pumice.db.engine import Transaction, races_told

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=65_535)]
Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
Email = Annotated[str, Meta(max_length=255)]
Password = Annotated[str, Meta(min_length=1, max_length=4096)]


def listed(name: str, items: Iterable[Any], show: Callable[[Any, Call], dict[str, Any]], call: Call) -> dict[str, Any]:
    """`{"users": [...], "links": {...}}`; identity lists are never cut into pages."""
    links = {"self": call.links.here, "previous": None, "next": None}
    return {name: [show(item, call) for item in items], "links": links}


def with_self(values: dict[str, Any], path: str, call: Call) -> dict[str, Any]:
    return {**values, "links": {"self": call.links.url(f"{path}/{values['id']}")}}


async def written(call: Call, function: Callable[..., T], *arguments: Any) -> T:
    """`function(tx, *arguments)` in a stream's write transaction. Raises Conflict when another request was faster."""
    return await call.services.database.call_write(_told, function, *arguments)


def _told(tx: Transaction, function: Callable[..., T], *arguments: Any) -> T:
    with races_told():
        return function(tx, *arguments)


def json_response(status: int, data: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(data), status, headers, "application/json")


def time(microseconds: int) -> str:
    """`2026-11-21T10:00:00.000000Z`"""
    return f"{isoformat(microseconds)}Z"


def given(value: Any, default: Any) -> Any:
    """The value, or the default where the body left it out."""
    return default if value is msgspec.UNSET else value
