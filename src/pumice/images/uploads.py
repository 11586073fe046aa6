"""Uploads: how the row of an image follows the bytes, and what ends an upload that nobody works at any more.

    file = store.begin(image_id, upload_id)          locked from here on
    begin(tx, caller, image_id, upload_id)           queued -> saving, by this upload
    file.write(...), stored = file.publish()         outside any transaction
    finish(tx, caller, image_id, upload_id, stored)  saving -> active; only for the upload that began
    abandon(tx, image_id, upload_id)                 saving -> queued, where anything went wrong

Two uploads of one image: the first `begin` wins, the other is refused. A `kill -9` in the middle drops the lock of the
file; `recover` (when somebody wants to upload again) and `sweep` (periodically) then put the row back to queued and
remove what was written. An image that an operation claims belongs to that operation and is left alone.
"""

import msgspec
from sqlalchemy import select, update

from pumice.caller import Caller
from pumice.db.engine import Database, Transaction
from pumice.db.schema import images
from pumice.errors import BadRequest, Conflict, WrongState
from pumice.images import conversions
from pumice.images.images import IMAGE, announce, find, get_to_change, record
from pumice.images.model import READABLE, Image
from pumice.images.store import ImageStore, Stored
from pumice.operations.store import live_for


class Swept(msgspec.Struct, frozen=True):
    """What a sweep found and mended: ids of images."""

    queued: list[str]
    """Were saving without anybody at it."""
    removed: list[str]
    """Had bytes that belong to no readable image."""


def begin(tx: Transaction, caller: Caller, image_id: str, upload_id: str) -> Image:
    """The image is saving, by this upload. Raises NotFound, Forbidden, BadRequest (formats), WrongState (409)."""
    image = get_to_change(tx, caller, image_id)
    if image.status == "saving" and image.upload_id == upload_id:
        return image
    missing = [name for name in ("disk_format", "container_format") if getattr(image, name) is None]
    if missing:
        raise BadRequest(f"Set {' and '.join(missing)} of image {image_id} before its data is uploaded.")
    statement = (
        update(images)
        .where(images.c.id == image_id, images.c.status == "queued")
        .values(status="saving", upload_id=upload_id, updated_at=max(tx.now, image.updated_at + 1))
        .returning(*IMAGE)
    )
    row = tx.execute(statement).first()
    if row is None:
        now = find(tx, image_id)
        raise WrongState("Image", image_id, "upload", now.status if now else "deleted", ("queued",))
    return record(row)


def finish(tx: Transaction, caller: Caller, image_id: str, upload_id: str, stored: Stored) -> Image:
    """The image is active. Raises Conflict: it was deleted, or is no longer this upload's."""
    statement = (
        update(images)
        .where(images.c.id == image_id, images.c.status == "saving", images.c.upload_id == upload_id)
        .values(
            status="active",
            upload_id=None,
            size=stored.size,
            virtual_size=stored.virtual_size,
            checksum=stored.md5,
            hash_algorithm="sha512",
            hash_value=stored.sha512,
            updated_at=tx.now,
        )
        .returning(*IMAGE)
    )
    row = tx.execute(statement).first()
    if row is None:
        raise Conflict(f"Image {image_id} was deleted during the upload; its data was thrown away.")
    image = record(row)
    announce(tx, caller, "image.upload", image)
    return image


def abandon(tx: Transaction, image_id: str, upload_id: str) -> bool:
    """Back to queued; False where the image is no longer this upload's."""
    statement = (
        update(images)
        .where(images.c.id == image_id, images.c.status == "saving", images.c.upload_id == upload_id)
        .values(status="queued", upload_id=None, updated_at=tx.now)
    )
    return tx.execute(statement).rowcount == 1


def recover(tx: Transaction, image_id: str, store: ImageStore) -> bool:
    """Put an image back to queued whose upload is dead; False where there is nothing to recover."""
    row = tx.execute(select(*IMAGE).where(images.c.id == image_id, images.c.status == "saving")).first()
    image = None if row is None else record(row)
    if image is None or image.upload_id is None or store.alive(image_id, image.upload_id):
        return False
    return not live_for(tx, "image", image_id) and abandon(tx, image_id, image.upload_id)


def sweep(database: Database, store: ImageStore) -> Swept:
    """Mend what crashes left: images that are saving for nobody, files of no readable image. Periodic; idempotent.

    Raises DatabaseUnavailable, OSError. Each image is a transaction of its own, and no file is removed inside one."""
    with database.read() as tx:
        saving = list(tx.execute(select(images.c.id).where(images.c.status == "saving")).scalars())
    queued = []
    for image_id in saving:
        with database.write() as tx:
            if recover(tx, image_id, store):
                queued.append(image_id)
    removed = [image_id for image_id, upload_id in store.uploads() if store.remove_upload(image_id, upload_id)]
    removed += [image_id for image_id in store.published() if _remove_unused(database, store, image_id)]
    with database.read() as tx:
        readable = set(tx.execute(select(images.c.id).where(images.c.status.in_(READABLE))).scalars())
    conversions.sweep(store, lambda image_id: image_id in readable)
    return Swept(queued, removed)


def _remove_unused(database: Database, store: ImageStore, image_id: str) -> bool:
    """Remove published bytes whose image has none by its row. Nobody can publish between the look and the removal."""
    path = store.path(image_id)
    with store.exclusive():
        with database.read() as tx:
            statement = select(images.c.status, images.c.deleted_status).where(images.c.id == image_id)
            known = tx.execute(statement).first() or (None, None)
        if any(status in READABLE or status == "saving" for status in known) or not path.exists():
            return False
        path.unlink()
        return True
