"""Free ports on loopback."""

import socket


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now (somebody else may take it before you do)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Does something accept connections at this port of 127.0.0.1?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
