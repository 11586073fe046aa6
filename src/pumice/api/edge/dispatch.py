"""The edge as an ASGI application: find the route, run its one database hop, answer, count. One `Edge` a process.

    /<face>/...            the faces                        /, /healthz, /metrics   of no face (`own_paths`)
    /<face>/openapi.json   a face's routes, as OpenAPI

What the bytes of a request say is read by `reading`, the path's route found by `face.locate` and `router`.

A request without a token, or with one that no hop has seen yet, never takes the write lock: the token is checked in a
read hop first. The rest of a request that writes is one write transaction, in which the token is checked again.
"""

import hashlib
import logging
import time
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from pumice.api.edge import openapi, own_paths, reading, replies
from pumice.api.edge.envelopes import InternalError, MethodNotAllowed
from pumice.api.edge.face import Face, Place, locate
from pumice.api.edge.headers import Headers
from pumice.api.edge.hops import Outcome, Pending, admit, complete, perform, store
from pumice.api.edge.links import Links
from pumice.api.edge.metrics import Metrics
from pumice.api.edge.proxies import Proxies
from pumice.api.edge.route import Await, Call, Route
from pumice.api.edge.router import Compiled, allowed_methods, by_key, in_window, parameters
from pumice.api.edge.services import Services
from pumice.api.edge.versions import Microversion
from pumice.caller import Caller, new_request_id
from pumice.db.shared_reads import SharedReads
from pumice.errors import NotFound, PumiceError, Unauthorized
from pumice.identity.access_rules import Asked
from pumice.identity.policy import uncovered
from pumice.identity.tokens import digest

log = logging.getLogger("pumice.api")

_NOBODY = Caller(request_id="", user_id="", project_id=None)


def _nothing(tx: Any, call: Call) -> None:
    """The handler of paths that have none: the token is checked all the same."""


_UNKNOWN = Compiled(Route(method="GET", path="/", handler=_nothing, name="unknown"), ())


class Edge:
    """The ASGI application."""

    def __init__(self, services: Services, faces: Iterable[Face]) -> None:
        self.services = services
        self.faces = {face.name: face for face in faces}
        self.metrics = Metrics()
        self.reads = SharedReads(services.database)
        self._documents: dict[str, bytes] = {}
        self._proxies = Proxies(services.settings)
        actions = {route.action for face in self.faces.values() for route in face.routes if route.action}
        if missing := uncovered(services.identity.policy, actions):
            raise ValueError(f"no policy rule (pumice.identity.policy) covers {', '.join(missing)}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    def document(self, face: Face, root: str) -> bytes:
        """The OpenAPI document, made once."""
        if face.name not in self._documents:
            self._documents[face.name] = openapi.document(face)
        return self._documents[face.name].replace(b"$ROOT", root.encode())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class _Exchange:
    """One request and its answer."""

    __slots__ = (
        "caller",
        "client",
        "edge",
        "face",
        "headers",
        "method",
        "path",
        "prefix",
        "receive",
        "request_id",
        "root",
        "route_name",
        "scope",
        "send",
        "started",
        "status",
        "version",
    )

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        self.edge, self.scope, self.receive, self.send = edge, scope, receive, send
        self.started = time.perf_counter()
        self.request_id = new_request_id()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = Headers(scope["headers"])
        seen = edge._proxies.seen(scope, self.headers)
        self.client, self.root, self.prefix = seen.client, seen.root, seen.prefix
        self.face: Face | None = None
        self.version: Microversion | None = None
        self.route_name = "none"
        self.status = 0
        self.caller = _NOBODY

    async def run(self) -> None:
        """Answer, whatever happens; then count and log."""
        try:
            try:
                await self._answer()
            except PumiceError as error:
                await self._refuse(error)
            except Exception:
                log.exception("%s %s %s failed", self.request_id, self.method, _path_for_logs(self.path))
                if not self.status:
                    await self._refuse(
                        InternalError(f"An unexpected error happened; the request is {self.request_id} in the log.")
                    )
        finally:
            self._note()

    async def _answer(self) -> None:
        try:
            segments = reading.segments_of(self.scope, self.prefix)
        except NotFound:
            self.face = self.edge.faces.get(reading.first_segment(self.scope))  # told in its envelope
            raise
        self.face = self.edge.faces.get(segments[0])
        if self.face is None:
            name = own_paths.name_of(segments, self.method)
            self.route_name = name or "root"
            edge = self.edge
            await self._reply(await own_paths.answer(name, self.root, edge.faces, edge.reads, edge.metrics))
            return
        if segments[1:] == ["openapi.json"] and self.method in ("GET", "HEAD"):
            self.route_name = "openapi"
            await self._reply(Outcome(200, self.edge.document(self.face, self.root)))
            return
        place = locate(self.face, segments[1:])
        if place is not None and place.segments is None:
            await self._discovery(self.face, place)
        else:
            await self._routed(self.face, place)

    async def _discovery(self, face: Face, place: Place) -> None:
        self.route_name = "versions"
        if self.method not in ("GET", "HEAD"):
            if self.method != "OPTIONS":
                raise MethodNotAllowed(self.method, ["GET", "HEAD"])
            await self._reply(Outcome(200, None, {"Allow": "GET, HEAD"}))
            return
        links = Links(self.root, f"/{face.name}", f"/{face.version}", "")
        answer = face.discovery(links, place.versioned)
        await self._reply(replies.of_data(answer.status, answer.body))

    async def _routed(self, face: Face, place: Place | None) -> None:
        error: PumiceError | None = None
        compiled, values = _UNKNOWN, list[str]()
        try:
            self.version = face.asked(self.headers)
        except PumiceError as wrong:
            error, self.version = wrong, face.lowest
        found = face.router.find(place.segments) if place is not None and place.segments is not None else None
        if found is None:
            error = error or NotFound("The resource could not be found.")
        else:
            methods, values = found
            candidates = in_window(methods.get("GET" if self.method == "HEAD" else self.method, ()), self.version)
            if candidates:
                await self._call(face, place, candidates[0], candidates, values, error)
                return
            allowed = allowed_methods(methods, self.version)
            if allowed and self.method == "OPTIONS":
                await self._reply(Outcome(200, None, {"Allow": ", ".join(allowed)}))
                return
            if allowed:
                error = error or MethodNotAllowed(self.method, allowed)
            else:
                error = error or NotFound("The resource could not be found.")
        await self._call(face, place, compiled, [compiled], [], error)

    async def _call(
        self,
        face: Face,
        place: Place | None,
        compiled: Compiled,
        candidates: list[Compiled],
        values: list[str],
        error: PumiceError | None,
    ) -> None:
        token = self.headers.get("x-auth-token")
        if not token and not compiled.route.public:
            self.route_name = compiled.route.name
            raise Unauthorized
        data = b""
        if error is None:
            try:
                if compiled.route.stream is None or compiled.decoder is not None:
                    data = await reading.body_of(self.receive, self.headers, compiled.route)
                if compiled.route.key is not None:
                    compiled = by_key(candidates, data)
            except PumiceError as wrong:
                error = wrong
                if compiled.route.key is not None:  # which action is not known: none of their rules applies
                    compiled, values = _UNKNOWN, []
        route = compiled.route
        self.route_name = route.name
        project = place.project if place is not None else None
        links = Links(
            self.root,
            f"/{face.name}",
            f"/{face.version}",
            f"/{project}" if project else "",
            "/" + "/".join(place.segments) if place is not None and place.segments else "",
        )
        path = parameters(compiled, values) if error is None or values else {}
        call = Call(
            caller=_NOBODY,
            route=route,
            path=path,
            body=None,
            query=None,
            params={},
            version=self.version or face.lowest,
            links=links,
            headers=self.headers,
            request_id=self.request_id,
            services=self.edge.services,
            client=self.client,
            token_digest=digest(token) if token else "",
        )
        service_token = self.headers.get("x-service-token")
        pending = Pending(
            call=call,
            token_digest=call.token_digest,
            service_digest=digest(service_token) if service_token else None,
            project=project,
            asked=Asked(face.name, self.method, face.version, project, place.segments if place is not None else None),
            error=error or reading.parse(call, compiled, self.scope["query_string"], data),
        )
        if route.write and self.method == "POST":
            pending.key_text = self.headers.get("idempotency-key")
            if pending.key_text is not None:
                pending.body_digest = hashlib.sha256(data).hexdigest()
        try:
            await self._hop(call, pending)
        finally:
            self.caller = call.caller

    async def _hop(self, call: Call, pending: Pending) -> None:
        """Run the request in the database's threads and answer."""
        edge, route = self.edge, call.route
        services = edge.services
        if route.stream is not None:
            await edge.reads.run(admit, services, pending)
            await self._stream(call)
            return
        if route.public:
            if pending.error is not None:
                raise pending.error
        elif pending.error is not None or (route.write and not services.identity.tokens.warm(pending.token_digest)):
            await edge.reads.run(admit, services, pending)
        result: Outcome | Await
        if route.write:
            result = await services.database.call_write(perform, services, pending)
        else:
            result = await edge.reads.run(perform, services, pending)
        if isinstance(result, Await):
            result = await self._after(call, pending, result)
        await self._reply(result)

    async def _after(self, call: Call, pending: Pending, waited: Await) -> Outcome:
        """The answer once the operation has ended; nothing of the database is held meanwhile."""
        answered, result = await self.edge.services.waiter.wait_then(
            waited.operation_id, waited.deadline, lambda tx, row: complete(tx, call, waited, row), self.edge.reads.run
        )
        if pending.key is not None:
            await self.edge.services.database.call_write(store, pending, result)
        return answered

    async def _stream(self, call: Call) -> None:
        assert call.route.stream is not None
        response = await call.route.stream(call, Request(self.scope, self.receive))
        extra = replies.extra_headers(self.face, self.version, self.request_id)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message = {**message, "headers": [*message["headers"], *extra]}
            await self.send(message)

        await response(self.scope, self.receive, send)

    async def _reply(self, answer: Outcome) -> None:
        self.status = answer.status
        await replies.send(
            self.send,
            answer,
            replies.extra_headers(self.face, self.version, self.request_id),
            head=self.method == "HEAD",
        )

    async def _refuse(self, error: PumiceError) -> None:
        if self.status:
            return
        await self._reply(replies.of_error(self.face, error, self.root))

    def _note(self) -> None:
        seconds = time.perf_counter() - self.started
        edge, caller = self.edge, self.caller
        face = self.face.name if self.face is not None else "-"
        edge.metrics.observe(face, self.route_name, self.status, seconds)
        access_log = edge.services.access_log
        if access_log.enabled:
            access_log.write(
                {
                    "time": edge.services.database.clock.now(),
                    "request_id": self.request_id,
                    "client": self.client,
                    "method": self.method[:16],
                    "path": _path_for_logs(self.path),
                    "route": self.route_name,
                    "status": self.status,
                    "ms": round(seconds * 1000, 2),
                    "user_id": caller.user_id,
                    "project_id": caller.project_id,
                }
            )


def _path_for_logs(path: str) -> str:
    return path if len(path) <= 256 else path[:253] + "..."
