"""States of servers: os-resetState, forceDelete, restore; and the graphical consoles, refused by name.

POST /servers/{id}/action and /servers/{id}/remote-consoles (Compute API v2.1).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pumice.api.compute.server_actions import Nothing, action_route
from pumice.api.edge.route import Call, Route
from pumice.compute import servers, states
from pumice.db.engine import Transaction
from pumice.errors import BadRequest


class Reset(Struct, forbid_unknown_fields=True):
    state: Literal["active", "error"]


class ResetBody(Struct, forbid_unknown_fields=True):
    reset: Reset = field(name="os-resetState")


class ForceDeleteBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="forceDelete")


class RestoreBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="restore")


class Console(Struct, forbid_unknown_fields=True):
    type: str


class VncBody(Struct, forbid_unknown_fields=True):
    console: Console = field(name="os-getVNCConsole")


class SpiceBody(Struct, forbid_unknown_fields=True):
    console: Console = field(name="os-getSPICEConsole")


class SerialBody(Struct, forbid_unknown_fields=True):
    console: Console = field(name="os-getSerialConsole")


class RdpBody(Struct, forbid_unknown_fields=True):
    console: Console = field(name="os-getRDPConsole")


class RemoteConsole(Struct, forbid_unknown_fields=True):
    protocol: Literal["vnc", "spice", "rdp", "serial", "mks"]
    type: Annotated[str, Meta(min_length=1, max_length=255)]


class RemoteConsoleBody(Struct, forbid_unknown_fields=True):
    remote_console: RemoteConsole


def reset(tx: Transaction, call: Call) -> None:
    states.reset(tx, call.caller, call.path["server_id"], call.body.reset.state)


def force_delete(tx: Transaction, call: Call) -> None:
    servers.delete(tx, call.caller, call.path["server_id"])


def restore(tx: Transaction, call: Call) -> None:
    states.restore(tx, call.caller, call.path["server_id"])


def console(tx: Transaction, call: Call) -> Any:
    """Guests have a serial console that is written to a log, and no other."""
    servers.get(tx, call.caller, call.path["server_id"])
    asked = call.body.remote_console.type if isinstance(call.body, RemoteConsoleBody) else call.body.console.type
    raise BadRequest(
        f"Unavailable console type {asked}: guests have no graphical console here, and no interactive one;"
        " os-getConsoleOutput shows what they print (openstack console log show)."
    )


_OLD_CONSOLES: tuple[tuple[str, type[Struct]], ...] = (
    ("os-getVNCConsole", VncBody),
    ("os-getSPICEConsole", SpiceBody),
    ("os-getSerialConsole", SerialBody),
    ("os-getRDPConsole", RdpBody),
)

ROUTES: tuple[Route, ...] = (
    action_route("os-resetState", reset, ResetBody),
    action_route("forceDelete", force_delete, ForceDeleteBody),
    action_route("restore", restore, RestoreBody),
    *(action_route(key, console, body, status=200, until="2.5") for key, body in _OLD_CONSOLES),
    Route(
        "POST",
        "/servers/{server_id}/remote-consoles",
        console,
        since="2.6",
        body=RemoteConsoleBody,
        action="compute:servers:remote_console",
        name="server_states.remote_console",
    ),
)
