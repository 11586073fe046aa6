"""The hypervisors that a configuration can name, and how each is made.

    hypervisor = make(HypervisorConfig(host="node1", directory=state / "hypervisor"))

Called by the agent. A new driver is one function and one line in `FACTORIES`.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from pumice.hypervisors.contract import Hypervisor
from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.memory import MemoryHypervisor


class HypervisorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said about this host's hypervisor."""

    host: str
    """The compute host's name."""
    directory: Path
    """Where it keeps its own files: consoles, sockets, the embedded driver's state."""
    driver: str = "libvirt"
    """A key of FACTORIES."""
    uri: str | None = None
    """libvirt URI, e.g. "qemu:///system"; None: embedded in the agent."""
    my_ip: str = "127.0.0.1"
    """Address in the connector."""
    rbd_features: int = 0
    """Sum of the RBD feature bits that this host's Ceph client knows; 0: it has none."""
    command_channel: bool = False
    """Guests get the virtio-serial port "lab.cmd", for tests and the demo."""


def libvirt(config: HypervisorConfig) -> Hypervisor:
    """Real guests."""
    return LibvirtHypervisor(
        host=config.host,
        root=config.directory,
        uri=config.uri,
        my_ip=config.my_ip,
        rbd_features=config.rbd_features,
        command_channel=config.command_channel,
    )


def memory(config: HypervisorConfig) -> Hypervisor:
    """The simulator; its guests outlive the process in a file of the directory."""
    return MemoryHypervisor(
        host=config.host,
        path=config.directory / "memory.json",
        my_ip=config.my_ip,
        rbd_features=config.rbd_features,
    )


FACTORIES: dict[str, Callable[[HypervisorConfig], Hypervisor]] = {
    "libvirt": libvirt,
    "memory": memory,
}


def make(config: HypervisorConfig) -> Hypervisor:
    """The hypervisor that the configuration names, not started yet. Raises ValueError for an unknown driver."""
    factory = FACTORIES.get(config.driver)
    if factory is None:
        raise ValueError(f"hypervisor driver {config.driver!r} is unknown; known are: {', '.join(FACTORIES)}")
    return factory(config)
