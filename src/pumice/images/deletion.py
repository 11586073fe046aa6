"""Deleted images: brought back by an administrator, or their data removed in the end.

    images.delete          the image is gone for everybody; its row says what it was, its data stays
    deleted(tx)            those that can be restored
    restore(tx, ...)       it is what it was
    purge(database, ...)   periodically: the data of those that were deleted long ago goes

The data of an image stays while a server or volume that was made of it lives. An image without data is not restored.
"""

from sqlalchemy import ColumnElement, exists, func, or_, select, update

from pumice.caller import Caller
from pumice.db.engine import Database, Transaction
from pumice.db.schema import images, servers, volumes
from pumice.errors import Conflict, NotFound
from pumice.images.images import IMAGE, announce, record
from pumice.images.model import READABLE, Image
from pumice.images.store import ImageStore


def deleted(tx: Transaction) -> list[Image]:
    """Images that can be restored, the last deleted first."""
    statement = select(*IMAGE).where(images.c.deleted_status.is_not(None)).order_by(images.c.deleted_at.desc())
    return [record(row) for row in tx.execute(statement)]


def restore(tx: Transaction, caller: Caller, image_id: str, store: ImageStore) -> Image:
    """The image is what it was before it was deleted.

    Raises NotFound (no deleted image of this id), Conflict (its data is gone)."""
    statement = select(images.c.deleted_status, images.c.deleted_at).where(images.c.id == image_id)
    row = tx.execute(statement).first()
    if row is None or row.deleted_at is None:
        raise NotFound(f"There is no deleted image {image_id}; `pumice image list --deleted` shows them.")
    if row.deleted_status is None or (row.deleted_status in READABLE and not store.path(image_id).exists()):
        raise Conflict(f"The data of image {image_id} was removed after its deletion; it cannot be restored.")
    values = {"status": images.c.deleted_status, "deleted_status": None, "deleted_at": None, "updated_at": tx.now}
    restored = tx.execute(
        update(images)
        .where(images.c.id == image_id, images.c.deleted_status.is_not(None))
        .values(**values)
        .returning(*IMAGE)
    ).first()
    if restored is None:
        raise Conflict(f"Image {image_id} was restored or purged at the same moment.")
    image = record(restored)
    announce(tx, caller, "image.update", image)
    return image


def purge(database: Database, store: ImageStore, age: int) -> list[str]:
    """Remove the data of images deleted longer ago than `age` microseconds and used by nobody; their ids.

    Raises DatabaseUnavailable, OSError. Killed between the two, the sweep removes the data (`uploads.sweep`)."""
    with database.read() as tx:
        before = tx.now - age
        over = select(images.c.id).where(images.c.deleted_status.is_not(None), images.c.deleted_at <= before, ~_used())
        found = list(tx.execute(over).scalars())
    purged = []
    for image_id in found:
        with database.write() as tx:
            statement = update(images).where(
                images.c.id == image_id, images.c.deleted_status.is_not(None), images.c.deleted_at <= before, ~_used()
            )
            if tx.execute(statement.values(deleted_status=None)).rowcount == 1:
                purged.append(image_id)
        if image_id in purged:
            store.remove(image_id)
    return purged


def uses(tx: Transaction, image_id: str) -> tuple[int, int]:
    """(live servers, live volumes) that were made of the image."""
    counts = (
        select(func.count()).select_from(servers).where(servers.c.deleted_at.is_(None), _of_server(image_id)),
        select(func.count()).select_from(volumes).where(volumes.c.deleted_at.is_(None), volumes.c.image_id == image_id),
    )
    on_servers, on_volumes = (int(tx.execute(statement).scalar_one()) for statement in counts)
    return on_servers, on_volumes


def _used() -> ColumnElement[bool]:
    """A server or a volume that lives was made of it."""
    return or_(
        exists().where(servers.c.deleted_at.is_(None), _of_server(images.c.id)),
        exists().where(volumes.c.deleted_at.is_(None), volumes.c.image_id == images.c.id),
    )


def _of_server(image_id: "str | ColumnElement[str]") -> ColumnElement[bool]:
    return or_(servers.c.image_id == image_id, servers.c.kernel_id == image_id, servers.c.ramdisk_id == image_id)
