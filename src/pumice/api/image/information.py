"""/v2/info and the interoperable import: what this cloud offers of them, and a clear word for what it does not.

Data comes by PUT .../file only. The import methods stage data elsewhere or fetch it from a URL; a client that asks for
one is told so before it sends anything.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.route import Call, Route
from pumice.api.image.images import read_json
from pumice.db.engine import Transaction
from pumice.errors import BadRequest
from pumice.images import images

STORE = "file"
"""The only store."""


def import_methods(tx: Transaction, call: Call) -> Any:
    return {"import-methods": {"description": "Import methods available.", "type": "array", "value": []}}


def stores(tx: Transaction, call: Call) -> Any:
    return {"stores": [{"id": STORE, "description": "Files of the cloud's image store.", "default": "true"}]}


def check_store(call: Call) -> None:
    """Refuse another store than the only one. Raises BadRequest."""
    asked = call.headers.get("x-image-meta-store", STORE)
    if asked != STORE:
        raise BadRequest(f"There is no store {asked[:64]!r}; the only one is {STORE!r}.")


async def import_(call: Call, request: Request) -> Response:
    await call.services.database.call_read(images.get_own, call.caller, call.path["image_id"])
    body = await read_json(request)
    method = body.get("method") if isinstance(body, dict) else None
    name = method.get("name") if isinstance(method, dict) else None
    if not isinstance(name, str):
        raise BadRequest('The body must name the import method, like {"method": {"name": "..."}}.')
    raise _refused(f"The import method {name[:64]!r}", call)


async def stage(call: Call, request: Request) -> Response:
    await call.services.database.call_read(images.get_own, call.caller, call.path["image_id"])
    raise _refused("Staging of data", call)


def _refused(what: str, call: Call) -> BadRequest:
    path = f"/v2/images/{call.path['image_id']}/file"
    return BadRequest(f"{what} is not offered by this cloud; send the data with PUT {path}.")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/info/import", import_methods, name="info.import"),
    Route("GET", "/info/stores", stores, name="info.stores"),
    Route("POST", "/images/{image_id}/import", stream=import_, action="image:import", name="images.import"),
    Route("PUT", "/images/{image_id}/stage", stream=stage, action="image:upload", name="images.stage"),
)
