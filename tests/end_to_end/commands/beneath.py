"""What lies beneath a cloud, for the tables: files of the pool and rows of the database."""

from pathlib import Path
from typing import Any

from tests.end_to_end.table import Check, World, beneath

GIB = 1 << 30


def volume_file(name: str, *, size: int) -> Check:
    """The file of the volume {name} is there, so many GiB long."""

    def seen(world: World) -> bool:
        file = world.cloud.volume_file(world.ids[name])
        return file.exists() and file.stat().st_size == size * GIB

    return beneath(f"the file of {name} has {size} GiB", seen)


def no_volume_file(name: str, backend: str = "file") -> Check:
    def seen(world: World) -> bool:
        return not world.cloud.volume_file(world.ids[name], backend).exists()

    return beneath(f"the file of {name} on {backend} is gone", seen)


def volume_begins(name: str, wanted: bytes, backend: str = "file") -> Check:
    """The first bytes of the volume {name} are these."""

    def seen(world: World) -> bool:
        return begins(world.cloud.volume_file(world.ids[name], backend), wanted)

    return beneath(f"{name} on {backend} begins with {wanted!r}", seen)


def set_aside(name: str, wanted: bytes) -> Check:
    """What is nobody's volume or snapshot lies in the pool under this name, and begins so."""

    def seen(world: World) -> bool:
        return begins(world.cloud.pool / "unmanaged" / world.fill(name), wanted)

    return beneath(f"{name} is set aside in the pool", seen)


def begins(path: Path, wanted: bytes) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.read(len(wanted)) == wanted


def write(name: str, text: bytes) -> Check:
    """Write at the beginning of the volume {name}, which nobody has attached."""

    def written(world: World) -> bool:
        with world.cloud.volume_file(world.ids[name]).open("r+b") as file:
            file.write(text)
        return True

    return beneath(f"{name} is written", written)


def snapshot_file(name: str, *, there: bool = True) -> Check:
    def seen(world: World) -> bool:
        return world.cloud.snapshot_file(world.ids[name]).exists() == there

    return beneath(f"the file of the snapshot {name} is {'there' if there else 'gone'}", seen)


def answers(user: str, path: str, wanted: dict[str, Any]) -> Check:
    """GET of block storage, as that user: what is named by `wanted` ("volume.readonly") is so."""

    def seen(world: World) -> bool:
        found: Any = world.eyes[user].get("block-storage", world.fill(path))
        return all(_at(found, name) == value for name, value in wanted.items())

    return beneath(f"GET {path} answers {wanted}", seen)


def _at(found: Any, path: str) -> Any:
    for name in path.split("/"):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def disk_of(server: str, volume: str) -> Check:
    """libvirt's own file of {server} has the volume {volume} as a disk."""

    def seen(world: World) -> bool:
        return world.ids[volume] in world.cloud.disks().get(world.ids[server], set())

    return beneath(f"libvirt says that {server} has {volume}", seen)


def no_disk_of(server: str, volume: str) -> Check:
    def seen(world: World) -> bool:
        return world.ids[volume] not in world.cloud.disks().get(world.ids[server], set())

    return beneath(f"libvirt says that {server} has no {volume}", seen)
