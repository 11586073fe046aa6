"""Bytes onto the wire: status, headers every answer has, body; errors in the face's envelope."""

from typing import Any

import msgspec
from starlette.types import Send

from pumice.api.edge import envelopes
from pumice.api.edge.envelopes import MethodNotAllowed
from pumice.api.edge.face import Face
from pumice.api.edge.hops import Outcome
from pumice.api.edge.versions import Microversion, shown
from pumice.errors import PumiceError, Unauthorized

_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")
_BODILESS = frozenset({204, 304})

Header = tuple[bytes, bytes]


def of_data(status: int, data: Any) -> Outcome:
    return Outcome(status, None if data is None else _encode(data))


def of_error(face: Face | None, error: PumiceError, root: str) -> Outcome:
    envelope = face.envelope if face is not None else envelopes.fault
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = f'Keystone uri="{root}/identity"'
    return Outcome(error.code, _encode(envelope(error)), headers)


def extra_headers(face: Face | None, version: Microversion | None, request_id: str) -> list[Header]:
    """What every answer has: the request's id, and the microversion it was answered in."""
    identifier = request_id.encode()
    if face is None:
        return [(b"x-openstack-request-id", identifier)]
    headers = [(name, identifier) for name in face.request_id_headers]
    if face.no_store:
        headers.append((b"vary", b"X-Auth-Token"))
        headers.append((b"cache-control", b"no-store"))
    if face.versions is not None and version is not None:
        headers.extend(_version_headers(face, version))
    return headers


_known: dict[tuple[str, Microversion], list[Header]] = {}


def _version_headers(face: Face, version: Microversion) -> list[Header]:
    found = _known.get((face.name, version))
    if found is None:
        assert face.versions is not None
        number = shown(version)
        found = [
            (b"openstack-api-version", f"{face.versions.service} {number}".encode()),
            (b"vary", b"OpenStack-API-Version"),
        ]
        if face.versions.legacy_header:
            legacy = face.versions.legacy_header.encode()
            found += [(legacy, number.encode()), (b"vary", legacy)]
        _known[face.name, version] = found
    return found


async def send(send: Send, answer: Outcome, extra: list[Header], *, head: bool) -> None:
    """The whole answer. A HEAD is answered like its GET, without the body."""
    body = b"" if answer.body is None else answer.body
    headers = extra
    if answer.body is not None and answer.json:
        headers.append(_JSON)
    if answer.status not in _BODILESS:
        headers.append((b"content-length", str(len(body)).encode()))
    for name, value in answer.headers.items():
        headers.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
