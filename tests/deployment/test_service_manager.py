"""What systemd is told, and that one that does not listen holds nobody up."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.processes.service_manager import ServiceManager

pytestmark = pytest.mark.fast


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@pumice-test-{os.getpid()}-{time.time_ns()}"


@pytest.fixture
def listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + address[1:] if address.startswith("@") else address)
        bound.settimeout(5)
        yield bound


def test_it_tells_what_the_protocol_wants(listener: socket.socket, address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    manager = ServiceManager.from_environment(environment)
    assert environment == {"A": "b"}, "nobody else may speak in our name"
    manager.ready("serves")
    assert listener.recv(1000).decode().split("\n") == ["READY=1", "STATUS=serves", f"MAINPID={os.getpid()}"]
    for _ in range(3):
        manager.alive()
    manager.stopping()
    assert listener.recv(1000) == b"WATCHDOG=1"
    assert listener.recv(1000).startswith(b"STOPPING=1\n")


def test_a_watchdog_of_another_process_is_not_ours(listener: socket.socket, address: str) -> None:
    manager = ServiceManager.from_environment(
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    )
    manager.alive()
    manager.status("here")
    assert listener.recv(1000) == b"STATUS=here"


def test_one_that_does_not_listen_holds_nobody_up(listener: socket.socket, address: str) -> None:
    manager = ServiceManager(address)
    begin = time.monotonic()
    for number in range(13):  # more than its queue takes
        manager.status(f"{number}")
        if time.monotonic() - begin > 3:
            break
    assert time.monotonic() - begin < 10
    assert listener.recv(1000) == b"STATUS=0"


def test_without_one_nothing_is_sent_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    ServiceManager.from_environment({}).ready("serves")
    ServiceManager(str(tmp_path / "gone")).ready("serves")
