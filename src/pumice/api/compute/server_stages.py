"""Resize with confirm and revert, shelve with offload and unshelve, createImage: POST /servers/{id}/action."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pumice.api.compute.server_actions import Nothing, action_route
from pumice.api.edge.route import Answer, Call, Route
from pumice.api.edge.versions import Since
from pumice.compute import resizing, server_images, shelving
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, Forbidden, InvalidField

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Resize(Struct, forbid_unknown_fields=True):
    flavor: str | int = field(name="flavorRef")
    disk_config: str | None = field(name="OS-DCF:diskConfig", default=None)


class ResizeBody(Struct, forbid_unknown_fields=True):
    resize: Resize


class ConfirmBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="confirmResize")


class RevertBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="revertResize")


class ShelveBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="shelve")


class OffloadBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="shelveOffload")


class Unshelve(Struct, forbid_unknown_fields=True):
    availability_zone: Annotated[Name | UnsetType | None, Since("2.77")] = UNSET
    host: Annotated[Name | UnsetType, Since("2.91")] = UNSET


class UnshelveBody(Struct, forbid_unknown_fields=True):
    unshelve: Unshelve | None


class CreateImage(Struct, forbid_unknown_fields=True):
    name: Name
    metadata: dict[Name, Annotated[str, Meta(max_length=255)]] = {}


class CreateImageBody(Struct, forbid_unknown_fields=True):
    create_image: CreateImage = field(name="createImage")


def resize(tx: Transaction, call: Call) -> None:
    asked: Resize = call.body.resize
    if asked.disk_config not in (None, "AUTO", "MANUAL"):
        raise InvalidField("resize.OS-DCF:diskConfig", asked.disk_config, "AUTO or MANUAL")
    flavor_id = str(asked.flavor).rsplit("/", 1)[-1]
    resizing.resize(tx, call.caller, call.path["server_id"], flavor_id, disk_config=asked.disk_config)


def confirm(tx: Transaction, call: Call) -> None:
    resizing.confirm(tx, call.caller, call.path["server_id"])


def revert(tx: Transaction, call: Call) -> None:
    resizing.revert(tx, call.caller, call.path["server_id"])


def shelve(tx: Transaction, call: Call) -> None:
    shelving.shelve(tx, call.caller, call.path["server_id"], call.services.settings.shelved_offload_time)


def offload(tx: Transaction, call: Call) -> None:
    shelving.offload(tx, call.caller, call.path["server_id"])


def unshelve(tx: Transaction, call: Call) -> None:
    """From 2.91 on a null zone takes a pin away: nothing is pinned here, so it asks for nothing."""
    asked: Unshelve = call.body.unshelve or Unshelve()
    zone = None if asked.availability_zone is UNSET else asked.availability_zone
    if asked.availability_zone is None and call.version < (2, 91):
        raise BadRequest("unshelve.availability_zone: null is not of type string; leave it out, or name a zone.")
    if asked.host is not UNSET and not call.caller.is_admin:
        raise Forbidden("Only an administrator may choose the host.")
    host = None if asked.host is UNSET else asked.host
    shelving.unshelve(tx, call.caller, call.path["server_id"], availability_zone=zone, host=host)


def create_image(tx: Transaction, call: Call) -> Any:
    asked: CreateImage = call.body.create_image
    image = server_images.create(tx, call.caller, call.path["server_id"], asked.name.strip(), asked.metadata)
    headers = {"Location": call.links.to(f"/image/v2/images/{image.id}")}
    return Answer(202, {"image_id": image.id} if call.version >= (2, 45) else None, headers)


ROUTES: tuple[Route, ...] = (
    action_route("resize", resize, ResizeBody),
    action_route("confirmResize", confirm, ConfirmBody, status=204),
    action_route("revertResize", revert, RevertBody),
    action_route("shelve", shelve, ShelveBody),
    action_route("shelveOffload", offload, OffloadBody),
    action_route("unshelve", unshelve, UnshelveBody),
    action_route("createImage", create_image, CreateImageBody),
)
