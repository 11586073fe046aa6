"""Give a volume the bytes of an image, in place (os-reimage): what Nova's rebuild of a server on a volume needs.

keep      the backend keeps the data as it is now                                    undo: forget it
fill      the volume has the image's bytes, all at once                              undo: the kept data again
finish    the volume is of that image; what was kept is handed to `volume.drop_kept`
"""

import msgspec
from sqlalchemy import update

from pumice.block.model import GIB
from pumice.block.notifications import notify_volume
from pumice.block.operations.keeping import drop, hand_over, keep, put_back
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import volumes
from pumice.images.operations.plain import plain_image
from pumice.operations.model import Operation, Run, Step, caller_of


class ReimageVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`size` in GiB; `image_metadata` is the volume's afterwards. `point_id` as in `revert_volume`."""

    volume_id: str
    backend: str
    size: int
    image_id: str
    image_metadata: dict[str, str]
    point_id: str


def fill(run: Run[ReimageVolume]) -> None:
    wanted = run.arguments
    storage = run.world.backend(wanted.backend).storage
    with plain_image(run, wanted.image_id) as path:
        storage.import_file(
            str(path),
            wanted.volume_id,
            wanted.size * GIB,
            run.epoch,
            run.progress,
            image_key=wanted.image_id,
            replace=True,
        )


def mark_of_image(tx: Transaction, run: Run[ReimageVolume]) -> None:
    wanted = run.arguments
    values = {"image_id": wanted.image_id, "image_metadata": wanted.image_metadata, "bootable": True}
    tx.execute(update(volumes).where(volumes.c.id == wanted.volume_id).values(**values, updated_at=tx.now))
    hand_over(tx, run)


def tell(tx: Transaction, run: Run[ReimageVolume], reason: str) -> None:
    """The volume is as it was."""
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "reimage volume", reason)


def announce(tx: Transaction, run: Run[ReimageVolume]) -> None:
    now = settle_volume(tx, run)
    if run.row.state == "done":
        notify_volume(tx, run.arguments.volume_id, "reimage.end", caller_of(run.row), now=now)


REIMAGE_VOLUME = Operation(
    "volume.reimage",
    ReimageVolume,
    "volume",
    steps=(
        Step("keep", do=keep, undo=drop, at=at_backend, long=True),
        Step("fill", do=fill, undo=put_back, at=at_backend, long=True),
        Step("finish", record=mark_of_image),
    ),
    failed=tell,
    settle=announce,
)
