"""Real parts that the driver tests share."""

from collections.abc import Iterator

import pytest

from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.registry import HypervisorConfig, make
from tests.lab.guest import end_guests


@pytest.fixture(scope="session")
def libvirt_config(tmp_path_factory: pytest.TempPathFactory) -> HypervisorConfig:
    return HypervisorConfig(
        host="node1", directory=tmp_path_factory.mktemp("hypervisor"), driver="libvirt", command_channel=True
    )


@pytest.fixture(scope="session")
def libvirt_hypervisor(libvirt_config: HypervisorConfig) -> Iterator[LibvirtHypervisor]:
    """One for the whole session: a process can open only one embedded root in its life."""
    hypervisor = make(libvirt_config)
    assert isinstance(hypervisor, LibvirtHypervisor)
    hypervisor.start()
    try:
        yield hypervisor
    finally:
        hypervisor.close()
        end_guests(libvirt_config.directory)
