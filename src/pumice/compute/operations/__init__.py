"""The operations of compute, one file each; `OPERATIONS` is what a worker knows."""

from typing import Any

from pumice.compute.operations.attach_volume import ATTACH_OFFLOADED, ATTACH_VOLUME
from pumice.compute.operations.clear_kept import CLEAR_KEPT
from pumice.compute.operations.create_server import CREATE_SERVER
from pumice.compute.operations.delete_server import DELETE_SERVER
from pumice.compute.operations.detach_volume import DETACH_VOLUME
from pumice.compute.operations.move_attachment import PARK_ATTACHMENT, RETURN_ATTACHMENT
from pumice.compute.operations.power_server import POWER_OPERATIONS
from pumice.compute.operations.read_console import READ_CONSOLE
from pumice.compute.operations.rebuild_server import REBUILD_SERVER
from pumice.compute.operations.resize_server import CONFIRM_RESIZE, RESIZE_SERVER, REVERT_RESIZE
from pumice.compute.operations.shelve_server import OFFLOAD_SERVER, SHELVE_SERVER, UNSHELVE_SERVER
from pumice.compute.operations.snapshot_server import SNAPSHOT_SERVER, SNAPSHOT_VOLUMES
from pumice.operations.model import Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    CREATE_SERVER,
    DELETE_SERVER,
    *POWER_OPERATIONS,
    REBUILD_SERVER,
    RESIZE_SERVER,
    CONFIRM_RESIZE,
    REVERT_RESIZE,
    SHELVE_SERVER,
    OFFLOAD_SERVER,
    UNSHELVE_SERVER,
    PARK_ATTACHMENT,
    RETURN_ATTACHMENT,
    SNAPSHOT_SERVER,
    SNAPSHOT_VOLUMES,
    CLEAR_KEPT,
    ATTACH_VOLUME,
    ATTACH_OFFLOADED,
    DETACH_VOLUME,
    READ_CONSOLE,
)
