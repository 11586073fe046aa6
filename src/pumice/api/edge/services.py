"""What the app hands to every call: one object, made by `pumice.processes.api` or by a test."""

from dataclasses import dataclass
from typing import Protocol

from pumice.api.edge.logs import AccessLog
from pumice.db.engine import Database
from pumice.identity.identity import Identity
from pumice.images.store import ImageStore
from pumice.operations.model import OperationRow
from pumice.settings import Settings


class Waiter(Protocol):
    """`pumice.operations.waiting.OperationWaiter`."""

    async def wait(self, operation_id: str, deadline: float) -> OperationRow:
        """The operation once it has ended. Raises DeadlineExceeded after `deadline` seconds."""


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
