"""What a request says: the segments of its path, its body, its query. Called by `dispatch`, before any database.

segments_of(scope, prefix)           the path's parts
body_of(receive, headers, route)     the whole body, as bytes
parse(call, compiled, query, data)   both as the route's Structs (`bodies`)
"""

from urllib.parse import unquote

from starlette.types import Receive, Scope

from pumice.api.edge import bodies
from pumice.api.edge.headers import Headers
from pumice.api.edge.route import Call, Route
from pumice.api.edge.router import Compiled
from pumice.errors import BadRequest, NotFound, PumiceError, TooLarge, UnsupportedMediaType


def segments_of(scope: Scope, prefix: str) -> list[str]:
    """The path's parts below the prefix, decoded one by one. Raises NotFound for what no path can be."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(b"/"):
        raise NotFound("The path does not begin with a slash.")
    if b"%" not in raw and raw.isascii():
        parts = raw.decode().split("/")[1:]
    else:
        try:
            parts = [unquote(part, errors="strict") for part in raw.decode("latin-1").split("/")[1:]]
        except UnicodeDecodeError:
            raise NotFound("The path is not UTF-8.") from None
        if any("\0" in part for part in parts):
            raise NotFound("The path holds a NUL character.")
    while len(parts) > 1 and not parts[0]:
        parts = parts[1:]
    if prefix and parts[: prefix.count("/")] == prefix.split("/")[1:]:
        parts = parts[prefix.count("/") :] or [""]  # the proxy passed it on with the path
    return parts


def first_segment(scope: Scope) -> str:
    """Of a path that cannot be decoded; "" where it has none."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    before, _, rest = raw.decode("latin-1").partition("/")
    return "" if before else rest.partition("/")[0]


async def body_of(receive: Receive, headers: Headers, route: Route) -> bytes:
    """The whole body. Raises TooLarge as soon as it is, UnsupportedMediaType for what is not JSON."""
    length = headers.get("content-length")
    if length == "0" or (length is None and headers.get("transfer-encoding") is None):
        return b""
    if length is not None and length.isdigit() and int(length) > route.max_body:
        raise TooLarge(f"The request body is larger than {route.max_body} bytes.")
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The request ended before its body did.")
        part = message.get("body", b"")
        size += len(part)
        if size > route.max_body:
            raise TooLarge(f"The request body is larger than {route.max_body} bytes.")
        parts.append(part)
        if not message.get("more_body"):
            break
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if data and route.body is not None:
        kind = headers.get("content-type")
        if kind is not None and not _is_json(kind):
            raise UnsupportedMediaType(f"The content type {kind[:64]!r} is not supported here; send application/json.")
    return data


def parse(call: Call, compiled: Compiled, query: bytes, data: bytes) -> PumiceError | None:
    """Fill in body and query; what is wrong with them is told once the caller is known."""
    call.query_string = query
    try:
        if query:
            call.params = bodies.parse_query(query)
        if call.route.query is not None:
            call.query = bodies.query_struct(call.route.query, call.params)
        if compiled.decoder is not None:
            if data:
                call.body = compiled.decoder.decode(data, call.version)
            elif not call.route.optional_body:
                return BadRequest("The request needs a body: a JSON object.")
    except PumiceError as error:
        return error
    return None


def _is_json(kind: str) -> bool:
    bare = kind.partition(";")[0].strip().lower()
    return bare == "application/json" or (bare.startswith("application/") and bare.endswith(("+json", "-json-patch")))
