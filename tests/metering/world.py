"""A database with volumes and snapshots put there by hand, for tests of what is billed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, insert, select

from pumice.caller import Caller, new_id, system_caller
from pumice.clock import parse
from pumice.db.engine import Database
from pumice.db.schema import attachments, events, metadata, snapshots, volume_types, volumes

PROJECT = "11111111-1111-1111-1111-111111111111"
OTHER_PROJECT = "22222222-2222-2222-2222-222222222222"
USER = "33333333-3333-3333-3333-333333333333"
TYPE = "44444444-4444-4444-4444-444444444444"

ADMIN = system_caller("req-55555555-5555-5555-5555-555555555555")


def reader(project_id: str = PROJECT) -> Caller:
    return Caller(request_id="req-1", user_id=USER, project_id=project_id, roles=frozenset({"reader"}))


def prepare(url: str) -> None:
    """An empty database with the schema and one volume type."""
    database = Database(url)
    metadata.create_all(database.engine)
    with database.write() as tx:
        row = {"id": TYPE, "name": "default", "is_public": True, "is_default": True, "extra_specs": {}, "created_at": 1}
        tx.execute(insert(volume_types), row)
    database.close()


class Meters:
    """The database, and how to put something into it."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)

    def volume(self, created: str | int, deleted: str | int | None = None, **values: Any) -> str:
        row = {
            "id": new_id(),
            "project_id": PROJECT,
            "user_id": USER,
            "name": "data",
            "size": 1,
            "volume_type_id": TYPE,
            "availability_zone": "nova",
            "backend": "node1@file",
            "pool": "node1@file#pool",
            "metadata": {},
            "image_metadata": None,
            "bootable": False,
            "multiattach": False,
            "read_only": False,
            "consumes_quota": True,
            "life": "there" if deleted is None else "gone",
            "status": "available" if deleted is None else "deleted",
            "attach_status": "detached",
            "created_at": _time(created),
            "launched_at": _time(created),
            "deleted_at": None if deleted is None else _time(deleted),
            **values,
        }
        with self.database.write() as tx:
            tx.execute(insert(volumes), row)
        return str(row["id"])

    def snapshot(self, volume_id: str, created: str, **values: Any) -> str:
        row = {
            "id": new_id(),
            "volume_id": volume_id,
            "project_id": PROJECT,
            "user_id": USER,
            "name": "before",
            "size": 2,
            "backend": "node1@file",
            "metadata": {"why": "upgrade"},
            "consumes_quota": True,
            "life": "there",
            "status": "available",
            "created_at": _time(created),
            **values,
        }
        with self.database.write() as tx:
            tx.execute(insert(snapshots), row)
        return str(row["id"])

    def attachment(self, volume_id: str, server_id: str) -> str:
        row = {
            "id": new_id(),
            "volume_id": volume_id,
            "project_id": PROJECT,
            "user_id": USER,
            "server_id": server_id,
            "host": "node1",
            "device": "/dev/sdb",
            "mode": "rw",
            "origin": "compute",
            "shared": False,
            "connector": {"host": "node1", "initiator": "iqn.secret"},
            "connection_info": {"driver_volume_type": "iscsi", "data": {"auth_password": "hush"}},
            "stage": "attached",
            "attach_status": "attached",
            "created_at": 1,
            "attached_at": 1,
        }
        with self.database.write() as tx:
            tx.execute(insert(attachments), row)
        return str(row["id"])

    def events(self, event_type: str | None = None) -> list[Any]:
        """Every event as stored, in its order."""
        statement = select(events).order_by(events.c.sequence)
        if event_type is not None:
            statement = statement.where(events.c.event_type == event_type)
        with self.database.read() as tx:
            return list(tx.execute(statement))

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The statements that run meanwhile."""
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            seen.append(statement)

        engines = {self.database._writer, self.database._reader}
        if not self.database.sqlite:
            engines = {self.database._writer}
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)


def _time(value: str | int) -> int:
    return value if isinstance(value, int) else parse(value)
