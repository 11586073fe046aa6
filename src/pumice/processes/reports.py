"""The agent's periodic jobs: what it reports of itself, and the mending that comes around.

    health        each backend and the hypervisor prove that they work; services, pools and the host are reported
    guests        what the hypervisor says of its guests becomes their power
    reconcile     differences of this host between database, hypervisor, exports and pools are found and mended
    images        data of images deleted long ago; uploads and files that crashes left over
    logs          levels that an operator asked for are applied, and what is in force is told
    retention     rows that are over for longer than `[retention]` says; the space they had
    usage audit   the period that is over, where `usage_audit_period` says so

Health proves by doing (a probe written to the pool, an answer of the hypervisor), so a backend that stops working is
out of scheduling within one period, and back by itself (story 5).
"""

import contextlib
import logging
from collections.abc import Callable

import msgspec

from pumice.block import services
from pumice.block.log_levels import AGENT
from pumice.block.services import PoolReport
from pumice.caller import system_caller
from pumice.clock import DAY, SECOND
from pumice.compute import hosts
from pumice.compute.expiry import end_stages
from pumice.compute.hosts import HostReport
from pumice.compute.operations.observe import observe_guests
from pumice.db import space
from pumice.db.engine import Database, DatabaseUnavailable
from pumice.hypervisors.contract import HypervisorError
from pumice.images import deletion
from pumice.images.uploads import sweep
from pumice.metering.periodic_audit import run_due
from pumice.operations.world import Backend, World
from pumice.outcomes import Problem
from pumice.processes import log_levels
from pumice.processes.agent import Job
from pumice.reconcile.model import Options
from pumice.reconcile.run import reconcile
from pumice.retention.purge import purge
from pumice.settings import Settings
from pumice.storage.contract import StorageError
from pumice.targets.contract import TargetError

_log = logging.getLogger(__name__)

HEALTH_SECONDS = 5.0
GUEST_SECONDS = 5.0
STAGE_SECONDS = 10.0
SWEEP_SECONDS = 300.0
RETENTION_SECONDS = 3600.0
AUDIT_SECONDS = 60.0


def jobs(database: Database, world: World, settings: Settings) -> list[Job]:
    """Everything that this agent does now and then."""

    def job(name: str, period: float, function: Callable[[], object]) -> Job:
        return Job(name, period, _patient(name, function))

    grace = Options(grace=settings.hold_grace * SECOND)
    return [
        job("health", HEALTH_SECONDS, lambda: report_health(database, world, settings)),
        job("guests", GUEST_SECONDS, lambda: _observe(database, world)),
        job(
            "stages",
            STAGE_SECONDS,
            lambda: end_stages(database, settings.resize_confirm_window, settings.shelved_offload_time),
        ),
        job("reconcile", settings.reconcile_period, lambda: reconcile(database, world=world, options=grace)),
        job("images", SWEEP_SECONDS, lambda: _sweep_images(database, world, settings)),
        job("logs", log_levels.SECONDS, log_levels.LogLevels(database, AGENT, settings.host).look),
        job("retention", RETENTION_SECONDS, lambda: _purge(database, settings)),
        job("usage audit", AUDIT_SECONDS, lambda: _audit(database, settings)),
    ]


def _patient(name: str, function: Callable[[], object]) -> Callable[[], object]:
    """A database or a driver that is away is not a failure of the job: it comes around again."""

    def run() -> None:
        try:
            function()
        except (DatabaseUnavailable, HypervisorError, StorageError, TargetError) as error:
            _log.warning("%s waits: %s", name, error)

    return run


def report_health(database: Database, world: World, settings: Settings) -> None:
    """Ask every driver and write what they said: the backends before the hypervisor, whose first answer takes seconds,
    so that volumes can be made meanwhile."""
    backends = [(backend, *check_backend(backend)) for backend in world.backends.values()]
    with database.write() as tx:
        services.report_service(tx, services.SCHEDULER_BINARY, world.host, settings.availability_zone, [])
        for backend, found, report in backends:
            zone = backend.availability_zone
            services.report_service(tx, services.VOLUME_BINARY, backend.name, zone, found)
            if report is not None:
                services.report_pool(tx, report)
    host, problems = check_hypervisor(world, settings)
    with database.write() as tx:
        if host is not None:
            hosts.report(tx, host, problems)
        else:
            services.report_service(tx, services.COMPUTE_BINARY, world.host, settings.availability_zone, problems)


def check_backend(backend: Backend) -> tuple[list[Problem], PoolReport | None]:
    """What keeps a backend from working, and its pool as it is (None: it cannot be read)."""
    with contextlib.suppress(StorageError):  # what keeps it from starting, `check` says
        backend.storage.start()
    problems = backend.storage.check()
    try:
        backend.target.start()
        problems = [*problems, *backend.target.check()]
    except TargetError as error:
        problems = [*problems, Problem("target-down", str(error), "see pumice doctor")]
    try:
        stats = backend.storage.stats()
    except StorageError:
        return problems, None
    report = PoolReport(
        name=backend.pool,
        backend=backend.name,
        backend_name=backend.backend_name,
        capabilities={
            **msgspec.to_builtins(backend.storage.capabilities),
            "max_over_subscription_ratio": backend.max_over_subscription,
        },
        total_bytes=stats.total_bytes,
        free_bytes=stats.free_bytes,
        allocated_bytes=stats.allocated_bytes,
        reserved_percentage=backend.reserved_percentage,
    )
    return problems, report


def check_hypervisor(world: World, settings: Settings) -> tuple[HostReport | None, list[Problem]]:
    """What this host is (None: its hypervisor does not answer), and what keeps it from running guests."""
    if world.hypervisor is None:
        return None, [Problem("no-hypervisor", "this agent has no hypervisor", "set hypervisor.driver")]
    try:
        world.hypervisor.start()
        problems = world.hypervisor.check()
        info = world.hypervisor.host_info()
    except HypervisorError as error:
        return None, [Problem("hypervisor-down", str(error), "see pumice doctor")]
    found = HostReport(
        host=info.host,
        hypervisor_type=info.hypervisor_type,
        hypervisor_version=info.hypervisor_version,
        vcpus=info.vcpus,
        memory_mib=settings.hypervisor.machine_memory_mib or info.memory_mib,
        connector=info.connector,
        availability_zone=settings.availability_zone,
    )
    return found, problems


def _observe(database: Database, world: World) -> None:
    if world.hypervisor is not None:
        world.hypervisor.start()
        observe_guests(database, world)


def _sweep_images(database: Database, world: World, settings: Settings) -> None:
    if world.images is not None and world.images.directory.is_dir():
        deletion.purge(database, world.images, settings.image_restore_days * DAY)
        sweep(database, world.images)


def _purge(database: Database, settings: Settings) -> None:
    removed = sum(one.rows for one in purge(database, settings))
    given = space.reclaim(database)
    if removed:
        _log.info("retention removed %d rows and gave %d bytes back", removed, given)


def _audit(database: Database, settings: Settings) -> None:
    if settings.usage_audit_period == "off":
        return
    for summary in run_due(database, settings.usage_audit_setting, caller=system_caller()):
        _log.info("usage audit: %d events sent, %d rows could not be told", summary.sent, summary.failed)
