"""A reflink file system for a directory that has none: a sparse XFS image, loop-mounted over it.

    nothing --create--> image (mkfs on another name, then renamed) --mount--> mounted --unmount--> image

Called by the file driver. The mount belongs to the machine, not to the process: it outlives every process here
and is found again by its mount point and backing file. The loop device frees itself when it is unmounted
(autoclear), so none is ever left over. A sync inside the pool reaches the disk below: the loop device passes
flushes on to the image, which it reads and writes directly (no second page cache) where the system allows it.
Deleted data is given back to the file system below (`discard`).

Helper programs have a deadline and inherit the lock, so one that outlives a killed caller keeps others away.
Every function raises BackendDown with the program's own words.
"""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pumice import durable, faults
from pumice.outcomes import Made, Removed
from pumice.storage import sparse
from pumice.storage.contract import BackendDown, NoSpace

SMALLEST_BYTES = 300 << 20
"""mkfs.xfs refuses less."""

_OPTIONS = "loop,noatime,discard,nodev,nosuid,noexec"
_PROGRAMS = {"mkfs.xfs": "xfsprogs", "mount": "mount", "umount": "mount", "losetup": "mount"}
_CAP_SYS_ADMIN = 21
_LOCK_SECONDS = 60.0
_PROGRAM_SECONDS = 60.0
_RELEASE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class Mount(msgspec.Struct, frozen=True):
    """What is mounted at a directory."""

    file_system: str
    source: str
    backing_file: str | None
    """Of a loop device."""


def wanted(directory: str) -> bool:
    """True when an image would help here and can be mounted: the directory is empty, cannot reflink, and this
    process may mount and has the programs. Raises OSError when the directory cannot be read."""
    if not _may_mount() or set(os.listdir(directory)) - {"lost+found"}:
        return False
    with durable.directory(directory) as fd:
        return not sparse.can_reflink(fd)


def create(image: str, size_bytes: int) -> Made:
    """A new image with an empty file system. Raises NoSpace, BackendDown."""
    path = Path(image)
    if size_bytes < SMALLEST_BYTES:
        raise BackendDown(f"a pool image needs at least {SMALLEST_BYTES} bytes, not {size_bytes}")
    with _locked(path) as (parent, lock):
        if path.exists():
            return Made.ALREADY_THERE
        scratch = durable.scratch_name(path.name)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(scratch, flags, 0o600, dir_fd=parent)
            try:
                os.ftruncate(fd, size_bytes)
                faults.point("xfs.create:opened")
                _run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", str(path.with_name(scratch)), lock=lock)
                os.fsync(fd)
            finally:
                os.close(fd)
            faults.point("xfs.create:made")
            os.rename(scratch, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)
        except OSError as error:
            kind = NoSpace if error.errno == errno.ENOSPC else BackendDown
            raise kind(f"the pool image cannot be made: {os.strerror(error.errno or 0)}") from error
    return Made.CREATED


def mount(image: str, directory: str) -> Made:
    """The image's file system at the directory. Found again when it is already there. Raises BackendDown, also
    when something else is mounted there or the directory is not empty."""
    path = Path(image)
    with _locked(path) as (_, lock):
        there = mounted(directory)
        if there is None:
            if os.listdir(directory):
                raise BackendDown("the pool's directory is not empty: mounting over it would hide what is in it")
            _run("mount", "-t", "xfs", "-o", _OPTIONS, str(path), directory, lock=lock)
            faults.point("xfs.mount:made")
        found = mounted(directory)
        if found is None or found.backing_file is None or not _same_file(found.backing_file, path):
            what = "nothing" if found is None else f"{found.file_system} of {Path(found.source).name}"
            raise BackendDown(f"the pool's directory shows {what} instead of the pool's image")
        _go_direct(found.source, lock)
        return Made.CREATED if there is None else Made.ALREADY_THERE


def unmount(image: str, directory: str) -> Removed:
    """Take the file system away; returns when its loop device is free too. Raises BackendDown when it is in use."""
    with _locked(Path(image)) as (_, lock):
        there = mounted(directory)
        if there is None:
            return Removed.WAS_ABSENT
        if there.backing_file is None:
            raise BackendDown(f"the pool's directory shows {there.file_system} instead of the pool's image")
        _run("umount", directory, lock=lock)
        backing = _backing_path(there.source)
        deadline = time.monotonic() + _RELEASE_SECONDS
        while _read(backing) == there.backing_file:
            if time.monotonic() > deadline:
                raise BackendDown(f"loop device {Path(there.source).name} is still in use after unmounting")
            time.sleep(_POLL_SECONDS)
    return Removed.DELETED


def mounted(directory: str) -> Mount | None:
    """The topmost mount exactly at the directory, None where it is an ordinary directory."""
    point = os.path.realpath(directory)
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if _plain(fields[4]) == point:
            after = fields.index("-")
            found = (fields[after + 1], _plain(fields[after + 2]))
    if found is None:
        return None
    return Mount(found[0], found[1], _read(_backing_path(found[1])))


def backing_image(directory: str) -> Path | None:
    """Path of the image mounted at the directory, None where it is no loop mount."""
    there = mounted(directory)
    return None if there is None or there.backing_file is None else Path(there.backing_file)


def limited_below(image: Path, total: int, free: int) -> tuple[int, int]:
    """(total, free) bytes of a mounted image, limited by the file system that the sparse image lies on.
    Raises OSError."""
    below, taken = os.statvfs(image.parent), image.stat().st_blocks * 512
    free_below = below.f_bavail * below.f_frsize
    return min(total, taken + free_below), min(free, free_below)


def _go_direct(device: str, lock: int) -> None:
    """Ask the loop device not to cache the image a second time; where it cannot, everything works all the same."""
    if _read(Path("/sys/block") / Path(device).name / "loop" / "dio") == "1":
        return
    try:
        _run("losetup", "--direct-io=on", device, lock=lock)
    except BackendDown:
        return


def _may_mount() -> bool:
    if any(shutil.which(program) is None for program in _PROGRAMS) or not Path("/dev/loop-control").exists():
        return False
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> _CAP_SYS_ADMIN & 1)


def _run(program: str, *arguments: str, lock: int) -> None:
    """Raises BackendDown when it is missing, fails or takes too long."""
    try:
        result = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROGRAM_SECONDS,
            check=False,
            pass_fds=(lock,),
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise BackendDown(f"program {program} not found (install {_PROGRAMS[program]})") from error
    except subprocess.TimeoutExpired as error:
        raise BackendDown(f"program {program} did not end within {_PROGRAM_SECONDS:.0f} s") from error
    if result.returncode != 0:
        words = " ".join(result.stderr.decode(errors="replace").split())
        raise BackendDown(f"program {program} failed ({result.returncode}): {words[:500]}")


@contextmanager
def _locked(image: Path) -> Iterator[tuple[int, int]]:
    """One at a time per directory of images. Gives (directory, descriptor that holds the lock)."""
    try:
        parent = durable.open_directory(image.parent)
    except OSError as error:
        raise BackendDown(f"the pool image's directory cannot be opened: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _lock(parent):
            if time.monotonic() > deadline:
                raise BackendDown("another process has been making or mounting a pool image for too long")
            time.sleep(_POLL_SECONDS)
        yield parent, parent
    finally:
        os.close(parent)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _backing_path(device: str) -> Path:
    return Path("/sys/block") / Path(device).name / "loop" / "backing_file"


def _read(path: Path) -> str | None:
    """First line of a small file of the kernel, None where it is absent."""
    try:
        return path.read_text().rstrip("\n")
    except OSError:
        return None


def _plain(field: str) -> str:
    """A path of mountinfo without its octal escapes (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _same_file(one: str, other: Path) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False
