"""Where requests come in: the listening socket, and the URL that clients use. Light to import."""

import socket

from pumice.settings import Settings

_BACKLOG = 2048


def listen(settings: Settings) -> socket.socket:
    """The listening socket. Raises OSError when the address is taken."""
    host, port = settings.listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def public_url(settings: Settings) -> str:
    """Where clients on this machine reach us, without a slash at the end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host, port = settings.listen
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.tls_certificate else 'http'}://{shown}:{port}"
