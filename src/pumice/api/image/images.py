"""/v2/images: create, list, show, patch, delete, deactivate and reactivate, tags. The bytes are in `files`.

The body of a create is a flat object whose further names are properties, that of a patch a list with a media type of
its own, and `tag` may be asked for several times: these three read the request themselves.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.bodies import malformed
from pumice.api.edge.route import Call, Route
from pumice.clock import isoformat_z
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, TooLarge, UnsupportedMediaType
from pumice.images import attributes, images, queries
from pumice.images.model import Image

MAX_BODY = 1 << 20
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
PATCH_TYPE_V20 = "application/openstack-images-v2.0-json-patch"


def view(image: Image) -> dict[str, Any]:
    """The image as the API shows it: its attributes and, beside them, its properties."""
    path = f"/v2/images/{image.id}"
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "os_hidden": image.hidden,
        "protected": image.protected,
        "owner": image.project_id,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.hash_algorithm,
        "os_hash_value": image.hash_value,
        "tags": image.tags,
        "created_at": isoformat_z(image.created_at),
        "updated_at": isoformat_z(image.updated_at),
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }


def _answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def read_json(request: Request) -> Any:
    """The body as plain JSON, of MAX_BODY bytes at most. Raises BadRequest, TooLarge."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            raise TooLarge(f"The request body is too large; it may have {MAX_BODY} bytes.")
    try:
        return msgspec.json.decode(bytes(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None


async def create(call: Call, request: Request) -> Response:
    body = await read_json(request)
    if not isinstance(body, dict):
        raise BadRequest("The body must be an object with the attributes of the image.")
    wanted = attributes.new_image(body)
    image = await call.services.database.call_write(images.create, call.caller, wanted)
    return _answer(view(image), 201, {"Location": call.links.url(f"/images/{image.id}")})


async def patch(call: Call, request: Request) -> Response:
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (PATCH_TYPE, PATCH_TYPE_V20):
        raise UnsupportedMediaType(f"Send the changes as {PATCH_TYPE}.")
    body = await read_json(request)
    changes = attributes.parse_patch(body) if media_type == PATCH_TYPE else attributes.parse_patch_v20(body)
    image = await call.services.database.call_write(images.patch, call.caller, call.path["image_id"], changes)
    return _answer(view(image))


async def list_(call: Call, request: Request) -> Response:
    tags = request.query_params.getlist("tag")
    # sort_key and sort_dir may stand there several times: one for each.
    sorts = {
        name: ",".join(given) for name in ("sort_key", "sort_dir") if (given := request.query_params.getlist(name))
    }
    page = await call.services.database.call_read(queries.list_images, call.caller, {**call.params, **sorts}, tags)
    asked = parse_qsl(request.url.query, keep_blank_values=True)
    kept = [(name, text) for name, text in asked if name not in ("marker", "offset")]
    answer: dict[str, Any] = {
        "images": [view(image) for image in page.items],
        "first": _link(kept),
        "schema": "/v2/schemas/images",
    }
    if page.next_marker is not None:
        answer["next"] = _link([*kept, ("marker", page.next_marker)])
    return _answer(answer)


def _link(query: list[tuple[str, str]]) -> str:
    return "/v2/images" + ("?" + urlencode(query) if query else "")


def show(tx: Transaction, call: Call) -> Any:
    return view(images.get(tx, call.caller, call.path["image_id"]))


def delete(tx: Transaction, call: Call) -> None:
    images.delete(tx, call.caller, call.path["image_id"])


def deactivate(tx: Transaction, call: Call) -> None:
    images.deactivate(tx, call.caller, call.path["image_id"])


def reactivate(tx: Transaction, call: Call) -> None:
    images.reactivate(tx, call.caller, call.path["image_id"])


def add_tag(tx: Transaction, call: Call) -> None:
    images.add_tag(tx, call.caller, call.path["image_id"], call.path["tag"])


def remove_tag(tx: Transaction, call: Call) -> None:
    images.remove_tag(tx, call.caller, call.path["image_id"], call.path["tag"])


_ONE = "/images/{image_id}"

ROUTES: tuple[Route, ...] = (
    Route("POST", "/images", stream=create, status=201, action="image:create", name="images.create"),
    Route("GET", "/images", stream=list_, action="image:get", name="images.list"),
    Route("GET", _ONE, show, action="image:get", name="images.show"),
    Route("PATCH", _ONE, stream=patch, action="image:update", name="images.update"),
    Route("DELETE", _ONE, delete, status=204, write=True, action="image:delete", name="images.delete"),
    Route(
        "POST",
        f"{_ONE}/actions/deactivate",
        deactivate,
        status=204,
        write=True,
        action="image:deactivate",
        name="images.deactivate",
    ),
    Route(
        "POST",
        f"{_ONE}/actions/reactivate",
        reactivate,
        status=204,
        write=True,
        action="image:reactivate",
        name="images.reactivate",
    ),
    Route("PUT", f"{_ONE}/tags/{{tag}}", add_tag, status=204, write=True, action="image:update", name="tags.add"),
    Route(
        "DELETE", f"{_ONE}/tags/{{tag}}", remove_tag, status=204, write=True, action="image:update", name="tags.remove"
    ),
)
