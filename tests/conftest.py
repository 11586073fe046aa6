"""Fixtures for every test, and the rule that a skip is a failure. The helpers themselves are in `tests/support`."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.registry import HypervisorConfig, make
from tests.lab.guest import end_guests
from tests.support import sweeper
from tests.support.campaign import campaign_part, divide
from tests.support.databases import KINDS, Databases
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes
from tests.support.skips import allowed_skips, refuse_skip


def pytest_report_header(config: pytest.Config) -> str:
    return f"fault campaign: part {campaign_part()} (PUMICE_TEST_CAMPAIGN=SEED/PARTS or all)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the fault campaign a part runs each time, another one for each commit; `make chaos` runs all of it. A test
    that is named on the command line runs always."""
    if any("::" in argument for argument in config.args):
        return
    kept, left = divide(items, campaign_part())
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes databases of both kinds; see `Databases.fresh`."""
    makers = Databases(tmp_path_factory.mktemp("databases"))
    try:
        yield makers
    finally:
        makers.close()


@pytest.fixture(scope="session")
def postgres_server(databases: Databases) -> PostgresServer:
    """The session's PostgreSQL server. A test that stops it must start it again."""
    return databases.server


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """ "sqlite", then "postgresql": a test that asks for it runs on both."""
    return str(request.param)


@pytest.fixture
def database_url(database_kind: str, databases: Databases) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    with databases.fresh(database_kind) as url:
        yield url


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes; all of them, with what they started in their groups, end with the test."""
    directory = tmp_path / "processes"
    directory.mkdir()
    with Processes(directory) as started:
        yield started


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
    sweeper.watch(0, libvirt_config.directory)
    try:
        yield hypervisor
    finally:
        hypervisor.close()
        end_guests(libvirt_config.directory)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report, allowed_skips())
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report, allowed_skips())
    return report
