"""Changing services: PUT /os-services/enable, disable, ... (Block Storage API v3, "Services", administrators)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.block import log_levels, services
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField

HostName = Annotated[str, Meta(min_length=1, max_length=255)]


class Which(Struct, forbid_unknown_fields=True):
    """A service by binary (or, as older clients say, service) and host."""

    host: HostName
    binary: Annotated[str, Meta(max_length=255)] | None = None
    service: Annotated[str, Meta(max_length=255)] | None = None
    disabled_reason: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class Reasoned(Struct, forbid_unknown_fields=True):
    host: HostName
    disabled_reason: Annotated[str, Meta(min_length=1, max_length=255)]
    binary: Annotated[str, Meta(max_length=255)] | None = None
    service: Annotated[str, Meta(max_length=255)] | None = None


class Host(Struct, forbid_unknown_fields=True):
    host: HostName


class LogLevels(Struct, forbid_unknown_fields=True):
    """Which processes and loggers; left out or empty: all. `level` is needed to set one."""

    binary: Annotated[str, Meta(max_length=64)] | None = None
    server: Annotated[str, Meta(max_length=255)] | None = None
    prefix: Annotated[str, Meta(max_length=255)] | None = None
    level: Annotated[str, Meta(max_length=16)] | None = None


class Failover(Struct, forbid_unknown_fields=True):
    host: HostName
    backend_id: str | None = None
    cluster: str | None = None


def enable(tx: Transaction, call: Call) -> Any:
    return _switch(tx, call, disabled=False, reason=None)


def disable(tx: Transaction, call: Call) -> Any:
    answer = _switch(tx, call, disabled=True, reason=None)
    del answer["disabled_reason"]
    return answer


def disable_with_reason(tx: Transaction, call: Call) -> Any:
    reason = call.body.disabled_reason.strip()
    if not reason:
        raise InvalidField("disabled_reason", call.body.disabled_reason, "a reason that is not blank")
    return _switch(tx, call, disabled=True, reason=reason)


def _switch(tx: Transaction, call: Call, *, disabled: bool, reason: str | None) -> dict[str, Any]:
    binary = call.body.binary or call.body.service
    if not binary:
        raise BadRequest("Invalid input: the field 'binary' is missing.")
    services.set_disabled(tx, binary, call.body.host, disabled=disabled, reason=reason)
    return {
        "host": call.body.host,
        "service": binary,
        "binary": binary,
        "disabled": disabled,
        "status": "disabled" if disabled else "enabled",
        "disabled_reason": reason,
    }


def freeze(tx: Transaction, call: Call) -> None:
    services.set_frozen(tx, call.body.host, frozen=True)


def thaw(tx: Transaction, call: Call) -> None:
    services.set_frozen(tx, call.body.host, frozen=False)


def set_log(tx: Transaction, call: Call) -> None:
    asked: LogLevels = call.body
    if asked.level is None:
        raise InvalidField("level", asked.level, f"one of {', '.join(log_levels.LEVELS)}")
    log_levels.ask(
        tx, binary=_meant(asked.binary), host=asked.server or None, prefix=asked.prefix or "", level=asked.level
    )


def get_log(tx: Transaction, call: Call) -> Any:
    asked: LogLevels = call.body
    prefix = asked.prefix or ""
    found = log_levels.reported(tx, binary=_meant(asked.binary), host=asked.server or None, prefix=prefix)
    return {"log_levels": [{"binary": one.binary, "host": one.host, "levels": one.levels} for one in found]}


def _meant(binary: str | None) -> str | None:
    return None if binary in (None, "", "*") else binary


def failover(tx: Transaction, call: Call) -> None:
    """No backend here replicates, so there is nothing to fail over to."""
    services.known_backend(tx, call.body.host)
    raise BadRequest(f"Backend {call.body.host} does not replicate; it cannot fail over.")


_ACTION = "volume_extension:services:update"

ROUTES = (
    Route("PUT", "/os-services/enable", enable, action=_ACTION, body=Which, write=True),
    Route("PUT", "/os-services/disable", disable, action=_ACTION, body=Which, write=True),
    Route("PUT", "/os-services/disable-log-reason", disable_with_reason, action=_ACTION, body=Reasoned, write=True),
    Route("PUT", "/os-services/freeze", freeze, action="volume:freeze_host", body=Host, write=True),
    Route("PUT", "/os-services/thaw", thaw, action="volume:thaw_host", body=Host, write=True),
    Route("PUT", "/os-services/failover_host", failover, action="volume:failover_host", body=Failover, status=202),
    Route(
        "PUT",
        "/os-services/failover",
        failover,
        action="volume:failover_host",
        body=Failover,
        since="3.26",
        status=202,
        name="service_actions.failover_cluster",
    ),
    Route("PUT", "/os-services/get-log", get_log, action=_ACTION, body=LogLevels, since="3.32"),
    Route(
        "PUT",
        "/os-services/set-log",
        set_log,
        action=_ACTION,
        body=LogLevels,
        since="3.32",
        status=202,
        write=True,
    ),
)
