"""What an agent owns, built from the settings: its backends, its hypervisor, its image store; their places.

    world = build(settings)       constructs, starts nothing: an agent whose pool is away still starts
    places(world)                 the places whose steps this agent runs
    registry()                    every kind of operation

Called by the agent's start (`start_agent.py`), and by `pumice doctor` when no agent runs.
"""

from pathlib import Path

from pumice.block.operations import OPERATIONS as BLOCK
from pumice.compute.operations import OPERATIONS as COMPUTE
from pumice.hypervisors import registry as hypervisors
from pumice.hypervisors.contract import Hypervisor
from pumice.operations.model import Registry, backend_place, host_place
from pumice.operations.world import Backend, World
from pumice.processes.image_store import make_image_store
from pumice.reconcile.operations import OPERATIONS as RECONCILE
from pumice.settings import BackendSettings, Settings
from pumice.storage.config import PoolConfig
from pumice.storage.contract import GIB, StorageDriver
from pumice.storage.registry import DRIVERS as STORAGE
from pumice.targets.config import TargetConfig
from pumice.targets.contract import TargetDriver
from pumice.targets.registry import DRIVERS as TARGETS


def registry() -> Registry:
    """Every kind of operation that this program knows."""
    known = Registry()
    known.add(*BLOCK, *COMPUTE, *RECONCILE)
    return known


def build(settings: Settings) -> World:
    """The world of this host's agent; nothing is opened yet."""
    backends = [make_backend(settings, backend) for backend in settings.backends]
    return World(
        host=settings.host,
        backends={backend.name: backend for backend in backends},
        hypervisor=make_hypervisor(settings),
        images=make_image_store(settings),
        servers=settings.state / "servers",
        attach_deadline=settings.attach_deadline,
        detach_deadline=settings.detach_deadline,
        shutdown_deadline=settings.shutdown_deadline,
    )


def places(world: World) -> list[str]:
    """The places that this agent takes."""
    return [host_place(world.host), *(backend_place(name) for name in world.backends)]


def make_backend(settings: Settings, backend: BackendSettings) -> Backend:
    """One backend as the settings name it."""
    name = f"{settings.host}@{backend.name}"
    backend_name = backend.backend_name or backend.name
    return Backend(
        name=name,
        pool=f"{name}#{backend_name}",
        backend_name=backend_name,
        availability_zone=settings.availability_zone,
        storage=make_storage(settings, backend),
        target=make_target(settings, backend),
        reserved_percentage=backend.reserved_percent,
        max_over_subscription=backend.max_over_subscription,
    )


def make_storage(settings: Settings, backend: BackendSettings) -> StorageDriver:
    """The driver of the backend's pool."""
    files = backend_files(settings, backend)
    config = PoolConfig(
        name=backend.name,
        path=str(settings.backend_path(backend)),
        record_path=str(files / "pool-id"),
        loop_image=str(files / "pool.xfs") if backend.mount == "auto" else None,
        size_bytes=backend.pool_size_gib * GIB,
    )
    return STORAGE[backend.driver](config)


def make_target(settings: Settings, backend: BackendSettings) -> TargetDriver:
    """What exports the backend's volumes."""
    directory = backend_files(settings, backend) / "exports"
    return TARGETS[backend.target](TargetConfig(name=backend.name, host=settings.host, directory=str(directory)))


def backend_files(settings: Settings, backend: BackendSettings) -> Path:
    """The directory of what Pumice remembers of a backend outside of its pool; made when it is missing."""
    path = settings.state / "backends" / backend.name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def make_hypervisor(settings: Settings) -> Hypervisor:
    """What runs this host's guests."""
    config = hypervisors.HypervisorConfig(
        host=settings.host,
        directory=settings.state / "hypervisor",
        driver=settings.hypervisor.driver,
        uri=settings.hypervisor.uri or None,
        command_channel=settings.hypervisor.command_channel,
    )
    return hypervisors.make(config)
