"""The bytes of a server's local root disk as an image: what createImage and shelve share.

The arguments of these operations have server_id, host, image_id and upload_id. A server without a local root disk (one
booted by a kernel alone) makes an image of no bytes, which starts by the same kernel.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import update

from pumice.compute.operations import server_files
from pumice.db.engine import Transaction
from pumice.db.schema import images
from pumice.images import uploads
from pumice.images.store import CHUNK_BYTES, ImageStore, Stored, StoreFull
from pumice.operations.model import Run, StepFailed, caller_of
from pumice.operations.world import World
from pumice.storage.sparse import copy_or_reflink


def root_of(run: Run[Any]) -> Path:
    return server_files.directory(run.world, run.arguments.server_id) / "root.raw"


def frozen(run: Run[Any]) -> Path:
    """The copy as of one moment, beside the disk."""
    return root_of(run).with_name(f".image.{run.arguments.image_id}")


def freeze(run: Run[Any]) -> None:
    """Take the copy: at once where the file system can reflink. Raises StepFailed."""
    target = frozen(run)
    if not root_of(run).exists():
        return
    try:
        with root_of(run).open("rb") as disk, target.open("wb") as copy:
            copy_or_reflink(disk.fileno(), copy.fileno(), run.progress)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise StepFailed(f"the root disk could not be copied on host {run.world.host}: {error.strerror}") from error


def thaw(run: Run[Any]) -> None:
    """The copy is not needed any more; absent is fine."""
    frozen(run).unlink(missing_ok=True)


def upload(run: Run[Any], source: Path) -> Stored:
    """Copy the file (absent: no bytes) to the image store, hashed on the way. Raises StepFailed."""
    store = _store(run.world)
    store.remove(run.arguments.image_id)
    try:
        with store.begin(run.arguments.image_id, run.arguments.upload_id) as file, contextlib.ExitStack() as held:
            if source.exists():
                disk = held.enter_context(source.open("rb"))
                size = os.fstat(disk.fileno()).st_size
                while data := disk.read(CHUNK_BYTES):
                    file.write(data)
                    run.progress(file.size, size)
            return file.publish()
    except StoreFull as error:
        raise StepFailed(error.message) from error
    except OSError as error:
        raise StepFailed(f"the image store of host {run.world.host} failed: {error.strerror}") from error


def forget_upload(run: Run[Any]) -> None:
    _store(run.world).remove(run.arguments.image_id)


def _store(world: World) -> ImageStore:
    if world.images is None:
        raise StepFailed(f"host {world.host} has no image store")
    return world.images


def make_active(tx: Transaction, run: Run[Any], stored: Stored) -> None:
    """The image can be used. Raises Conflict when it was deleted meanwhile."""
    uploads.finish(tx, caller_of(run.row), run.arguments.image_id, run.arguments.upload_id, stored)


def give_up_image(tx: Transaction, run: Run[Any]) -> None:
    """There will be no such image: nobody else can fill it."""
    uploads.abandon(tx, run.arguments.image_id, run.arguments.upload_id)
    tx.execute(
        update(images)
        .where(images.c.id == run.arguments.image_id, images.c.deleted_at.is_(None))
        .values(status="deleted", deleted_at=tx.now, updated_at=tx.now)
    )
