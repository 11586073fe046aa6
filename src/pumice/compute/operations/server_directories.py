"""What a server had on its host before, kept beside what it has now until nobody wants it back.

    <servers>/<server id>            what the guest uses
    <servers>/<server id>.before     what it used before a rebuild or a resize (until that is confirmed or reverted)
    <servers>/<server id>.after      what it used before a resize was reverted, until the revert has ended

Each move is one rename, so that a directory is whole under each name; every function may be called again after a crash
at any place. Who moves them holds `exclusive("server_files", server_id)`.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from pumice.compute.operations import server_files
from pumice.operations.model import Run, StepFailed
from pumice.operations.world import World
from pumice.storage.sparse import copy_or_reflink


def before(world: World, server_id: str) -> Path:
    """Where what it had before is kept."""
    return server_files.directory(world, server_id).with_name(f"{server_id}.before")


def after(world: World, server_id: str) -> Path:
    """Where what a revert takes away is kept."""
    return server_files.directory(world, server_id).with_name(f"{server_id}.after")


def set_aside(world: World, server_id: str) -> None:
    """What it has now is what it had before; the directory is empty."""
    now, kept = server_files.directory(world, server_id), before(world, server_id)
    if not kept.exists():
        now.mkdir(mode=0o700, parents=True, exist_ok=True)
        now.rename(kept)
    now.mkdir(mode=0o700, exist_ok=True)


def bring_back(world: World, server_id: str) -> None:
    """The undo of `set_aside`."""
    now, kept = server_files.directory(world, server_id), before(world, server_id)
    if kept.exists():
        shutil.rmtree(now, ignore_errors=True)
        kept.rename(now)


def copy_kept(run: Run[Any], root_bytes: int) -> None:
    """Fill the directory with copies (reflinks where the file system can) of what was set aside, the local root disk
    grown to root_bytes. Raises StepFailed."""
    world, server_id = run.world, run.arguments.server_id
    server_files.clear_scratch(run)
    now, kept = server_files.directory(world, server_id), before(world, server_id)
    for source in sorted(kept.iterdir()):
        if source.name.startswith("."):
            continue
        scratch = now / f".{source.name}.{run.epoch}"
        try:
            with source.open("rb") as read, scratch.open("wb") as copy:
                copy_or_reflink(read.fileno(), copy.fileno(), run.progress)
                if source.name == "root.raw":
                    os.ftruncate(copy.fileno(), max(root_bytes, copy.seek(0, os.SEEK_END)))
                os.fsync(copy.fileno())
        except OSError as error:
            raise StepFailed(f"{source.name} could not be copied on host {world.host}: {error.strerror}") from error
        scratch.replace(now / source.name)


def take_old(world: World, server_id: str) -> None:
    """A revert: what it had before is what it has now; what it had is kept as `.after`."""
    now, kept, later = server_files.directory(world, server_id), before(world, server_id), after(world, server_id)
    if kept.exists():
        if now.exists() and not later.exists():
            now.rename(later)
        shutil.rmtree(now, ignore_errors=True)
        kept.rename(now)


def take_new(world: World, server_id: str) -> None:
    """The undo of `take_old`."""
    now, kept, later = server_files.directory(world, server_id), before(world, server_id), after(world, server_id)
    if later.exists():
        if now.exists() and not kept.exists():
            now.rename(kept)
        shutil.rmtree(now, ignore_errors=True)
        later.rename(now)


def forget(world: World, server_id: str) -> None:
    """Nothing is kept any more; absent is fine."""
    if world.servers is not None:
        for kept in (before(world, server_id), after(world, server_id)):
            shutil.rmtree(kept, ignore_errors=True)
