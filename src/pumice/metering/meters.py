"""Meters: what is counted from which events. Samples are not stored; they are seen through this table when asked for.

volume.exists       delta   1 volume    one for each event of that type: the old set of Ceilometer up to 7
volume              gauge   1 volume    one for every event of a volume
volume.size         gauge   n GiB       the payload's size: today's set
"""

from functools import cache
from typing import Literal

import msgspec

MeterType = Literal["gauge", "delta", "cumulative"]

SOURCE = "openstack"
"""The `source` of every sample, as Ceilometer's collectors name it."""


class Meter(msgspec.Struct, frozen=True):
    """One meter: a sample for each event of these types. `field`: the payload's number that is the volume; None: 1."""

    name: str
    type: MeterType
    unit: str
    event_types: tuple[str, ...]
    field: str | None = None


def _both(noun: str, *actions: str) -> tuple[str, ...]:
    return tuple(f"{noun}.{action}.{end}" for action in actions for end in ("start", "end"))


def _counted(noun: str, event_types: tuple[str, ...], prefix: str = "") -> tuple[Meter, ...]:
    """A delta meter for each event type, and a gauge over all of them."""
    types = tuple(prefix + event_type for event_type in event_types)
    return (
        *(Meter(event_type, "delta", noun, (event_type,)) for event_type in types),
        Meter(noun, "gauge", noun, types),
    )


VOLUME_EVENTS = (
    "volume.exists",
    "volume.retype",
    *_both("volume", "create", "delete", "resize", "attach", "detach", "update", "manage_existing"),
)
SNAPSHOT_EVENTS = ("snapshot.exists", *_both("snapshot", "create", "delete", "update"))
BACKUP_EVENTS = ("backup.exists", *_both("backup", "create", "delete", "restore"))
INSTANCE_EVENTS = (
    "exists",
    "create.start",
    "create.end",
    "create.error",
    "delete.start",
    "delete.end",
    "update",
    *(f"{verb}.{end}" for verb in ("power_on", "power_off", "reboot", "pause", "unpause") for end in ("start", "end")),
    "volume.attach",
    "volume.detach",
)
IMAGE_EVENTS = ("image.create", "image.update", "image.upload", "image.delete")

# What an instance is made of, not yet known for certain when its creation starts.
_INSTANCE_FACTS = tuple(f"compute.instance.{event}" for event in INSTANCE_EVENTS if event != "create.start")

METERS: tuple[Meter, ...] = (
    *_counted("volume", VOLUME_EVENTS),
    Meter("volume.size", "gauge", "GiB", VOLUME_EVENTS, "size"),
    *_counted("snapshot", SNAPSHOT_EVENTS),
    Meter("snapshot.size", "gauge", "GiB", SNAPSHOT_EVENTS, "volume_size"),
    *_counted("backup", BACKUP_EVENTS),
    Meter("backup.size", "gauge", "GiB", BACKUP_EVENTS, "size"),
    *_counted("instance", INSTANCE_EVENTS, "compute.instance."),
    Meter("memory", "gauge", "MB", _INSTANCE_FACTS, "memory_mb"),
    Meter("vcpus", "gauge", "vcpu", _INSTANCE_FACTS, "vcpus"),
    Meter("disk.root.size", "gauge", "GB", _INSTANCE_FACTS, "root_gb"),
    Meter("disk.ephemeral.size", "gauge", "GB", _INSTANCE_FACTS, "ephemeral_gb"),
    *_counted("image", IMAGE_EVENTS),
    Meter("image.size", "gauge", "B", IMAGE_EVENTS, "size"),
)

METER: dict[str, Meter] = {meter.name: meter for meter in METERS}


@cache
def meters_of(event_type: str) -> tuple[Meter, ...]:
    """The meters that have a sample of an event of this type, by name."""
    return tuple(sorted((m for m in METERS if event_type in m.event_types), key=lambda meter: meter.name))
