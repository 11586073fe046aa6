"""The plain bytes of an image in another format: converted once by qemu-img, kept, and given up when space is needed.

    with plain_file(store, Source(...), progress) as path:    a raw file to copy from
    write_as(source, target, "qcow2", progress)               the other way, for images of volumes
    sweep(store, wanted)                                      removes what is not wanted any more

    <store>/.converted/<image id>.raw          whole, published by a rename; locked (shared) while somebody reads it
    <store>/.converted/.<image id>.part        being made; locked by whoever makes it, so a kill frees it

Called by the steps of operations only. The image was inspected when it came (`formats`). qemu-img is told the format,
is given the one file as a plain one, and runs within limits of memory, time and file size; it ends with its process.
"""

import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pumice import subprocesses
from pumice.faults import point
from pumice.images.formats.inspect import OPAQUE
from pumice.images.store import ImageStore

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); may raise to stop the work."""

_GIB = 1 << 30
_ADDRESS_SPACE = 2 * _GIB
_WAIT_SECONDS = 0.2
_PERCENT = re.compile(rb"\(([0-9]+\.[0-9]+)/100%\)")
_OPTIONS = {"qcow2": ("-o", "compat=1.1"), "vmdk": ("-o", "subformat=streamOptimized")}


class ConversionFailed(Exception):
    """The image could not be converted; `str()` is one sentence for the user."""


class Source(msgspec.Struct, frozen=True):
    """An active image, as its row says."""

    image_id: str
    disk_format: str | None
    virtual_size: int


@contextmanager
def plain_file(store: ImageStore, image: Source, progress: Progress) -> Iterator[Path]:
    """A raw file with the image's bytes, there until the block ends. Raises FileNotFoundError (no data),
    ConversionFailed, OSError, and what progress raises."""
    if image.disk_format is None or image.disk_format in OPAQUE:
        yield store.path(image.image_id)
        return
    path = store.converted_path(image.image_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while (fd := _open_kept(path)) is None:
        _make(store, image, path, progress)
    try:
        yield path
    finally:
        os.close(fd)
    _evict(store)


def _open_kept(path: Path) -> int | None:
    """A descriptor that keeps the file where it is; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    fcntl.flock(fd, fcntl.LOCK_SH)
    if not _is(path, fd):
        os.close(fd)
        return None
    os.utime(fd)
    return fd


def _make(store: ImageStore, image: Source, path: Path, progress: Progress) -> None:
    """Convert, unless somebody else just did. One at a time for one image, in all processes."""
    part = path.with_name(f".{image.image_id}.part")
    fd = _lock(part, progress)
    try:
        if path.exists():
            part.unlink()
            return
        point("image.convert:begun")
        _convert(store.path(image.image_id), image, part, _with_room(store, progress))
        os.fsync(fd)
        point("image.convert:made")
        part.rename(path)
        _sync(path.parent)
        point("image.convert:published")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _with_room(store: ImageStore, progress: Progress) -> Progress:
    """Also stops the work where it would take from the reserve."""

    def told(done: int, size: int) -> None:
        if store.room() < 0:
            raise ConversionFailed("the image store is full; free space, or give it more")
        progress(done, size)

    return told


def _lock(part: Path, progress: Progress) -> int:
    """The file of that name, empty and locked. Whoever waits calls progress, which may raise."""
    while True:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(fd):
                progress(0, 0)
                threading.Event().wait(_WAIT_SECONDS)
            if _is(part, fd):
                os.ftruncate(fd, 0)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # it was published, or swept away, under another name's lock: once more


def _convert(source: Path, image: Source, part: Path, progress: Progress) -> None:
    if not source.exists():
        raise FileNotFoundError(source)
    opened = {
        "driver": image.disk_format,
        "read-only": True,
        "file": {"driver": "file", "filename": str(source), "locking": "off"},
    }
    if image.disk_format in ("qcow2", "vmdk"):
        opened["backing"] = None
    _qemu_img(f"json:{json.dumps(opened)}", part, "raw", image.virtual_size, progress)
    if (found := part.stat().st_size) != image.virtual_size:
        raise ConversionFailed(f"qemu-img wrote {found} bytes in place of {image.virtual_size}")


def write_as(source: Path, target: Path, disk_format: str, progress: Progress) -> None:
    """Write the raw file as one of another format. Raises ConversionFailed, OSError, and what progress raises."""
    size = source.stat().st_size
    opened = {"driver": "raw", "read-only": True, "file": {"driver": "file", "filename": str(source), "locking": "off"}}
    _qemu_img(f"json:{json.dumps(opened)}", target, disk_format, size, progress)


def _qemu_img(source: str, target: Path, disk_format: str, size: int, progress: Progress) -> None:
    command = ["qemu-img", "convert", "-p", "-S", "4096", "-O", disk_format, *_OPTIONS.get(disk_format, ())]
    gib = -(-size // _GIB)
    limits = subprocesses.Limits(
        address_space=_ADDRESS_SPACE,
        cpu_seconds=120 + 60 * gib,
        # Tables beside the data; none of a raw file.
        file_size=size if disk_format == "raw" else size + size // 64 + (64 << 20),
    )
    told = os.memfd_create("progress", os.MFD_CLOEXEC)
    try:
        ended = subprocesses.run(
            [*command, source, str(target)],
            timeout=600 + 300 * gib,
            alive=lambda: progress(_done(told, size), size),
            limits=limits,
            output=told,
        )
    except subprocesses.TimedOut as error:
        raise ConversionFailed(f"qemu-img was stopped: {error}") from error
    finally:
        os.close(told)
    if ended.status != 0:
        raise ConversionFailed(_reason(ended, disk_format))
    progress(size, size)


def _done(told: int, size: int) -> int:
    """Bytes done, by the last percentage that qemu-img has printed."""
    end = os.fstat(told).st_size
    found = _PERCENT.findall(os.pread(told, 64, max(0, end - 64)))
    return int(size * float(found[-1]) / 100) if found else 0


def _reason(ended: subprocesses.Finished, disk_format: str) -> str:
    """What qemu-img said, without the paths of this host."""
    if ended.status == 127:
        return "the program qemu-img is not installed; install qemu-utils"
    said = ended.errors.strip().splitlines()
    text = re.sub(r"'?json:\{.*\}'?|/[^\s:'\"]+", "the image", said[-1].removeprefix("qemu-img: ")) if said else ""
    why = text or f"it ended with status {ended.status}"
    return f"qemu-img could not write it as {disk_format}: {why}"


def sweep(store: ImageStore, wanted: Callable[[str], bool]) -> list[str]:
    """Remove what is kept of images that are not wanted any more, what a kill left, and what is too much."""
    folder = store.directory / ".converted"
    removed = []
    for name in os.listdir(folder) if folder.is_dir() else []:
        stem, _, kind = name.lstrip(".").partition(".")
        if (kind == "part" or not wanted(stem)) and _remove_idle(folder / name):
            removed.append(stem)
    return removed + _evict(store)


def _evict(store: ImageStore) -> list[str]:
    """Remove the least recently used beyond the bound; those in use stay."""
    folder = store.directory / ".converted"
    entries = []
    for path in folder.glob("*.raw"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        entries.append((found.st_mtime_ns, found.st_blocks * 512, path))
    total, removed = sum(size for _, size, _ in entries), []
    for _, size, path in sorted(entries):
        if total > store.converted_bytes and _remove_idle(path):
            total -= size
            removed.append(path.stem)
    return removed


def _remove_idle(path: Path) -> bool:
    """Remove the file unless somebody reads or makes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _try_lock(fd) or not _is(path, fd):
            return False
        path.unlink()
        return True
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, fd: int) -> bool:
    """Is the open file the one of that name?"""
    try:
        found, mine = path.lstat(), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
