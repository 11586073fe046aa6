"""What a face is made of: routes, the call a handler gets, and what a handler may return.

    Route("GET", "/volumes/{volume_id}", show, action="volume:get", name="volumes.show")

    def show(tx: Transaction, call: Call) -> Any:          # synchronous, in the database's thread, one hop
        volume = volumes.get(tx, call.caller, call.path["volume_id"])
        return VOLUME.render(volume, call)

A handler returns JSON-able data (dict, list, Struct: answered with `route.status`), None (no body), an `Answer`, or an
`Await` (a durable operation is waited for without a database thread, then `then` makes the answer in a read hop).
It raises errors of `pumice.errors`; the face puts them into its envelope.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.links import Links
from pumice.api.edge.versions import FIRST, LAST, Microversion, version
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.operations.model import OperationRow

if TYPE_CHECKING:
    from pumice.api.edge.services import Services

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True)
class Call:
    """One request, parsed and authenticated."""

    caller: Caller
    route: "Route"
    path: dict[str, str]
    """The `{names}` of the route's path; never empty strings, never with NUL."""
    body: Any
    """The route's `body` Struct (with its envelope), or None."""
    query: Any
    """The route's `query` Struct, or None."""
    params: dict[str, str]
    """The query's parameters as sent (the last of several with one name)."""
    version: Microversion
    links: Links
    headers: Mapping[str, str]
    """By lower-case name."""
    request_id: str
    services: "Services"
    client: str
    """The client's address: for login slow-down and logs, never for trust."""
    token_digest: str = ""
    """SHA-256 of the token that authenticated the call; empty on public routes."""
    query_string: bytes = b""
    """The query as sent, for routes that take a parameter several times (metering's `q.field`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of its own, headers, or bytes. `body`: JSON-able, bytes (sent as they are), or None for no body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for the end of a durable operation, then answer `then(tx, call, row)` from a read transaction.

    The operation's end may be "done" or "undone" (row.state): `then` raises for the latter what the user should see.
    At the deadline (seconds from the start of waiting): 504, and the operation goes on."""

    operation_id: str
    then: Callable[[Transaction, Call, OperationRow], Any] | None = None
    """None: the route's `then`."""
    deadline: float = 60.0


Handler = Callable[[Transaction, Call], Any]
Stream = Callable[[Call, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What a route may say beyond method, path and handler."""

    stream: Stream | None = None
    """In place of the handler: `async stream(call, request) -> Response`, for uploads, downloads and logins. It uses
    `call.services.database.call_read/call_write` itself; the body is not read and not limited by the edge."""
    status: int = 200
    since: str | None = None
    """First microversion that has the route ("3.27"); outside of the window it is 404."""
    until: str | None = None
    """Last microversion that has the route."""
    body: Any = None
    """The type (a Struct with its envelope, seldom a dict) that the body is decoded to; missing or wrong: 400 naming
    the field."""
    optional_body: bool = False
    """True: an empty request body gives `call.body` None."""
    query: type[msgspec.Struct] | None = None
    """Decoded from the query's texts; an unknown parameter is 400 where the Struct forbids unknown fields."""
    key: str | None = None
    """For action URLs (`POST /volumes/{volume_id}/action`): the one key of the body that this route answers to."""
    lax: bool = False
    """True: numbers and booleans of the body may come as texts ("1", "true")."""
    max_body: int = 1 << 20
    """Bytes; a larger body is 413."""
    action: str | None = None
    """Name of the policy rule (`pumice.identity.policy`); None: any valid token will do."""
    public: bool = False
    """True: needs no token (discovery, login)."""
    write: bool = False
    """True: the handler runs in a write transaction."""
    name: str = ""
    """Stable name for metrics, OpenAPI and idempotency keys, "volumes.show"; made from the handler when empty."""
    then: Callable[[Transaction, Call, OperationRow], Any] | None = None
    """Answers after an `Await` that names none; needed for Idempotency-Key on such a route."""
    secrets: tuple[str, ...] = ()
    """Keys (at any depth of the answer) that the store of idempotent answers leaves out."""


@dataclass(frozen=True, slots=True)
class Route(_Options):
    """One method of one path. Paths are below the version (and the project id), e.g. "/volumes/{volume_id}"."""

    method: Method
    path: str
    handler: Handler | None = None

    def __post_init__(self) -> None:
        if (self.handler is None) == (self.stream is None):
            raise ValueError(f"{self.method} {self.path} needs a handler or a stream, not both")
        if not self.path.startswith("/") or (self.path != "/" and self.path.endswith("/")):
            raise ValueError(f"{self.path!r}: paths start with a slash and end without one")
        if not self.name:
            function = self.handler or self.stream
            module = getattr(function, "__module__", "").rsplit(".", 1)[-1]
            object.__setattr__(self, "name", f"{module}.{getattr(function, '__name__', 'call')}")

    def window(self) -> tuple[Microversion, Microversion]:
        return version(self.since, FIRST), version(self.until, LAST)
