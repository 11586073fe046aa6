"""What the app hands to every call: one object, made by `pumice.processes.api` or by a test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pumice.api.edge.logs import AccessLog
from pumice.db.engine import Database, Transaction
from pumice.identity.identity import Identity
from pumice.images.store import ImageStore
from pumice.operations.model import OperationRow
from pumice.settings import Settings

T = TypeVar("T")


class Waiter(Protocol):
    """`pumice.operations.waiting.OperationWaiter`."""

    async def wait_then(
        self, operation_id: str, deadline: float, then: Callable[[Transaction, OperationRow], T], read: Any
    ) -> T:
        """`then(tx, row)` once the operation has ended. Raises DeadlineExceeded after `deadline` seconds."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the faces reach."""

    settings: Settings
    database: Database
    identity: Identity
    """Password hashing, the policy, the cache of tokens."""
    waiter: Waiter
    images: ImageStore
    access_log: AccessLog
