"""The API process: uvicorn with uvloop and httptools around the faces.

    serve(loaded.settings)      until SIGTERM or SIGINT; then requests under way are finished

Several API processes may share one port (`reuse_port`) and one database. It beats to the supervisor from its event
loop, so that a loop that hangs is noticed. SIGHUP: the certificate is read again.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
import uvloop

from pumice.api.app import create_app
from pumice.api.edge.face import Face
from pumice.api.edge.logs import AccessLog
from pumice.api.edge.services import Services
from pumice.block.log_levels import API
from pumice.db.engine import Database, DatabaseUnavailable
from pumice.identity.identity import Identity
from pumice.identity.policy import Policy
from pumice.operations.waiting import OperationWaiter
from pumice.processes import garbage, log_levels, tls
from pumice.processes.http_protocol import BoundedHttpProtocol
from pumice.processes.image_store import make_image_store
from pumice.processes.listening import listen
from pumice.processes.liveness import BEAT_SECONDS, Liveness
from pumice.processes.log_levels import LogLevels
from pumice.processes.prepare import prepare as prepare
from pumice.settings import Settings

_log = logging.getLogger(__name__)


@contextmanager
def services_of(settings: Settings) -> Iterator[Services]:
    """What the faces reach, closed at the end."""
    database = Database(settings.database_url, threads=settings.database_threads)
    identity = Identity(Policy.load(Path(settings.policy_file) if settings.policy_file else None))
    waiter = OperationWaiter(database)
    try:
        yield Services(
            settings=settings,
            database=database,
            identity=identity,
            waiter=waiter,
            images=make_image_store(settings),
            access_log=AccessLog(sys.stderr.fileno() if settings.access_log else None),
        )
    finally:
        waiter.close()
        identity.close()
        database.close()


def serve(settings: Settings, listener: socket.socket | None = None) -> None:
    """Serve until a signal ends it. listener: a bound socket in place of `settings.bind`."""
    with services_of(settings) as services:
        server = make_server(services, settings)
        garbage.settle()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_server(server, listener or listen(settings), services))


def make_server(services: Services, settings: Settings, faces: Sequence[Face] | None = None) -> uvicorn.Server:
    """faces: instead of all of them."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(services, faces),
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level=settings.log_level,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=15,
            ssl_certfile=settings.tls_certificate or None,
            ssl_keyfile=settings.tls_key or None,
            log_config=None,
        )
    )


async def run_server(server: uvicorn.Server, listener: socket.socket, services: Services) -> None:
    """Until a signal ends it."""
    settings = services.settings

    def again() -> None:
        if server.config.ssl is not None:
            tls.reload(server.config.ssl, settings)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)
    async with _beating(), _log_levels(services):
        await server.serve([listener])
    services.access_log.flush()


@contextlib.asynccontextmanager
async def _log_levels(services: Services) -> AsyncIterator[None]:
    levels = LogLevels(services.database, API, services.settings.host)

    async def look() -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await levels.look_on()
            await asyncio.sleep(log_levels.SECONDS)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    liveness = Liveness.from_environment()

    async def beat() -> None:
        while True:
            liveness.beat()
            await asyncio.sleep(BEAT_SECONDS)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
