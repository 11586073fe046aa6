"""What a server has of its own on its host: copies of its kernel and ramdisk, and a local root disk.

    <servers>/<server id>/kernel, ramdisk, root.raw

Copies (reflinks where the file system can) keep a server independent of the image it was made from. A copy is made
under another name and renamed, so that a file under its final name is whole.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from pumice.images.operations.plain import plain_image
from pumice.operations.model import Run, StepFailed
from pumice.operations.world import World
from pumice.storage.sparse import copy_or_reflink

SECTOR = 512


def directory(world: World, server_id: str) -> Path:
    """Where the server's files are. Raises StepFailed on a host that has no place for them."""
    if world.servers is None:
        raise StepFailed(f"host {world.host} has no directory for servers")
    return world.servers / server_id


def copy_image(run: Run[Any], image_id: str, name: str, size_bytes: int = 0) -> str:
    """Copy the image's data to the server's file of this name, grown to size_bytes; its path. Raises StepFailed."""
    target = directory(run.world, run.arguments.server_id) / name
    if target.exists():
        return str(target)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = target.with_name(f".{name}.{run.epoch}")
    try:
        with plain_image(run, image_id) as plain, plain.open("rb") as source, scratch.open("wb") as copy:
            copy_or_reflink(source.fileno(), copy.fileno(), run.progress)
            size = max(size_bytes, copy.seek(0, os.SEEK_END))
            os.ftruncate(copy.fileno(), -(-size // SECTOR) * SECTOR if name == "root.raw" else size)
            os.fsync(copy.fileno())
    except OSError as error:
        raise StepFailed(f"image {image_id} could not be copied on host {run.world.host}: {error.strerror}") from error
    scratch.replace(target)
    return str(target)


def clear_scratch(run: Run[Any]) -> None:
    """Remove what workers that died while they wrote have left under other names (".root.raw.EPOCH"): it may be large.
    Whoever calls this holds the server, so nobody else writes there."""
    place = directory(run.world, run.arguments.server_id)
    for found in place.glob(".*") if place.exists() else ():
        epoch = found.name.rpartition(".")[2]
        if epoch.isdigit() and int(epoch) != run.epoch:
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)


def remove(world: World, server_id: str) -> None:
    """Remove all of them, and what was kept beside them (`server_directories.py`); absent is fine."""
    if world.servers is not None:
        for name in (server_id, f"{server_id}.before", f"{server_id}.after"):
            shutil.rmtree(world.servers / name, ignore_errors=True)
