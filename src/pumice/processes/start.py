"""`pumice serve` and `pumice api`: what must be so before the processes start, and what is said when they answer.

    serve(settings, config, say)     lock the state directory, prepare it, take the port, run the supervisor
    run_api(settings, descriptor)    one API process, on the socket that `serve` handed over or on its own

The listening socket is opened here and handed to the API process: a taken port is an error of the command, at once, and
connections wait in it while the API process is started again.
"""

import errno
import os
import re
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

from pumice.db.migrations import HEAD
from pumice.processes.listening import answers_at, listen, local_url, public_url
from pumice.processes.service_manager import ServiceManager
from pumice.processes.supervisor import Child, Supervisor
from pumice.settings import Settings

READY_SECONDS = 60.0
BACKEND_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_FIRST = 10


class CannotStart(Exception):
    """It cannot start; the text says why and what helps."""


def serve(settings: Settings, config: str | None, say: Callable[[str], object]) -> int:
    """Until SIGTERM or Ctrl-C; the exit status. Raises CannotStart, PumiceError."""
    manager = ServiceManager.from_environment()
    lock = _lock(settings)
    listener = _listen(settings)
    try:
        manager.status("preparing the state")
        first = _prepare(settings, listener)
        os.set_inheritable(listener.fileno(), True)
        command = [sys.executable, "-m", "pumice.cli.main"]
        common = ["--state", settings.state_directory, *(["--config", config] if config else [])]
        children = [
            Child(
                name="api",
                command=[*command, "api", *common, "--socket", str(listener.fileno())],
                descriptors=(listener.fileno(),),
                reloads=True,
            ),
            Child(name="agent", command=[*command, "agent", *common]),
        ]
        watch = threading.Thread(target=_announce, args=(settings, first, say, manager), daemon=True)
        watch.start()
        return Supervisor(children, manager=manager).run()
    finally:
        listener.close()
        os.close(lock)


def _check_tls(settings: Settings) -> None:
    if not settings.tls_certificate:
        return
    from pumice.processes import tls

    try:
        tls.check(settings)
    except tls.TlsError as error:
        raise CannotStart(str(error)) from error


def run_api(settings: Settings, descriptor: int | None = None) -> None:
    """One API process, until a signal ends it. Raises CannotStart."""
    from pumice.processes import api

    if descriptor is None:
        listener = _listen(settings)
        _prepare(settings, listener)
    else:
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
    api.serve(settings, listener)


def _prepare(settings: Settings, listener: socket.socket) -> bool:
    """Schema and first start, in a process of its own, so that the supervisor stays small; True when it was the first.

    Raises CannotStart; the reason stands on standard error already."""
    if _is_prepared(settings):
        return False
    child = os.fork()
    if child == 0:
        listener.close()  # should we be killed meanwhile, the port is free at once
        os._exit(_prepare_here(settings))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, _FIRST):
        raise CannotStart("the state could not be prepared (the reason stands above)")
    return status == _FIRST


def _is_prepared(settings: Settings) -> bool:
    """A look at an existing SQLite state that loads no library: at our migration, started before, at the same URL."""
    path, clouds = settings.state / "pumice.db", settings.state / "clouds.yaml"
    if settings.database or not path.exists() or not clouds.exists() or not settings.images.is_dir():
        return False
    text = clouds.read_text()
    if f'auth_url: "{public_url(settings)}/identity/v3"' not in text:
        return False
    if set(re.findall(r'^    cacert: "(.*)"$', text, re.MULTILINE)) != ({settings.certificate_authority} - {""}):
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            types = connection.execute("SELECT 1 FROM volume_types").fetchone()
    except sqlite3.Error:
        return False
    return found == (HEAD,) and types is not None


def _prepare_here(settings: Settings) -> int:
    from pumice.errors import PumiceError
    from pumice.processes.prepare import prepare

    try:
        return _FIRST if prepare(settings, os.environ) else 0
    except (PumiceError, OSError) as error:
        said = error.for_operators if isinstance(error, PumiceError) else error
        print(f"Error: {said}", file=sys.stderr, flush=True)
        return 1


def _lock(settings: Settings) -> int:
    """One `pumice serve` a state directory."""
    from pumice.processes import state_lock

    try:
        return state_lock.take(settings)
    except state_lock.StateTaken as error:
        raise CannotStart(str(error)) from error


def _listen(settings: Settings) -> socket.socket:
    _check_tls(settings)
    try:
        return listen(settings)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there"
        raise CannotStart(
            f"cannot listen at {settings.bind}: {reason}; choose another with --bind HOST:PORT"
        ) from error


def _announce(settings: Settings, first: bool, say: Callable[[str], object], manager: ServiceManager) -> None:
    """Say where everything is once requests are served and a backend takes volumes."""
    url = public_url(settings)
    if not _wait(settings, READY_SECONDS, backends=0):
        say(f"Pumice does not answer yet at {local_url(settings)}/healthz; see the log above, and pumice doctor")
        while not _wait(settings, READY_SECONDS, backends=0):
            manager.status(f"does not answer yet at {local_url(settings)}/healthz")
    manager.ready(f"serves at {url}")
    if settings.backends and not _wait(settings, BACKEND_SECONDS, backends=1):
        say("No backend takes volumes yet; see the log above, and pumice doctor")
    clouds = settings.state / "clouds.yaml"
    say(f"Pumice is ready at {url}" + (" (first start: database, administrator and clouds.yaml were made)" * first))
    for name, path in _FACES:
        say(f"  {name:<14} {url}{path}")
    say(f"  clouds.yaml    {clouds} (clouds: admin, demo, system, service)")
    say("Try:")
    say(f"  export OS_CLIENT_CONFIG_FILE={clouds}")
    say("  openstack --os-cloud demo volume create --size 1 first")
    say(f"  pumice doctor --state {settings.state}")


_FACES = (
    ("identity", "/identity/v3"),
    ("block storage", "/volume/v3"),
    ("image", "/image/v2"),
    ("compute", "/compute/v2.1"),
    ("metering", "/metering/v2"),
)


def _wait(settings: Settings, seconds: float, backends: int) -> bool:
    """Until requests are served and so many backends take volumes; False when that took too long."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < end:
        found = answers_at(settings)
        if found is not None and found["backends"] >= backends:
            return True
        pause.wait(_LOOK_SECONDS)
    return False
