"""Many rows of volumes at once, as if they had been made one by one: for figures of large clouds."""

import json
import random
import uuid
from typing import Any

from sqlalchemy import func, insert, select

from pumice.clock import SECOND
from pumice.db.engine import Database
from pumice.db.schema import volumes

BATCH = 5000
PROJECTS = 20
BACKENDS = 10
STATUSES = (("available", "there"), ("error", "broken"))
NAMES = 100


def grow(database: Database, model_id: str, count: int, *, deleted: int = 0, spread: bool = False) -> None:
    """Copies of the volume `model_id` until there are `count` live ones, and so many deleted ones.

    spread: one of twenty belongs to the model's project, one of ten to each backend, one of 50 is broken."""
    with database.read() as tx:
        model = dict(tx.execute(select(volumes).where(volumes.c.id == model_id)).one()._mapping)
        there = tx.execute(select(func.count()).select_from(volumes).where(volumes.c.deleted_at.is_(None))).scalar_one()
    chance = random.Random(there)
    projects = [model["project_id"], *(str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(PROJECTS - 1))]
    rows: list[dict[str, Any]] = []
    for number in range(count - there + deleted):
        row = {
            **model,
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "name": f"volume-{(there + number) % NAMES}",
            "created_at": model["created_at"] - (number + 1) * SECOND,
        }
        if spread:
            row |= {"project_id": projects[number % PROJECTS], **_place(model, number)}
        if number >= count - there:
            row |= {"life": "gone", "status": "deleted", "deleted_at": model["created_at"], "broken_reason": None}
        rows.append(row)
        if len(rows) == BATCH:
            _store(database, rows)
            rows = []
    if rows:
        _store(database, rows)
    _settle(database)


def _settle(database: Database) -> None:
    """What the database would do in its own time after so many rows is done now."""
    if database.sqlite:
        with database.write() as tx:
            tx.connection.exec_driver_sql("ANALYZE")
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
            connection.exec_driver_sql(statement)


def _place(model: dict[str, Any], number: int) -> dict[str, Any]:
    status, life = STATUSES[number % 50 == 0]
    backend = model["backend"] if number % BACKENDS == 0 else f"node{number % BACKENDS}@file"
    return {
        "backend": backend,
        "pool": f"{backend}#pool",
        "status": status,
        "life": life,
        "broken_reason": "made so" if life == "broken" else None,
    }


def _store(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.write() as tx:
        tx.execute(insert(volumes), rows)


def body(wish: dict[str, Any]) -> bytes:
    """JSON."""
    return json.dumps(wish).encode()
