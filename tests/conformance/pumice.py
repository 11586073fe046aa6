"""The Pumice that the tests run against: new state, two backends, a free port; nothing is left of it at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from pumice.storage import xfs_pool
from pumice.storage.contract import BackendDown
from tests.lab.guest import end_guests
from tests.support.ports import free_port
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

BACKENDS = ("first", "second")
SETTINGS = "".join(f'[[backends]]\nname = "{name}"\npath = "pool-{name}"\npool_size_gib = 100\n\n' for name in BACKENDS)


@contextmanager
def running(directory: Path, output: Path, password: str) -> Iterator[str]:
    """Start Pumice with its state in `directory` and its log in `output`; the base URL once its backends work."""
    (directory / "pumice.toml").write_text(SETTINGS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        with Processes(output) as processes:
            process = processes.start(
                *("pumice", "serve", "--state", directory, "--bind", f"127.0.0.1:{port}"),
                environment={
                    "PUMICE_ADMIN_PASSWORD": password,
                    "PUMICE_RECONCILE_PERIOD": "3600",
                    # Its guests have no operating system that could obey.
                    "PUMICE_SHUTDOWN_DEADLINE": "2",
                },
            )
            wait_until(partial(_healthy, process, f"{url}/healthz"), 60, "Pumice answers")
            yield url
    finally:
        end_guests(directory / "hypervisor")
        for name in BACKENDS:
            wait_until(partial(_unmounted, directory, name), 20, f"the pool {name} is unmounted")


def _healthy(process: Process, url: str) -> bool:
    if not process.running:
        raise AssertionError(f"Pumice ended:\n{process.output}")
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _unmounted(directory: Path, name: str) -> bool:
    """A guest that was killed may need a moment to let go of the pool's files."""
    try:
        xfs_pool.unmount(str(directory / "backends" / name / "pool.xfs"), str(directory / f"pool-{name}"))
    except BackendDown:
        return False
    return True
