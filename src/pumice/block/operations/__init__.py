"""The operations of block storage, one file each; `OPERATIONS` is what a worker knows."""

from typing import Any

from pumice.block.operations.connect_attachment import CONNECT_ATTACHMENT
from pumice.block.operations.create_snapshot import CREATE_SNAPSHOT
from pumice.block.operations.create_volume import CREATE_VOLUME
from pumice.block.operations.delete_snapshot import DELETE_SNAPSHOT
from pumice.block.operations.delete_volume import DELETE_VOLUME
from pumice.block.operations.disconnect_attachment import DISCONNECT_ATTACHMENT
from pumice.block.operations.extend_volume import EXTEND_VOLUME
from pumice.block.operations.keeping import DROP_KEPT
from pumice.block.operations.manage_volume import (
    LIST_UNMANAGED,
    MANAGE_SNAPSHOT,
    MANAGE_VOLUME,
    UNMANAGE_SNAPSHOT,
    UNMANAGE_VOLUME,
)
from pumice.block.operations.migrate_volume import MIGRATE_VOLUME, REMOVE_COPY, RETYPE_VOLUME
from pumice.block.operations.reimage_volume import REIMAGE_VOLUME
from pumice.block.operations.revert_volume import REVERT_VOLUME
from pumice.block.operations.upload_volume import UPLOAD_VOLUME
from pumice.operations.model import Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    CREATE_VOLUME,
    DELETE_VOLUME,
    EXTEND_VOLUME,
    UPLOAD_VOLUME,
    REVERT_VOLUME,
    REIMAGE_VOLUME,
    MIGRATE_VOLUME,
    RETYPE_VOLUME,
    REMOVE_COPY,
    DROP_KEPT,
    MANAGE_VOLUME,
    UNMANAGE_VOLUME,
    MANAGE_SNAPSHOT,
    UNMANAGE_SNAPSHOT,
    LIST_UNMANAGED,
    CREATE_SNAPSHOT,
    DELETE_SNAPSHOT,
    CONNECT_ATTACHMENT,
    DISCONNECT_ATTACHMENT,
)
