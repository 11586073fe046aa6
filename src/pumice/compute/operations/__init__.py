"""The operations of compute, one file each; `OPERATIONS` is what a worker knows."""

from typing import Any

from pumice.compute.operations.attach_volume import ATTACH_VOLUME
from pumice.compute.operations.create_server import CREATE_SERVER
from pumice.compute.operations.delete_server import DELETE_SERVER
from pumice.compute.operations.detach_volume import DETACH_VOLUME
from pumice.compute.operations.power_server import POWER_OPERATIONS
from pumice.compute.operations.read_console import READ_CONSOLE
from pumice.operations.model import Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    CREATE_SERVER,
    DELETE_SERVER,
    *POWER_OPERATIONS,
    ATTACH_VOLUME,
    DETACH_VOLUME,
    READ_CONSOLE,
)
