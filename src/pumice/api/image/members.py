"""/v2/images/{id}/members: with whom an image is shared (Image API v2, "Sharing")."""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.clock import isoformat_z
from pumice.db.engine import Transaction
from pumice.images import members
from pumice.images.members import Member


class Added(Struct):
    member: str


class Answered(Struct):
    status: str


def view(member: Member) -> dict[str, Any]:
    return {
        "image_id": member.image_id,
        "member_id": member.project_id,
        "status": member.status,
        "created_at": isoformat_z(member.created_at),
        "updated_at": isoformat_z(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def add(tx: Transaction, call: Call) -> Any:
    return view(members.add(tx, call.caller, call.path["image_id"], call.body.member))


def list_(tx: Transaction, call: Call) -> Any:
    found = members.listing(tx, call.caller, call.path["image_id"])
    return {"members": [view(member) for member in found], "schema": "/v2/schemas/members"}


def show(tx: Transaction, call: Call) -> Any:
    return view(members.get(tx, call.caller, call.path["image_id"], call.path["member_id"]))


def answer(tx: Transaction, call: Call) -> Any:
    status = call.body.status
    return view(members.answer(tx, call.caller, call.path["image_id"], call.path["member_id"], status))


def remove(tx: Transaction, call: Call) -> None:
    members.remove(tx, call.caller, call.path["image_id"], call.path["member_id"])


_ALL = "/images/{image_id}/members"
_ONE = f"{_ALL}/{{member_id}}"

ROUTES: tuple[Route, ...] = (
    Route("POST", _ALL, add, body=Added, write=True, action="image:add_member", name="members.add"),
    Route("GET", _ALL, list_, action="image:get_members", name="members.list"),
    Route("GET", _ONE, show, action="image:get_member", name="members.show"),
    Route("PUT", _ONE, answer, body=Answered, write=True, action="image:modify_member", name="members.answer"),
    Route("DELETE", _ONE, remove, status=204, write=True, action="image:delete_member", name="members.remove"),
)
