"""The cloud of `tests.compute.cloud`, on both databases; and with real guests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.registry import HypervisorConfig
from tests.block.cloud import prepare
from tests.compute.client import Client
from tests.compute.cloud import ComputeCloud
from tests.compute.real_cloud import RealCloud
from tests.support.databases import Databases


@pytest.fixture
def cloud(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[ComputeCloud]:
    with databases.fresh(database_kind, prepare) as url:
        made = ComputeCloud(url, tmp_path)
        yield made
        made.assert_derived()
        made.close()


@pytest.fixture
def client(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[Client]:
    with databases.fresh(database_kind, prepare) as url:
        cloud = ComputeCloud(url, tmp_path)
        made = Client(cloud, tmp_path)
        with cloud.working():
            yield made
            cloud.wait_idle()
        cloud.assert_derived()
        made.close()
        cloud.close()


@pytest.fixture
def real_cloud(
    databases: Databases, tmp_path: Path, libvirt_hypervisor: LibvirtHypervisor, libvirt_config: HypervisorConfig
) -> Iterator[RealCloud]:
    """On SQLite: what depends on the database is in the other tests."""
    with databases.fresh("sqlite", prepare) as url:
        made = RealCloud(url, tmp_path, libvirt_hypervisor, libvirt_config.directory)
        try:
            yield made
            made.assert_derived()
        finally:
            made.close()
