"""With whom an image is shared, and what they say to it.

    add, remove       the owner, of an image whose visibility is shared
    answer            the member itself: pending, accepted, rejected (an accepted image is in its lists)
    listing, get      the owner sees all, a member sees itself

A member sees and uses the image whatever it has answered, while its visibility is shared. Foreign images are not found.
"""

from typing import Any, Literal

import msgspec
from sqlalchemy import delete, func, insert, select, update

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import image_members
from pumice.errors import Conflict, Forbidden, InvalidField, NotFound, TooLarge
from pumice.images import images
from pumice.images.model import Image
from pumice.metering.events import emit

MOST = 128
"""Members of one image."""

STATUSES = ("pending", "accepted", "rejected")


class Member(msgspec.Struct, frozen=True):
    """One project with which an image is shared. Times in microseconds."""

    image_id: str
    project_id: str
    status: Literal["pending", "accepted", "rejected"]
    created_at: int
    updated_at: int


MEMBER = columns(image_members, Member)


def add(tx: Transaction, caller: Caller, image_id: str, project_id: Any) -> Member:
    """Share the image. Raises NotFound, Forbidden (not the owner, not shared), Conflict (shared already), TooLarge."""
    image = _shared(tx, caller, image_id)
    _require_owner(caller, image)
    if not isinstance(project_id, str) or not 0 < len(project_id) <= 36 or "\0" in project_id:
        raise InvalidField("member", project_id, "give the id of a project")
    images.find(tx, image_id, lock="change")
    if _find(tx, image_id, project_id) is not None:
        raise Conflict(f"Project {project_id} is a member of image {image_id} already.")
    counted = select(func.count()).select_from(image_members).where(image_members.c.image_id == image_id)
    if tx.execute(counted).scalar_one() >= MOST:
        raise TooLarge(f"An image is shared with {MOST} projects at most.")
    member = Member(image_id=image_id, project_id=project_id, status="pending", created_at=tx.now, updated_at=tx.now)
    tx.execute(insert(image_members), msgspec.structs.asdict(member))
    _announce(tx, caller, "image.member.create", image, member)
    return member


def remove(tx: Transaction, caller: Caller, image_id: str, project_id: str) -> None:
    """Share it no longer. Raises NotFound (also: no such member), Forbidden."""
    image = _shared(tx, caller, image_id)
    _require_owner(caller, image)
    member = _find(tx, image_id, project_id)
    if member is None:
        raise NotFound.of("Member", project_id)
    tx.execute(delete(image_members).where(*_key(image_id, project_id)))
    _announce(tx, caller, "image.member.delete", image, member)


def answer(tx: Transaction, caller: Caller, image_id: str, project_id: str, status: Any) -> Member:
    """The member's answer. Raises NotFound, Forbidden (the owner does not answer for others), InvalidField."""
    image = _shared(tx, caller, image_id)
    if not caller.is_admin and caller.project_id == image.project_id:
        raise Forbidden(f"Only project {project_id} itself answers whether it takes image {image_id}.")
    get(tx, caller, image_id, project_id)
    if status not in STATUSES:
        raise InvalidField("status", status, f"give one of {', '.join(STATUSES)}")
    statement = update(image_members).where(*_key(image_id, project_id)).values(status=status, updated_at=tx.now)
    tx.execute(statement)
    member = get(tx, caller, image_id, project_id)
    _announce(tx, caller, "image.member.update", image, member)
    return member


def listing(tx: Transaction, caller: Caller, image_id: str) -> list[Member]:
    """All members for the owner, itself for a member. Raises NotFound, Forbidden (not shared)."""
    image = _shared(tx, caller, image_id)
    statement = select(*MEMBER).where(image_members.c.image_id == image_id).order_by(image_members.c.created_at)
    found = [Member(*row) for row in tx.execute(statement)]
    return [one for one in found if images.may_change(caller, image) or one.project_id == caller.project_id]


def get(tx: Transaction, caller: Caller, image_id: str, project_id: str) -> Member:
    """Raises NotFound, also for a member that is not the caller's to see."""
    image = _shared(tx, caller, image_id)
    found = _find(tx, image_id, project_id)
    if found is None or not (images.may_change(caller, image) or project_id == caller.project_id):
        raise NotFound.of("Member", project_id)
    return found


def _shared(tx: Transaction, caller: Caller, image_id: str) -> Image:
    image = images.get(tx, caller, image_id)
    if image.visibility != "shared":
        raise Forbidden(f"Image {image_id} is {image.visibility}; only shared images have members.")
    return image


def _require_owner(caller: Caller, image: Image) -> None:
    if not images.may_change(caller, image):
        raise Forbidden(f"Image {image.id} belongs to another project; only its owner shares it.")


def _find(tx: Transaction, image_id: str, project_id: str) -> Member | None:
    row = tx.execute(select(*MEMBER).where(*_key(image_id, project_id))).first()
    return None if row is None else Member(*row)


def _key(image_id: str, project_id: str) -> tuple[Any, Any]:
    return image_members.c.image_id == image_id, image_members.c.project_id == project_id


def _announce(tx: Transaction, caller: Caller, event_type: str, image: Image, member: Member) -> None:
    payload = {
        "image_id": image.id,
        "member_id": member.project_id,
        "status": member.status,
        "created_at": member.created_at,
        "updated_at": member.updated_at,
    }
    emit(tx, event_type, payload, caller=caller, resource_id=image.id, project_id=image.project_id)
