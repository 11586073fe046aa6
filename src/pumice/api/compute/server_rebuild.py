"""Rebuild: POST /servers/{id}/action with the key `rebuild` (fields by microversion up to 2.93)."""

import secrets
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pumice.api.compute import server_views
from pumice.api.compute.server_actions import action_route
from pumice.api.compute.server_create import check_changes, check_user_data
from pumice.api.edge.route import Answer, Call, Route
from pumice.api.edge.versions import Since
from pumice.compute import rebuilding
from pumice.db.engine import Transaction
from pumice.errors import InvalidField

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=255)]


class Rebuild(Struct, forbid_unknown_fields=True):
    image: str = field(name="imageRef")
    name: Name | UnsetType = UNSET
    admin_password: Text | None = field(name="adminPass", default=None)
    metadata: dict[Name, Text] | UnsetType = UNSET
    preserve_ephemeral: bool | str | None = None
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ip_v4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ip_v6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    personality: Annotated[list[dict[str, str]], Since("2.1", "2.56")] = []
    description: Annotated[Text | UnsetType | None, Since("2.19")] = UNSET
    key_name: Annotated[Name | UnsetType | None, Since("2.54")] = UNSET
    user_data: Annotated[str | UnsetType | None, Since("2.57")] = UNSET
    trusted_image_certificates: Annotated[list[str] | None, Since("2.63")] = None
    hostname: Annotated[str | UnsetType, Since("2.90")] = UNSET


class RebuildBody(Struct, forbid_unknown_fields=True):
    rebuild: Rebuild


_COLUMNS = (
    "name",
    "metadata",
    "disk_config",
    "access_ip_v4",
    "access_ip_v6",
    "description",
    "key_name",
    "user_data",
    "hostname",
)


def rebuild(tx: Transaction, call: Call) -> Any:
    asked: Rebuild = call.body.rebuild
    for name, refused, why in (
        ("personality", bool(asked.personality), "injected files are not offered; use user_data"),
        (
            "preserve_ephemeral",
            str(asked.preserve_ephemeral).lower() in ("true", "1"),
            "disks that are not the root's are made anew",
        ),
        ("trusted_image_certificates", bool(asked.trusted_image_certificates), "images are not signed here"),
    ):
        if refused:
            raise InvalidField(f"rebuild.{name}", "...", why)
    changes = {name: getattr(asked, name) for name in _COLUMNS if getattr(asked, name) is not UNSET}
    check_changes(changes, call.version)
    if changes.get("user_data"):
        check_user_data("rebuild.user_data", changes["user_data"])
    elif "user_data" in changes:
        changes["user_data"] = None
    password = asked.admin_password or secrets.token_urlsafe(9)
    found = rebuilding.rebuild(
        tx,
        call.caller,
        call.path["server_id"],
        asked.image.rsplit("/", 1)[-1],
        {**changes, "admin_password": password},
        reimage=call.version >= (2, 93),
    )
    view = server_views.SHOWN if call.version >= (2, 75) else server_views.CHANGED
    answer = {**server_views.detail(found, call, view=view), "adminPass": password}
    if call.version >= (2, 54):
        answer["key_name"] = found.server.key_name
    if call.version >= (2, 57):
        answer["user_data"] = found.server.user_data
        answer.pop("OS-EXT-SRV-ATTR:user_data", None)
    return Answer(202, {"server": answer}, {"Location": call.links.url(f"/servers/{found.server.id}")})


ROUTES: tuple[Route, ...] = (action_route("rebuild", rebuild, RebuildBody),)
