"""The image face alone, in a process of its own: `python -m tests.images.server DATABASE_URL DIRECTORY PORT [LIMIT]`.

For tests of transfers, which kill, measure and fill it. Who calls is told by headers (X-Project, X-Roles) in place of
tokens; everything else of a request is what the whole edge would hand to the same routes.
"""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path_

from pumice.api.edge.envelopes import image as envelope
from pumice.api.edge.links import Links
from pumice.api.edge.route import Call, Route
from pumice.api.image import ROUTES
from pumice.caller import Caller, new_request_id
from pumice.db.engine import Database
from pumice.errors import PumiceError
from pumice.images.store import ImageStore


@dataclass(frozen=True)
class Parts:
    """What the image face uses of the services."""

    database: Database
    images: ImageStore


def call_of(request: Request, route: Route, parts: Any) -> Call:
    return Call(
        caller=Caller(
            request_id=new_request_id(),
            user_id="00000000-0000-0000-0000-000000000001",
            project_id=request.headers["x-project"],
            roles=frozenset(request.headers.get("x-roles", "member").split(",")),
        ),
        route=route,
        path=dict(request.path_params),
        body=None,
        query=None,
        params=dict(request.query_params),
        version=(2, 17),
        links=Links(str(request.base_url).rstrip("/"), "", "/v2", "", request.url.path),
        headers=dict(request.headers),
        request_id="",
        services=parts,
        client="127.0.0.1",
    )


def endpoint(route: Route, parts: Parts) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        call = call_of(request, route, parts)
        try:
            if route.stream is not None:
                return await route.stream(call, request)
            assert route.handler is not None
            hop = parts.database.call_write if route.write else parts.database.call_read
            body = await hop(route.handler, call)
        except PumiceError as error:
            return Response(msgspec.json.encode(envelope(error)), error.code, media_type="application/json")
        content = b"" if body is None else msgspec.json.encode(body)
        return Response(content, route.status, media_type="application/json")

    return answer


def main(url: str, directory: str, port: str, limit: str | None = None) -> None:
    parts = Parts(Database(url), ImageStore(Path(directory), None if limit is None else int(limit)))
    routes = [Path_("/v2" + route.path, endpoint(route, parts), methods=[route.method]) for route in ROUTES]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(port), log_level="info")


if __name__ == "__main__":
    main(*sys.argv[1:])
