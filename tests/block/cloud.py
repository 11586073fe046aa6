"""A volume cloud in one process: a real database, the memory pool, and a worker that runs when told to.

cloud.write(volume_creation.create, cloud.member, Wanted(size=1))     one transaction, as a face would call it
cloud.drain()                                                         run every operation as far as it goes
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select

from pumice.block import queries, quotas, services, volume_types
from pumice.block.facts import live_operations, read_marks
from pumice.block.operations import OPERATIONS
from pumice.block.services import PoolReport
from pumice.block.status import AttachmentFacts, VolumeFacts, VolumeStatus, attachment_status, snapshot_status
from pumice.block.status import volume_status as derive
from pumice.caller import Caller, new_id, new_request_id
from pumice.db.engine import Database, Transaction
from pumice.db.schema import attachments, metadata, snapshots, volume_holds, volumes
from pumice.operations import claiming, store
from pumice.operations.model import Registry
from pumice.operations.runner import Runner
from pumice.operations.sessions import WorkerSession
from pumice.operations.world import Backend, World
from pumice.storage.config import PoolConfig
from pumice.storage.contract import GIB
from pumice.storage.memory import MemoryDriver
from pumice.targets.config import TargetConfig
from pumice.targets.local import LocalTarget

T = TypeVar("T")

HOST = "node1"
BACKEND = "node1@memory"


def prepare(url: str) -> None:
    """An empty database with the schema."""
    database = Database(url)
    metadata.create_all(database.engine)
    database.close()


class BlockCloud:
    """See the head of this file. `storage` is the memory pool: look into it, or tell it to fail."""

    def __init__(self, url: str, folder: Path, *, size_gib: int = 100) -> None:
        self.database = Database(url)
        self.storage = MemoryDriver(PoolConfig(name="memory", size_bytes=size_gib * GIB))
        self.storage.start()
        self.target = LocalTarget(TargetConfig(name="memory", host=HOST, directory=str(folder / "exports")))
        self.target.start()
        backend = Backend(BACKEND, f"{BACKEND}#pool", "memory", "nova", self.storage, self.target)
        self.world = World(host=HOST, backends={BACKEND: backend})
        self.registry = Registry()
        self.registry.add(*OPERATIONS)
        (folder / "sessions").mkdir(parents=True, exist_ok=True)
        self.session = WorkerSession.open(
            self.database, host=HOST, places=["backend:" + BACKEND], folder=folder / "sessions"
        )
        self._runner = Runner(self.database, self.registry, self.world, self.session, threading.Event())
        self.member = self.caller()
        self.admin = self.caller(roles=("admin",))
        self.service = self.caller(roles=("admin", "service"), service=True)
        self.write(volume_types.ensure_default)
        # Tests of other things make as many and as large volumes as they like.
        self.write(quotas.set_for_class, quotas.DEFAULT_CLASS, dict.fromkeys(quotas.DEFAULTS, -1))
        self.report()

    @staticmethod
    def caller(*, roles: tuple[str, ...] = ("member",), project_id: str | None = None, service: bool = False) -> Caller:
        return Caller(
            request_id=new_request_id(),
            user_id=new_id(),
            project_id=project_id or new_id(),
            roles=frozenset(roles),
            has_service_token=service,
        )

    def close(self) -> None:
        self.session.close()
        self.database.close()

    def report(self, problems: list[Any] | None = None) -> None:
        """What the agent would say of its backend now."""
        stats = self.storage.stats()
        names = ("multiattach", "atomic_snapshot", "thin")
        capabilities = {name: getattr(self.storage.capabilities, name) for name in names}
        report = PoolReport(
            name=f"{BACKEND}#pool",
            backend=BACKEND,
            backend_name="memory",
            capabilities=capabilities,
            total_bytes=stats.total_bytes,
            free_bytes=stats.free_bytes,
            allocated_bytes=stats.allocated_bytes,
        )
        self.write(services.report_service, services.VOLUME_BINARY, BACKEND, "nova", problems or [])
        self.write(services.report_pool, report)

    def write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.write() as tx:
            return function(tx, *args, **kwargs)

    def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.read() as tx:
            return function(tx, *args, **kwargs)

    def drain(self) -> None:
        """Run every operation that may run now, until none is left."""
        kinds = self.registry.kinds()
        while True:
            self.write(claiming.claim, self.session.id, self.session.reach, kinds, 100)
            waiting = self.read(claiming.assigned, self.session.id, kinds, 100)
            if not waiting:
                return
            for one in waiting:
                row = self.read(store.get, one.id)
                assert row is not None
                self._runner.run(row)

    def status(self, volume_id: str) -> str:
        found = self.read(queries.volume_even_deleted, volume_id)
        assert found is not None
        return found.status

    def assert_derived(self) -> None:
        """Every cached word is what the facts say."""
        with self.database.read() as tx:
            for row in tx.execute(select(volumes)).all():
                assert VolumeStatus(row.status, row.attach_status, row.migration_status) == derive(_facts(tx, row))
            for row in tx.execute(select(snapshots)).all():
                mark = read_marks(tx, "snapshot", row.id).status
                assert row.status == snapshot_status(row.life, live_operations(tx, "snapshot", row.id), mark)
            for row in tx.execute(select(attachments)).all():
                assert row.attach_status == attachment_status(_attachment_facts(tx, row))


def _facts(tx: Transaction, row: Any) -> VolumeFacts:
    attached = select(attachments).where(attachments.c.volume_id == row.id, attachments.c.deleted_at.is_(None))
    holds = select(volume_holds.c.kind).where(volume_holds.c.volume_id == row.id)
    return VolumeFacts(
        life=row.life,
        migration=row.migration,
        operations=live_operations(tx, "volume", row.id),
        attachments=tuple(_attachment_facts(tx, one) for one in tx.execute(attached)),
        holds=frozenset(tx.execute(holds).scalars()),
        marks=read_marks(tx, "volume", row.id),
    )


def _attachment_facts(tx: Transaction, row: Any) -> AttachmentFacts:
    live = live_operations(tx, "attachment", row.id)
    return AttachmentFacts(row.stage, row.failure is not None, live[0] if live else None)
