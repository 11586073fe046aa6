"""What the steps of operations reach the outside with: this agent's backends, its hypervisor, its image store.

The only place where drivers meet the operations. The agent builds one `World` from the settings; tests build one from
the simulators.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pumice.hypervisors.contract import Hypervisor
from pumice.images.store import ImageStore
from pumice.storage.contract import StorageDriver
from pumice.targets.contract import TargetDriver


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend as this agent runs it. `name` is "host@backend", `pool` "host@backend#pool"."""

    name: str
    pool: str
    backend_name: str
    """volume_backend_name, what types ask for."""
    availability_zone: str
    storage: StorageDriver
    target: TargetDriver
    reserved_percentage: int = 0
    """Of the pool, never given to volumes."""
    max_over_subscription: float = 20.0
    """How many times the pool's size may be promised to sparse volumes."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the database that this agent owns."""

    host: str
    backends: Mapping[str, Backend] = field(default_factory=dict)
    hypervisor: Hypervisor | None = None
    images: ImageStore | None = None
    servers: Path | None = None
    """Directory of what servers of this host have of their own (`<server id>/root.raw`, kernel, ramdisk)."""

    attach_deadline: float = 20.0
    """Seconds that the hypervisor has to attach a disk."""
    detach_deadline: float = 20.0
    """Seconds that a guest has to let a disk go."""
    shutdown_deadline: float = 5.0
    """Seconds that a guest has to shut down when it is asked to, before it is stopped by force."""

    def backend(self, name: str) -> Backend:
        """The backend of this name. KeyError means a step ran at the wrong place."""
        return self.backends[name]
