"""Images: who may see and change one, and every change to its row but those of an upload (see `uploads`).

Visible: public and community ones to everybody, shared ones to their members, all to their owner and administrators.
What is visible may be used; only the owner and administrators change it. Foreign invisible ones are not found (404).
"""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import image_members, images
from pumice.errors import BadRequest, Busy, Conflict, Forbidden, NotFound, WrongState
from pumice.images.attributes import Change, check_tag, patched
from pumice.images.model import Image, NewImage
from pumice.metering.events import emit
from pumice.operations.store import live_for

IMAGE = columns(images, Image)


def record(row: Sequence[Any]) -> Image:
    """The record of a row selected as `IMAGE`."""
    return Image(**dict(zip(Image.__struct_fields__, row, strict=True)))


def may_see(tx: Transaction, caller: Caller, image: Image) -> bool:
    if caller.is_admin or image.visibility in ("public", "community") or _owns(caller, image):
        return True
    return image.visibility == "shared" and _is_member(tx, caller, image.id)


def _is_member(tx: Transaction, caller: Caller, image_id: str) -> bool:
    statement = select(image_members.c.status).where(
        image_members.c.image_id == image_id, image_members.c.project_id == caller.project_id
    )
    return caller.project_id is not None and tx.execute(statement).first() is not None


def may_change(caller: Caller, image: Image) -> bool:
    return caller.is_admin or _owns(caller, image)


def _owns(caller: Caller, image: Image) -> bool:
    return caller.project_id is not None and caller.project_id == image.project_id


def find(tx: Transaction, image_id: str, *, lock: Literal["delete", "change"] | None = None) -> Image | None:
    """The image that is not deleted, whoever asks. lock: what nobody does to it before this transaction ends."""
    statement = select(*IMAGE).where(images.c.id == image_id, images.c.deleted_at.is_(None))
    if lock is not None:
        statement = statement.with_for_update(read=lock == "delete")
    row = tx.execute(statement).first()
    return None if row is None else record(row)


def get(tx: Transaction, caller: Caller, image_id: str, *, lock: Literal["delete", "change"] | None = None) -> Image:
    """lock: as for `find`. Raises NotFound, also for an image that the caller may not see."""
    image = find(tx, image_id, lock=lock)
    if image is None or not may_see(tx, caller, image):
        raise NotFound.of("Image", image_id)
    return image


def get_own(tx: Transaction, caller: Caller, image_id: str, *, lock: Literal["change"] | None = None) -> Image:
    """Raises NotFound; Forbidden for one that the caller sees and does not own."""
    image = get(tx, caller, image_id, lock=lock)
    if not may_change(caller, image):
        raise Forbidden(f"Image {image_id} belongs to another project; only its owner may change it.")
    return image


def get_to_change(tx: Transaction, caller: Caller, image_id: str) -> Image:
    """The image as it stays until this transaction changes it. Raises as `get_own` does."""
    return get_own(tx, caller, image_id, lock="change")


def readable(tx: Transaction, caller: Caller, image_id: str) -> Image:
    """The image whose bytes the caller wants. Raises NotFound, Forbidden (deactivated; administrators may read it).

    A queued or saving one is returned as it is: it has no data yet."""
    image = get(tx, caller, image_id)
    if image.status == "deactivated" and not caller.is_admin:
        raise Forbidden(f"Image {image_id} is deactivated; its data can not be read until it is reactivated.")
    return image


def for_boot(tx: Transaction, caller: Caller, image_id: str) -> Image:
    """The active image to make a volume or a server of; it is there until this transaction ends, and after it for as
    long as an operation enqueued in it claims `shared("image", id)`. Raises NotFound, BadRequest (not active)."""
    image = find(tx, image_id, lock="delete")
    if image is None or not may_see(tx, caller, image):
        raise NotFound.of("Image", image_id)
    if image.status == "deactivated":
        raise BadRequest(f"Image {image_id} is deactivated; reactivate it, or use another one.")
    if image.status != "active":
        raise BadRequest(f"Image {image_id} is {image.status}; it must be active, with its data uploaded.")
    return image


def create(tx: Transaction, caller: Caller, wanted: NewImage) -> Image:
    """A queued image. Raises Forbidden (public or another owner, as no administrator), Conflict (its id is taken)."""
    owner = wanted.project_id or caller.project_id
    if owner is None:
        raise BadRequest("An image belongs to a project: use a token for a project, or name the owner.")
    if owner != caller.project_id and not caller.is_admin:
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    _refuse_publishing(caller, wanted.visibility)
    image = Image(
        id=wanted.id or new_id(),
        project_id=owner,
        name=wanted.name,
        status="queued",
        disk_format=wanted.disk_format,
        container_format=wanted.container_format,
        visibility=wanted.visibility,
        protected=wanted.protected,
        hidden=wanted.hidden,
        min_disk=wanted.min_disk,
        min_ram=wanted.min_ram,
        size=None,
        virtual_size=None,
        checksum=None,
        hash_algorithm=None,
        hash_value=None,
        properties=wanted.properties,
        tags=wanted.tags,
        upload_id=None,
        created_at=tx.now,
        updated_at=tx.now,
        deleted_at=None,
    )
    new = sqlite.insert(images) if tx.sqlite else postgresql.insert(images)
    values = {name: getattr(image, name) for name in Image.__struct_fields__}
    if tx.execute(new.values(**values).on_conflict_do_nothing().returning(images.c.id)).first() is None:
        raise Conflict(f"Image ID {image.id} already exists.")
    announce(tx, caller, "image.create", image)
    return image


def _refuse_publishing(caller: Caller, visibility: str) -> None:
    if visibility == "public" and not caller.is_admin:
        raise Forbidden("Only an administrator may make an image public; community, shared and private are yours.")


def patch(tx: Transaction, caller: Caller, image_id: str, changes: Sequence[Change]) -> Image:
    """All changes or none. Raises as `get_to_change` and `attributes.patched` do; Forbidden for public and owner."""
    image = get_to_change(tx, caller, image_id)
    values = patched(image, changes)
    if values.get("visibility", image.visibility) != image.visibility:
        _refuse_publishing(caller, values["visibility"])
    if "project_id" in values and values["project_id"] != image.project_id:
        if not caller.is_admin:
            raise Forbidden("Only an administrator may give an image to another project.")
        if not values["project_id"]:
            raise BadRequest("An image belongs to a project; name its id as owner.")
    return _changed(tx, caller, image, values)


def _changed(tx: Transaction, caller: Caller, image: Image, values: dict[str, Any]) -> Image:
    """Store the values where the row is still as it was read. Raises Conflict."""
    if not values:
        return image
    statement = (
        update(images)
        .where(images.c.id == image.id, images.c.status == image.status, images.c.updated_at == image.updated_at)
        .values(**values, updated_at=max(tx.now, image.updated_at + 1))
        .returning(*IMAGE)
    )
    row = tx.execute(statement).first()
    if row is None:
        raise Conflict(f"Image {image.id} was changed by somebody else at the same moment; try again.")
    changed = record(row)
    announce(tx, caller, "image.update", changed)
    return changed


def add_tag(tx: Transaction, caller: Caller, image_id: str, tag: str) -> None:
    image = get_to_change(tx, caller, image_id)
    if check_tag(tag) not in image.tags:
        _changed(tx, caller, image, patched(image, [Change("replace", "tags", [*image.tags, tag])]))


def remove_tag(tx: Transaction, caller: Caller, image_id: str, tag: str) -> None:
    """Raises NotFound also for a tag that is not there."""
    image = get_to_change(tx, caller, image_id)
    if tag not in image.tags:
        raise NotFound.of("Tag", tag)
    _changed(tx, caller, image, {"tags": [other for other in image.tags if other != tag]})


def deactivate(tx: Transaction, caller: Caller, image_id: str) -> None:
    """Nobody but administrators can use its data from now on. Raises Forbidden unless it is active or deactivated."""
    _switch(tx, caller, image_id, "active", "deactivated", "deactivate")


def reactivate(tx: Transaction, caller: Caller, image_id: str) -> None:
    _switch(tx, caller, image_id, "deactivated", "active", "reactivate")


def _switch(tx: Transaction, caller: Caller, image_id: str, source: str, target: str, action: str) -> None:
    image = get_to_change(tx, caller, image_id)
    if image.status == target:
        return
    if image.status != source:
        raise Forbidden(WrongState("Image", image_id, action, image.status, (source,)).message)
    _changed(tx, caller, image, {"status": target})


def everything(tx: Transaction) -> list[Image]:
    """Every image that is not deleted, whoever owns it, by name; for the operator's eyes."""
    statement = select(*IMAGE).where(images.c.deleted_at.is_(None)).order_by(images.c.name, images.c.id)
    return [record(row) for row in tx.execute(statement)]


def delete(tx: Transaction, caller: Caller, image_id: str) -> None:
    """Gone for everybody, until an administrator restores it; its bytes stay until `deletion.purge`. An upload under
    way ends with a conflict.

    Raises NotFound, Forbidden (foreign, protected), Busy (a server or volume is being made of it)."""
    image = get_to_change(tx, caller, image_id)
    if image.protected:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted; unset protected first.")
    statement = (
        update(images)
        .where(images.c.id == image_id, images.c.deleted_at.is_(None), images.c.protected.is_(False))
        .values(
            status="deleted",
            deleted_status=case((images.c.status == "saving", "queued"), else_=images.c.status),
            upload_id=None,
            deleted_at=tx.now,
            updated_at=max(tx.now, image.updated_at + 1),
        )
        .returning(*IMAGE)
    )
    row = tx.execute(statement).first()
    if row is None:
        raise NotFound.of("Image", image_id)
    # Only now: whoever enqueued an operation over the image held its row until the claim was committed.
    if live := live_for(tx, "image", image_id):
        raise Busy("Image", image_id, live[0].kind)
    announce(tx, caller, "image.delete", record(row))


def announce(tx: Transaction, caller: Caller, event_type: str, image: Image) -> None:
    """Store the event with what Glance's notification of that type carries (no properties: they are the user's)."""
    payload = {
        "id": image.id,
        "owner": image.project_id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "protected": image.protected,
        "created_at": image.created_at,
        "updated_at": image.updated_at,
        "deleted_at": image.deleted_at,
    }
    emit(tx, event_type, payload, caller=caller, resource_id=image.id, project_id=image.project_id)
