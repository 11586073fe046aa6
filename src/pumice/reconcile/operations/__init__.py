"""The operations of the reconciler, one file each; `OPERATIONS` is what a worker knows."""

from typing import Any

from pumice.operations.model import Operation
from pumice.reconcile.operations.look_at_host import LOOK_AT_HOST
from pumice.reconcile.operations.mend_host import MEND_HOST

OPERATIONS: tuple[Operation[Any], ...] = (LOOK_AT_HOST, MEND_HOST)
