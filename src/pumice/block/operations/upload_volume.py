"""Make an image of a volume (os-volume_upload_image), in use or not: crash-consistent.

    pause     only where the backend cannot snapshot a volume that is being written to: the guest stands still
    freeze    in use: the backend takes a point in time                                undo: remove it
    resume    the guest goes on                                                        (also the undo of pause)
    copy      the bytes go to the image store, in the format asked for, hashed on the way    undo: remove them
    clean     the point in time is removed
    finish    the image is active

The image is "saving" while the operation lives, and "deleted" when it could not be made: nobody else can fill it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import images
from pumice.errors import TooLarge
from pumice.images import uploads
from pumice.images.conversions import ConversionFailed, write_as
from pumice.images.store import CHUNK_BYTES, ImageStore, Stored
from pumice.operations.model import ANYWHERE, Operation, Run, Step, StepFailed, caller_of, host_place
from pumice.operations.world import World


class UploadVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`point_id`: the id of the point in time (a snapshot) and of the volume made of it; None: the volume is not in
    use and is read itself. `paused`: (host, server id) of the guest that must stand still; None: not needed."""

    volume_id: str
    backend: str
    image_id: str
    upload_id: str
    point_id: str | None = None
    paused: tuple[str, str] | None = None
    disk_format: str = "raw"


def at_guest(arguments: UploadVolume, _results: Mapping[str, Any]) -> str:
    return host_place(arguments.paused[0]) if arguments.paused else ANYWHERE


def pause(run: Run[UploadVolume]) -> None:
    if run.arguments.paused:
        run.world.hypervisor.pause(run.arguments.paused[1])


def resume(run: Run[UploadVolume]) -> None:
    if run.arguments.paused:
        run.world.hypervisor.resume(run.arguments.paused[1])


def freeze(run: Run[UploadVolume]) -> None:
    wanted = run.arguments
    if wanted.point_id is not None:
        storage = run.world.backend(wanted.backend).storage
        storage.create_snapshot(wanted.volume_id, wanted.point_id, run.epoch, run.progress)


def thaw(run: Run[UploadVolume]) -> None:
    """Remove the point in time and what was made of it; absent is fine."""
    wanted = run.arguments
    if wanted.point_id is not None:
        storage = run.world.backend(wanted.backend).storage
        storage.discard(wanted.point_id, run.epoch)
        storage.delete(wanted.point_id)
        storage.delete_snapshot(wanted.volume_id, wanted.point_id)


def copy(run: Run[UploadVolume]) -> Stored:
    world: World = run.world
    wanted = run.arguments
    storage = world.backend(wanted.backend).storage
    store = _store(world)
    source = wanted.volume_id
    size = storage.locate(wanted.volume_id).size_bytes
    if wanted.point_id is not None:
        storage.clone_snapshot(wanted.point_id, wanted.point_id, size, run.epoch, run.progress)
        source = wanted.point_id
    store.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    exported, converted = _exported(store, wanted), _converted(store, wanted)
    exported.unlink(missing_ok=True)
    try:
        storage.export_file(source, str(exported), run.progress)
        if wanted.disk_format == "raw":
            return _publish(store, wanted, exported, run)
        converted.unlink(missing_ok=True)
        write_as(exported, converted, wanted.disk_format, run.progress)
        exported.unlink()
        return _publish(store, wanted, converted, run)
    except TooLarge as error:
        raise StepFailed(error.message) from error
    except ConversionFailed as error:
        raise StepFailed(f"volume {wanted.volume_id} cannot be made a {wanted.disk_format} image: {error}") from error
    finally:
        exported.unlink(missing_ok=True)
        converted.unlink(missing_ok=True)


def _publish(store: ImageStore, wanted: UploadVolume, made: Path, run: Run[UploadVolume]) -> Stored:
    store.remove(wanted.image_id)
    size = made.stat().st_size
    with store.begin(wanted.image_id, wanted.upload_id) as upload, made.open("rb") as source:
        upload.disk_format = wanted.disk_format
        while data := source.read(CHUNK_BYTES):
            upload.write(data)
            run.progress(upload.size, size)
        return upload.publish()


def forget(run: Run[UploadVolume]) -> None:
    store = _store(run.world)
    _exported(store, run.arguments).unlink(missing_ok=True)
    _converted(store, run.arguments).unlink(missing_ok=True)
    store.remove(run.arguments.image_id)


def _exported(store: ImageStore, wanted: UploadVolume) -> Path:
    return store.directory / f".{wanted.image_id}.{wanted.upload_id}.export"


def _converted(store: ImageStore, wanted: UploadVolume) -> Path:
    return store.directory / f".{wanted.image_id}.{wanted.upload_id}.{wanted.disk_format}.export"


def _store(world: World) -> ImageStore:
    if world.images is None:
        raise StepFailed(f"host {world.host} has no image store")
    return world.images


def make_active(tx: Transaction, run: Run[UploadVolume]) -> None:
    wanted = run.arguments
    stored = msgspec.convert(run.results["copy"], Stored)
    uploads.finish(tx, caller_of(run.row), wanted.image_id, wanted.upload_id, stored)


def give_up(tx: Transaction, run: Run[UploadVolume], reason: str) -> None:
    wanted = run.arguments
    uploads.abandon(tx, wanted.image_id, wanted.upload_id)
    tx.execute(
        update(images)
        .where(images.c.id == wanted.image_id, images.c.deleted_at.is_(None))
        .values(status="deleted", deleted_at=tx.now, updated_at=tx.now)
    )
    tell_user(tx, run.row, "volume", wanted.volume_id, "copy volume to image", reason)


UPLOAD_VOLUME = Operation(
    "volume.upload",
    UploadVolume,
    "volume",
    steps=(
        Step("pause", do=pause, undo=resume, at=at_guest),
        Step("freeze", do=freeze, undo=thaw, at=at_backend),
        Step("resume", do=resume, at=at_guest, attempts=1000),
        Step("copy", do=copy, undo=forget, at=at_backend, long=True),
        Step("clean", do=thaw, at=at_backend, attempts=1000),
        Step("finish", record=make_active),
    ),
    failed=give_up,
    settle=settle_volume,
)
