"""Which traits an event has: one table from event types to typed traits, as Ceilometer's event definitions have it.

A trait that the payload does not hold, or holds as null, is left out. Every event has the default traits as far as
they are known: service (the publisher), request_id, project_id, tenant_id, user_id.

    traits_of("volume.exists", payload, defaults) -> {"size": ["integer", 1], "status": ["string", "available"], ...}

Values of type datetime are texts of one width ("2026-11-21T10:00:00.000000", UTC), so that their order is that of time.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

import msgspec

from pumice.clock import isoformat, parse

TraitType = Literal["string", "integer", "float", "datetime"]
Traits = dict[str, list[Any]]
"""{name: [type, value]}"""
Read = Callable[[Mapping[str, Any]], Any]


class Trait(msgspec.Struct, frozen=True):
    """One trait: its name, its type, and how it is read from the payload (None: not there)."""

    name: str
    type: TraitType
    read: Read


class Definition(msgspec.Struct, frozen=True):
    """The traits of the event types that match one of the patterns."""

    patterns: tuple[str, ...]
    traits: tuple[Trait, ...]


class BadTrait(ValueError):
    """The payload holds something that cannot be a trait of its type; says which."""


def _field(*names: str) -> Read:
    """The first of these payload fields that is there."""

    def read(payload: Mapping[str, Any]) -> Any:
        for name in names:
            if (value := payload.get(name)) is not None:
                return value
        return None

    return read


def _first_of(list_name: str, *names: str) -> Read:
    """A field of the first record of a list."""
    field = _field(*names)

    def read(payload: Mapping[str, Any]) -> Any:
        records = payload.get(list_name)
        return field(records[0]) if records else None

    return read


def _keyed(list_name: str, key: str) -> Read:
    """The value of the record with this key, in a list of {key, value}."""

    def read(payload: Mapping[str, Any]) -> Any:
        return next((row.get("value") for row in payload.get(list_name) or () if row.get("key") == key), None)

    return read


def _texts(*names: str) -> tuple[Trait, ...]:
    return tuple(Trait(name, "string", _field(name)) for name in names)


def _integers(*names: str) -> tuple[Trait, ...]:
    return tuple(Trait(name, "integer", _field(name)) for name in names)


def _times(*names: str) -> tuple[Trait, ...]:
    return tuple(Trait(name, "datetime", _field(name)) for name in names)


def _named(name: str, *fields: str) -> Trait:
    return Trait(name, "string", _field(*fields))


_OWNER = (_named("user_id", "user_id"), _named("project_id", "tenant_id"), _named("tenant_id", "tenant_id"))

_BLOCK = (
    *_OWNER,
    *_texts("availability_zone", "display_name", "replication_status", "status"),
    *_times("created_at"),
    Trait("image_id", "string", _keyed("glance_metadata", "image_id")),
    # Cinder's rows call it instance_uuid, Ceilometer's definitions read server_id: both are understood.
    Trait("instance_id", "string", _first_of("volume_attachment", "server_id", "instance_uuid")),
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        ("volume.transfer.*",),
        (
            *_OWNER,
            *_texts("availability_zone", "display_name", "status", "host"),
            *_times("created_at"),
            *_integers("size"),
            _named("resource_id", "volume_id"),
            _named("type", "volume_type"),
        ),
    ),
    Definition(
        ("volume.*",),
        (
            *_BLOCK,
            *_texts("host"),
            *_integers("size"),
            _named("resource_id", "volume_id"),
            _named("type", "volume_type"),
        ),
    ),
    Definition(
        ("snapshot.*", "manage_existing_snapshot.*"),
        (*_BLOCK, _named("resource_id", "snapshot_id"), *_texts("volume_id")),
    ),
    Definition(
        ("backup.*",),
        (*_BLOCK, _named("resource_id", "backup_id"), *_texts("volume_id", "host"), *_integers("size")),
    ),
    Definition(("image_volume_cache.*",), _texts("image_id", "host")),
    Definition(
        ("compute.instance.*",),
        (
            *_OWNER,
            _named("resource_id", "instance_id"),
            *_texts("instance_id", "display_name", "host", "availability_zone", "state", "cell_name", "volume_id"),
            _named("flavor_id", "instance_flavor_id"),
            _named("instance_type", "instance_type"),
            *_integers("memory_mb", "disk_gb", "root_gb", "ephemeral_gb", "vcpus", "instance_type_id"),
            *_times("created_at", "launched_at", "deleted_at"),
            *_times("audit_period_beginning", "audit_period_ending"),
        ),
    ),
    Definition(
        ("image.*",),
        (
            _named("project_id", "owner"),
            _named("tenant_id", "owner"),
            _named("resource_id", "id"),
            *_texts("name", "status", "checksum"),
            *_integers("size"),
            *_times("created_at"),
        ),
    ),
)


@lru_cache(maxsize=1024)
def definition_of(event_type: str) -> tuple[Trait, ...]:
    """The traits of this event type beyond the default ones; the first pattern that matches counts."""
    for definition in DEFINITIONS:
        if any(fnmatchcase(event_type, pattern) for pattern in definition.patterns):
            return definition.traits
    return ()


def traits_of(event_type: str, payload: Mapping[str, Any], defaults: Iterable[tuple[str, Any]]) -> Traits:
    """All traits of an event, by name. What the payload says goes before the default. Raises BadTrait."""
    found: Traits = {name: ["string", value] for name, value in defaults if value is not None}
    for trait in definition_of(event_type):
        value = trait.read(payload)
        if value is not None:
            found[trait.name] = [trait.type, _typed(trait, value)]
    return found


def _typed(trait: Trait, value: Any) -> Any:
    try:
        match trait.type:
            case "string":
                return value if isinstance(value, str) else str(value)
            case "integer":
                return int(value)
            case "float":
                return float(value)
            case "datetime":
                return isoformat(value if isinstance(value, int) else parse(value))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadTrait(f"trait {trait.name}: {value!r} is no {trait.type}") from error
