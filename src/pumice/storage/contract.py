"""The contract of a storage driver: what every backend does, and how each outcome reads.

Called by the operations only (`block/operations`, `images/operations`). A driver knows no database,
HTTP or settings: it is constructed from a typed configuration and is told ids, sizes in bytes and paths.

    absent --create/clone/restore--> there --extend--> there --delete--> absent
                                       |
                                       +--create_snapshot--> snapshot there --delete_snapshot--> absent

Rules that the conformance suite (`tests/drivers/test_storage_contract.py`) holds for every driver:

- Every method is idempotent: asked again, it answers that the thing is already there or was absent.
- Nothing half-made is ever visible under the final name: work goes to a name that carries `epoch` (the
  fencing number of the operation), and is published by one atomic rename. A late writer with an older
  epoch touches only its own name; `discard` removes what an abandoned epoch left.
- Deleting something that is not there succeeds. Everything else that names a missing thing raises `NotFound`.
- A backend whose pool is gone (unmounted, marker missing) raises `BackendDown`; it never says `NotFound`.
"""

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import msgspec

from pumice.outcomes import Made, Problem, Removed

GIB = 1 << 30

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) now and then; may raise to stop the work."""


Kind = Literal["volume", "snapshot"]


class StorageError(Exception):
    """A backend could not do what was asked. `str()` is one sentence for the user, with no path of the host."""

    transient = False
    """True when the same call may succeed later without anybody's help."""


class BackendDown(StorageError):
    """The pool cannot be reached at all (not mounted, marker missing, daemon away). Nothing is said of volumes."""

    transient = True


class NotFound(StorageError):
    """The pool works and the named volume or snapshot is not in it."""


class NoSpace(StorageError):
    """The pool is full."""


class InUse(StorageError):
    """The thing cannot be removed or changed while something else depends on it."""


class Unsupported(StorageError):
    """This backend cannot do that, or not to this client; the sentence says what is missing."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend can do, as data. Never ask with isinstance."""

    storage_protocol: str
    """Canonical spelling of the Block Storage API: "file", "iSCSI", "ceph", "NFS"."""
    vendor_name: str
    driver_version: str
    instant_clone: bool
    """Clones and snapshots cost no copy (reflink, thin snapshot, RBD)."""
    atomic_snapshot: bool
    """A snapshot of a volume that is being written to is a point in time. When False, the operation pauses the
    guest (durably marked) while the snapshot is taken."""
    extend_in_use: bool
    multiattach: bool
    thin: bool


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Space of one pool, in bytes."""

    name: str
    total_bytes: int
    free_bytes: int
    allocated_bytes: int
    """What the volumes and snapshots in it occupy now."""


class StoredVolume(msgspec.Struct, frozen=True):
    """One volume as found in the pool."""

    volume_id: str
    size_bytes: int


class StoredSnapshot(msgspec.Struct, frozen=True):
    """One snapshot as found in the pool. `volume_id` is "" where the backend does not record it."""

    snapshot_id: str
    volume_id: str
    size_bytes: int


class Unmanaged(msgspec.Struct, frozen=True):
    """Data in the pool that is nobody's volume or snapshot: set aside by `set_aside`, or put there by an operator."""

    name: str
    size_bytes: int


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where a volume's data can be reached on the host that owns the backend; input of a target driver."""

    kind: str
    """"file", "block" or "rbd"."""
    path: str
    """Absolute path of the file or device, or "pool/image"."""
    size_bytes: int


class StorageDriver(Protocol):
    """One pool of volumes. Every method may be called from any thread; one call per volume at a time is
    guaranteed by the operations' resource locks."""

    @property
    def capabilities(self) -> Capabilities: ...

    def start(self) -> None:
        """Make the pool ready (mount, write the marker on first use). Idempotent. Raises BackendDown."""

    def check(self) -> list[Problem]:
        """Prove that the pool works now: empty when it does. Cheap enough to be called every few seconds."""

    def stats(self) -> PoolStats:
        """Space now. Raises BackendDown."""

    def create(self, volume_id: str, size_bytes: int, epoch: int) -> Made:
        """An empty volume that reads as zeros. Raises NoSpace, BackendDown."""

    def clone(self, source_volume_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        """A copy of the volume's data now, grown to size_bytes. Raises NotFound, NoSpace, BackendDown."""

    def clone_snapshot(self, snapshot_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        """A volume with the snapshot's data, grown to size_bytes. Raises NotFound, NoSpace, BackendDown."""

    def import_file(
        self,
        path: str,
        volume_id: str,
        size_bytes: int,
        epoch: int,
        progress: Progress,
        *,
        image_key: str | None = None,
        replace: bool = False,
    ) -> Made:
        """A volume with the bytes of the raw file at path, grown to size_bytes. image_key names content that never
        changes (image id and checksum): a backend may keep it to make the next copy instant. replace: a volume that
        is there gets the bytes in place of its own, all at once (CREATED each time it is asked); not while attached.
        Raises NoSpace, BackendDown; Unsupported when the file is larger than size_bytes; with replace NotFound."""

    def export_file(self, volume_id: str, path: str, progress: Progress) -> None:
        """Write the volume's bytes to a new raw file at path (sparse where it can be). Raises NotFound, NoSpace."""

    def extend(self, volume_id: str, size_bytes: int) -> Made:
        """Grow to size_bytes; ALREADY_THERE when it has that size. Shrinking raises Unsupported."""

    def shrink_back(self, volume_id: str, size_bytes: int) -> Removed:
        """The way back of an `extend` that nobody was told of: cut to size_bytes if it is larger. What would be cut
        must be unwritten: else Unsupported, and nothing is cut. An absent volume is WAS_ABSENT."""

    def delete(self, volume_id: str) -> Removed:
        """Raises InUse when the backend's snapshots need it, BackendDown."""

    def discard(self, volume_id: str, epoch: int) -> Removed:
        """Remove what making volume_id (or a snapshot of that id) left under the name of this epoch or an older one."""

    def create_snapshot(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        """A point in time of the volume. Raises NotFound, NoSpace, BackendDown."""

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> Removed: ...

    def revert(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        """Put the volume's data back to the snapshot's. Not while attached. Raises NotFound, NoSpace."""

    def set_aside(self, kind: Kind, thing_id: str, name: str) -> Removed:
        """The volume or snapshot is no longer one; its data stays in the pool under this name. Raises InUse when the
        name is taken, BackendDown."""

    def take_in(self, kind: Kind, thing_id: str, name: str, volume_id: str) -> Made:
        """What is set aside under the name becomes the volume, or the snapshot of volume_id. Raises NotFound."""

    def unmanaged(self) -> Iterator[Unmanaged]:
        """Everything that `take_in` could take. Raises BackendDown."""

    def locate(self, volume_id: str) -> Location:
        """Where the data is, for the target. Raises NotFound, BackendDown."""

    def volumes(self) -> Iterator[StoredVolume]:
        """Every volume in the pool, for the reconciler. Raises BackendDown."""

    def snapshots(self) -> Iterator[StoredSnapshot]:
        """Every snapshot in the pool, for the reconciler. Raises BackendDown."""
