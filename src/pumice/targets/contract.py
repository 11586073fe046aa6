"""The contract of a target: it makes a located volume reachable for one connector and says how.

Called by the operations only. `connect` and `disconnect` are idempotent per (volume, attachment).
Connection info has the shape that the Block Storage API documents for `initialize_connection`:
`{"driver_volume_type": str, "data": {...}}`; it may hold secrets and is never logged.
"""

from typing import Any, Protocol

import msgspec

from pumice.outcomes import Problem, Removed
from pumice.storage.contract import Location


class TargetError(Exception):
    """The target could not export the volume. `str()` is one sentence for the user."""

    transient = False


class TargetDown(TargetError):
    """The daemon does not answer."""

    transient = True


class Incompatible(TargetError):
    """The connector's host cannot use what this target offers; the sentence names what is missing and allowed."""


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """A compute host's description of itself, as os-brick sends it (fields that a target reads; the rest is kept in
    `other`). All of it comes from outside."""

    host: str | None = None
    initiator: str | None = None
    ip: str | None = None
    multipath: bool = False
    os_type: str | None = None
    platform: str | None = None
    mountpoint: str | None = None
    other: dict[str, Any] = {}


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How the host reaches the volume."""

    driver_volume_type: str
    data: dict[str, Any]


class Export(msgspec.Struct, frozen=True):
    """One export as found on this host, for the reconciler."""

    volume_id: str
    attachment_id: str | None


class TargetDriver(Protocol):
    """Exports volumes of one backend."""

    def start(self) -> None:
        """Get ready. Idempotent. Raises TargetDown."""

    def check(self) -> list[Problem]:
        """Prove that exporting works now: empty when it does."""

    def connect(
        self, volume_id: str, attachment_id: str, location: Location, connector: Connector, read_only: bool
    ) -> ConnectionInfo:
        """Export the volume to this connector. Asked again with the same arguments it answers the same.
        Raises Incompatible, TargetError, TargetDown."""

    def disconnect(self, volume_id: str, attachment_id: str) -> Removed:
        """Take the export for this attachment away. Raises TargetDown."""

    def exports(self) -> list[Export]:
        """Every export that is there, for the reconciler."""
