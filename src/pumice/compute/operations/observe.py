"""What the hypervisor says of its guests, made facts: a guest that crashed or shut itself down is SHUTOFF.

Called by the agent now and then. Servers with an operation under way are left to it, and so are those whose row has
changed since the hypervisor was asked.
"""

from sqlalchemy import exists, select, update

from pumice.compute.facts import refresh_server
from pumice.db.engine import Database, Transaction
from pumice.db.schema import operation_resources, servers
from pumice.hypervisors.contract import GuestState
from pumice.operations.world import World

POWER = {
    GuestState.RUNNING: "on",
    GuestState.PAUSED: "paused",
    GuestState.SUSPENDED: "suspended",
    GuestState.SHUTOFF: "off",
    GuestState.CRASHED: "off",
    GuestState.ABSENT: "off",
}


def observe_guests(database: Database, world: World) -> list[str]:
    """Look once; the ids of servers whose power was another than known. Raises HypervisorDown."""
    if world.hypervisor is None:
        return []
    asked = database.clock.now()
    found = {server_id: POWER[state] for server_id, state in world.hypervisor.guests().items()}
    with database.read() as tx:
        statement = select(servers.c.id, servers.c.power).where(
            servers.c.host == world.host, servers.c.life == "there", servers.c.deleted_at.is_(None)
        )
        known = {row.id: row.power for row in tx.execute(statement)}
    changed = {one: found.get(one, "off") for one, power in known.items() if found.get(one, "off") != power}
    return database.run_write(_record, changed, asked) if changed else []


def _record(tx: Transaction, changed: dict[str, str], asked: int) -> list[str]:
    recorded = []
    held = exists().where(
        operation_resources.c.resource_type == "server",
        operation_resources.c.resource_id == servers.c.id,
    )
    for server_id, power in changed.items():
        statement = (
            update(servers)
            .where(servers.c.id == server_id, servers.c.life == "there", servers.c.updated_at < asked, ~held)
            .values(power=power, updated_at=tx.now)
        )
        if tx.execute(statement).rowcount:
            refresh_server(tx, server_id)
            recorded.append(server_id)
    return recorded
