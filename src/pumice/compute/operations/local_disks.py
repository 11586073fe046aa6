"""Disks that a server has on its host besides its root: the config drive, ephemeral disks, swap.

    <servers>/<server id>/config.iso, ephemeral0.raw, ephemeral1.raw, swap.raw

Made by the field's own programs (xorriso, mkfs, mkswap) within limits, under another name that is then renamed. Once
made they stay until the server goes: a guest may have written to them. Only a config drive is written anew, when asked.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pumice.compute.config_drive import LABEL
from pumice.compute.model import BlockDeviceMapping
from pumice.compute.operations import server_files
from pumice.hypervisors.contract import Disk
from pumice.operations.model import Run, StepFailed
from pumice.subprocesses import Limits, TimedOut, run

CONFIG_DRIVE = "config.iso"
CONFIG_SLOT = "/dev/sdz"
"""Out of the way of the names that the API gives."""
SECONDS = 300.0
"""How long a program may take."""
LIMITS = Limits(address_space=1 << 30, cpu_seconds=120, file_size=1 << 26)
"""Of what reads users' data: a config drive is far below 64 MiB."""
FORMATS: Mapping[str, Sequence[str]] = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-L", "ephemeral0"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-L", "ephemeral0"),
    "swap": ("mkswap", "-q", "-L", "swap"),
}
DEFAULT_FORMAT = "ext4"


class LocalDisk(msgspec.Struct, frozen=True):
    """A blank local disk: its mapping, its file's name, its size in bytes."""

    mapping: BlockDeviceMapping
    name: str
    size: int


def blank_disks(mappings: Iterable[BlockDeviceMapping]) -> list[LocalDisk]:
    """The blank local ones among a server's mappings. Swap is in MiB, others are in GiB."""
    found = [one for one in mappings if one.source_type == "blank" and one.destination_type == "local"]
    found.sort(key=lambda one: one.device_name or "")
    swaps = [LocalDisk(one, "swap.raw", (one.volume_size or 0) << 20) for one in found if one.guest_format == "swap"]
    others = [one for one in found if one.guest_format != "swap"]
    return [
        *(LocalDisk(one, f"ephemeral{place}.raw", (one.volume_size or 0) << 30) for place, one in enumerate(others)),
        *swaps,
    ]


def make_blank_disks(run: Run[Any], mappings: Iterable[BlockDeviceMapping]) -> None:
    """Make those that are not there yet, formatted. Raises StepFailed."""
    for disk in blank_disks(mappings):
        target = server_files.directory(run.world, run.arguments.server_id) / disk.name
        if target.exists():
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = target.with_name(f".{disk.name}.{run.epoch}")
        try:
            with scratch.open("wb") as file:
                os.ftruncate(file.fileno(), disk.size)
        except OSError as error:
            raise StepFailed(f"no disk of {disk.size} bytes on host {run.world.host}: {error.strerror}") from error
        command = [*FORMATS[disk.mapping.guest_format or DEFAULT_FORMAT], str(scratch)]
        _made(run, command, None)
        scratch.replace(target)


def write_config_drive(run: Run[Any], files: Mapping[str, bytes]) -> None:
    """Make the config drive of these files, in place of an older one. Raises StepFailed."""
    target = server_files.directory(run.world, run.arguments.server_id) / CONFIG_DRIVE
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = target.with_name(f".config.{run.epoch}")
    scratch = target.with_name(f".{CONFIG_DRIVE}.{run.epoch}")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.unlink(missing_ok=True)
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise StepFailed(f"no config drive on host {run.world.host}: {error.strerror}") from error
    command = ["xorrisofs", "-quiet", "-J", "-R", "-V", LABEL, "-o", str(scratch), str(folder)]
    try:
        _made(run, command, LIMITS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    scratch.chmod(0o600)
    scratch.replace(target)


def disks_of(directory: Path, server_id: str, mappings: Iterable[BlockDeviceMapping]) -> list[Disk]:
    """Those that are there, as the hypervisor is told of them."""
    found = [
        Disk(
            serial=own_serial(server_id, disk.name.removesuffix(".raw")),
            connection_info=_local(directory / disk.name),
            bus=disk.mapping.disk_bus,
            device=disk.mapping.device_name,
        )
        for disk in blank_disks(mappings)
        if (directory / disk.name).exists()
    ]
    if (directory / CONFIG_DRIVE).exists():
        info = _local(directory / CONFIG_DRIVE)
        found.append(
            Disk(
                serial=own_serial(server_id, "config"),
                connection_info=info,
                device=CONFIG_SLOT,
                read_only=True,
                cdrom=True,
            )
        )
    return found


def own_serial(server_id: str, name: str) -> str:
    """The serial of a disk that is no volume. Different ones within a guest, which sees 20 characters of it on virtio
    and 36 on scsi; never 36 long, as volumes' are."""
    return f"{server_id[:8]}-{name}"


def _local(path: Path) -> dict[str, Any]:
    return {"driver_volume_type": "local", "data": {"device_path": str(path)}}


def _made(step: Run[Any], command: Sequence[str], limits: Limits | None) -> None:
    """Run the program; StepFailed says which one could not, and why."""
    try:
        ended = run(command, timeout=SECONDS, alive=lambda: step.progress(0, 1), limits=limits)
    except TimedOut as error:
        raise StepFailed(f"{error} on host {step.world.host}") from error
    if ended.status == 127:
        raise StepFailed(f"program {command[0]} not found on host {step.world.host}")
    if ended.status != 0:
        lines = (ended.errors or ended.output).strip().splitlines()
        raise StepFailed(f"{command[0]} failed on host {step.world.host}: {lines[-1] if lines else ended.status}")
