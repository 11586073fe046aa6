"""SQL of compute: one server with what its views show, mappings, hosts, in a fixed number of statements."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select

from pumice.compute.model import BlockDeviceMapping, Flavor, Host, Server, ServerWithVolumes
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import block_device_mappings, compute_hosts, flavors, servers

SERVER = columns(servers, Server)
FLAVOR = columns(flavors, Flavor)
MAPPING = columns(block_device_mappings, BlockDeviceMapping)
HOST = columns(compute_hosts, Host)

_ONE_SERVER = select(*SERVER).where(servers.c.id == bindparam("id"), servers.c.deleted_at.is_(None))
_ANY_SERVER = select(*SERVER).where(servers.c.id == bindparam("id"))
_MAPPINGS = (
    select(*MAPPING)
    .where(
        block_device_mappings.c.server_id.in_(bindparam("ids", expanding=True)),
        block_device_mappings.c.deleted_at.is_(None),
    )
    .order_by(block_device_mappings.c.created_at, block_device_mappings.c.device_name, block_device_mappings.c.id)
)
_MAPPING_OF = select(*MAPPING).where(
    block_device_mappings.c.server_id == bindparam("server_id"),
    block_device_mappings.c.volume_id == bindparam("volume_id"),
    block_device_mappings.c.deleted_at.is_(None),
)
_HOST = select(*HOST).where(compute_hosts.c.host == bindparam("host"))


def server(tx: Transaction, server_id: str) -> Server | None:
    """A live server."""
    row = tx.execute(_ONE_SERVER, {"id": server_id}).one_or_none()
    return None if row is None else Server(*row)


def server_even_deleted(tx: Transaction, server_id: str) -> Server | None:
    """A server, deleted or not (until it is purged)."""
    row = tx.execute(_ANY_SERVER, {"id": server_id}).one_or_none()
    return None if row is None else Server(*row)


def mappings_of(tx: Transaction, server_ids: Sequence[str]) -> list[BlockDeviceMapping]:
    """The live mappings of these servers, oldest first."""
    if not server_ids:
        return []
    return [BlockDeviceMapping(*row) for row in tx.execute(_MAPPINGS, {"ids": list(server_ids)})]


def mapping_of(tx: Transaction, server_id: str, volume_id: str) -> BlockDeviceMapping | None:
    """The live mapping of this volume to this server."""
    row = tx.execute(_MAPPING_OF, {"server_id": server_id, "volume_id": volume_id}).one_or_none()
    return None if row is None else BlockDeviceMapping(*row)


def with_volumes(tx: Transaction, rows: Iterable[Sequence[object]]) -> list[ServerWithVolumes]:
    """Rows of SERVER with their mappings: one more statement, whatever the number of rows."""
    found = [Server(*row) for row in rows]  # type: ignore[arg-type]
    mapped: dict[str, list[BlockDeviceMapping]] = defaultdict(list)
    for mapping in mappings_of(tx, [one.id for one in found]):
        if mapping.volume_id is not None and mapping.attachment_id is not None:
            mapped[mapping.server_id].append(mapping)
    return [ServerWithVolumes(one, tuple(mapped.get(one.id, ()))) for one in found]


def host(tx: Transaction, name: str) -> Host | None:
    """A compute host as last reported."""
    row = tx.execute(_HOST, {"host": name}).one_or_none()
    return None if row is None else Host(*row)
