"""The checks of `pumice doctor`: what is looked at, what was found, why it matters, how to fix it.

    for result in check_all(settings): ...

What a running agent owns (hypervisor, pools) is not opened a second time: the agent's own last report is read. Without
an agent it is opened here. Nothing is changed, except that a pool which was never used is made.
"""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from pumice.block import services
from pumice.block.model import Service
from pumice.db.engine import Database, DatabaseUnavailable
from pumice.db.migrations import HEAD
from pumice.db.upgrade import revision
from pumice.outcomes import Problem
from pumice.processes.reports import check_backend, check_hypervisor
from pumice.processes.world import build
from pumice.reconcile.asking import living_hosts
from pumice.settings import Settings
from pumice.storage.contract import GIB

Verdict = Literal["good", "warning", "bad"]
LOW_SPACE = 1 * GIB


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One check. `fix` only where something is wrong."""

    name: str
    verdict: Verdict
    found: str
    why: str
    fix: str = ""


def check_all(settings: Settings) -> Iterator[Result]:
    """Every check, the cheap ones first."""
    yield from _programs(settings)
    yield from _state_directory(settings)
    yield _clouds(settings)
    yield _space(settings)
    yield from _database_and_parts(settings)
    yield _port(settings)


# ---- programs

_QEMU = "qemu-system-x86_64"


def _programs(settings: Settings) -> Iterator[Result]:
    if settings.hypervisor.driver == "libvirt":
        yield _program(_QEMU, "runs the guests", "qemu-system-x86", "bad", "--version")
    yield _program("qemu-img", "converts images that are not raw", "qemu-utils", "warning", "--version")
    if any(one.driver == "file" and one.mount == "auto" for one in settings.backends):
        why = "makes a pool with instant snapshots where the directory cannot reflink"
        yield _program("mkfs.xfs", why, "xfsprogs", "warning", "-V")
        yield _program("mount", "mounts that pool", "mount", "warning", "--version")
        yield _program("losetup", "mounts that pool", "mount", "warning", "--version")
        root = os.geteuid() == 0
        yield Result(
            name="may mount",
            verdict="good" if root else "warning",
            found="runs as root" if root else f"runs as user {os.geteuid()}",
            why="only root may mount a pool with instant snapshots; else they are copies where ext4 is below",
            fix="" if root else "run as root, or put the pool on a reflink file system (XFS, Btrfs)",
        )


def _program(program: str, why: str, package: str, missing: Verdict, version: str) -> Result:
    path = shutil.which(program)
    if path is None:
        fix = f"apt-get install {package}"
        return Result(name=program, verdict=missing, found="not found in PATH", why=why, fix=fix)
    try:
        said = subprocess.run([path, version], capture_output=True, text=True, timeout=10, check=False)
        line = (said.stdout or said.stderr).strip().splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        return Result(name=program, verdict=missing, found=str(error), why=why, fix=f"reinstall {package}")
    return Result(name=program, verdict="good", found=line[0] if line else path, why=why)


# ---- files


def _state_directory(settings: Settings) -> Iterator[Result]:
    state, why = settings.state, "holds database, pools, images and passwords; nobody else should read it"
    if not state.is_dir():
        fix = f"pumice serve --state {state} makes it"
        yield Result(name="state directory", verdict="warning", found=f"{state} is not there yet", why=why, fix=fix)
        return
    mode = stat.S_IMODE(state.stat().st_mode)
    if not os.access(state, os.W_OK | os.X_OK):
        found, fix = f"{state} cannot be written", f"chown {os.geteuid()} {state}"
        yield Result(name="state directory", verdict="bad", found=found, why=why, fix=fix)
    elif mode & 0o022:
        found, fix = f"{state} can be written by others (mode {mode:o})", f"chmod 700 {state}"
        yield Result(name="state directory", verdict="bad", found=found, why=why, fix=fix)
    else:
        yield Result(name="state directory", verdict="good", found=f"{state} (mode {mode:o})", why=why)


def _clouds(settings: Settings) -> Result:
    path, why = settings.state / "clouds.yaml", "holds the passwords that the clients log in with"
    if not path.exists():
        fix = "it is made at the first start: pumice serve"
        return Result(name="clouds.yaml", verdict="warning", found="not there", why=why, fix=fix)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        found = f"others may read it (mode {mode:o})"
        return Result(name="clouds.yaml", verdict="bad", found=found, why=why, fix=f"chmod 600 {path}")
    return Result(name="clouds.yaml", verdict="good", found=f"{path} (mode {mode:o})", why=why)


def _space(settings: Settings) -> Result:
    where = next(one for one in (settings.state, *settings.state.parents) if one.exists())
    free = shutil.disk_usage(where).free
    enough = free >= LOW_SPACE
    return Result(
        name="space",
        verdict="good" if enough else "bad",
        found=f"{free / GIB:.1f} GiB free at {where}",
        why="the database and the pool files grow there; a full disk stops every write",
        fix="" if enough else "free space, or move the state directory",
    )


# ---- database, and what agents own


def _database_and_parts(settings: Settings) -> Iterator[Result]:
    why = "every fact is in it"
    if not settings.database and not (settings.state / "pumice.db").exists():
        fix = "it is made at the first start: pumice serve"
        yield Result(name="database", verdict="warning", found="not there yet", why=why, fix=fix)
        yield from _open_parts(settings)
        return
    database = Database(settings.database_url, threads=2)
    try:
        found = revision(database)
        if found != HEAD:
            sentence = f"it stands at migration {found or 'none'}, this program needs {HEAD}"
            yield Result(name="database", verdict="bad", found=sentence, why=why, fix="pumice db upgrade")
            return
        sentence = f"{database.url.get_backend_name()}, at migration {HEAD}"
        yield Result(name="database", verdict="good", found=sentence, why=why)
        with database.read() as tx:
            agents = living_hosts(tx)
            reported = services.listed(tx)
            now = tx.now
        if settings.host not in agents:
            yield from _open_parts(settings)
        yield from _reported(reported, agents, now, settings.host)
    except DatabaseUnavailable as error:
        fix = "start the database server, or correct the setting `database`"
        yield Result(name="database", verdict="bad", found=error.cause or error.message, why=why, fix=fix)
    finally:
        database.close()


def _open_parts(settings: Settings) -> Iterator[Result]:
    """No agent owns them now: open them here."""
    fix = f"pumice serve --state {settings.state}"
    why = "it runs every operation; without one nothing is made, attached or deleted"
    yield Result(name="agent", verdict="warning", found=f"none runs on {settings.host}", why=why, fix=fix)
    world = build(settings)
    for backend in world.backends.values():
        problems, report = check_backend(backend)
        kind = "instant snapshots" if backend.storage.capabilities.instant_clone else "snapshots are copies"
        space = f"{report.free_bytes / GIB:.1f} GiB free, {kind}" if report is not None else ""
        yield _of_problems(f"backend {backend.name}", problems, space, "volumes are made there")
    host, problems = check_hypervisor(world, settings)
    found = f"{host.hypervisor_type} {host.hypervisor_version}" if host is not None else ""
    yield _of_problems(f"hypervisor {settings.host}", problems, found, "guests run there")


def _reported(found: list[Service], agents: list[str], now: int, here: str) -> Iterator[Result]:
    for service in found:
        host = service.host.partition("@")[0]
        if host == here and here not in agents:
            continue  # opened here instead
        seconds = (now - service.reported_at) // 1_000_000
        name, why = f"{service.binary} {service.host}", "what it last said of itself"
        if now - service.reported_at > services.DOWN_AFTER:
            fix = f"start the agent of {host}"
            yield Result(name=name, verdict="bad", found=f"not heard of for {seconds} s", why=why, fix=fix)
        else:
            problems = [msgspec.convert(one, Problem) for one in service.problems]
            yield _of_problems(name, problems, f"works, said {seconds} s ago", why)
            yield from _clock(service.host, now, service.reported_at)


def _clock(host: str, now: int, reported_at: int) -> Iterator[Result]:
    if reported_at > now + 5_000_000:
        ahead = (reported_at - now) // 1_000_000
        why = "times of events and leases would not fit together"
        fix = "synchronise the clocks (chrony)"
        yield Result(name=f"clock of {host}", verdict="bad", found=f"{ahead} s ahead of ours", why=why, fix=fix)


def _of_problems(name: str, problems: list[Problem], good: str, why: str) -> Result:
    if not problems:
        return Result(name=name, verdict="good", found=good or "works", why=why)
    found, fix = "; ".join(one.sentence for one in problems), "; ".join(one.fix for one in problems)
    return Result(name=name, verdict="bad", found=found, why=why, fix=fix)


def _port(settings: Settings) -> Result:
    host, port = settings.listen
    why = "clients come in there"
    lock = Path(settings.state / "serve.lock")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)) == 0
    found = f"{settings.bind} answers" if taken else f"{settings.bind} is free"
    if taken and not lock.exists():
        fix = "choose another: pumice serve --bind HOST:PORT"
        return Result(name="port", verdict="warning", found=f"{found}, but no pumice serve here", why=why, fix=fix)
    return Result(name="port", verdict="good", found=found, why=why)
