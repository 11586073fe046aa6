"""Where requests come in: the listening socket, and the URL that clients use. Light to import."""

import json
import socket
import ssl
import urllib.request
from typing import Any

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
    """Where clients reach us, without a slash at the end."""
    return settings.public_url.rstrip("/") or local_url(settings)


def local_url(settings: Settings) -> str:
    """Where programs on this machine reach us, whatever stands in front of us."""
    host, port = settings.listen
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.tls_certificate else 'http'}://{shown}:{port}"


def answers_at(settings: Settings) -> dict[str, Any] | None:
    """What /healthz says here; None while requests are not served. Our own certificate need not name this address."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{local_url(settings)}/healthz", timeout=2, context=context) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except OSError:  # refused, reset, or 503
        return None
