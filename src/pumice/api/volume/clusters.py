"""Clusters and clean-up: /clusters (since 3.7), POST /workers/cleanup (since 3.24) (Block Storage API v3).

There are no clusters here: a backend belongs to the agent that can reach it. What a dead agent left is taken over by
itself (`operations.sessions`), so nothing waits for a clean-up; which agents are down is told.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.block import queries, services
from pumice.block.model import Service
from pumice.db.engine import Transaction
from pumice.errors import InvalidField, NotFound

Text = Annotated[str, Meta(max_length=255)]


class ClusterName(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    binary: Text | None = None
    disabled_reason: Text | None = None


class Cleanup(Struct, forbid_unknown_fields=True):
    """Which services; a field that is left out: any."""

    cluster_name: Text | None = None
    disabled: bool | None = None
    host: Text | None = None
    service_id: int | str | None = None
    is_up: bool | None = None
    binary: Text | None = None
    resource_id: Text | None = None
    resource_type: Text | None = None


def listed(_tx: Transaction, _call: Call) -> Any:
    return {"clusters": []}


def show(_tx: Transaction, call: Call) -> Any:
    raise NotFound.of("Cluster", call.path["cluster_name"])


def change(_tx: Transaction, call: Call) -> Any:
    raise NotFound.of("Cluster", call.body.name)


def cleanup(tx: Transaction, call: Call) -> Any:
    """Nothing is to be cleaned; unavailable are the services that were meant and do not work."""
    asked: Cleanup = call.body
    if asked.resource_type not in (None, "Volume", "Snapshot"):
        raise InvalidField("resource_type", asked.resource_type, "Volume or Snapshot")
    if asked.resource_id is not None and not _exists(tx, asked.resource_id, asked.resource_type):
        raise NotFound.of("Resource", asked.resource_id)
    meant = [one for one in services.listed(tx, binary=asked.binary, host=asked.host) if _meant(tx, one, asked)]
    return {
        "cleaning": [],
        "unavailable": [
            {"id": one.id, "host": one.host, "binary": one.binary, "cluster_name": None}
            for one in meant
            if not services.is_up(one, tx.now)
        ],
    }


def _exists(tx: Transaction, resource_id: str, kind: str | None) -> bool:
    volume = kind != "Snapshot" and queries.volume(tx, resource_id) is not None
    return volume or (kind != "Volume" and queries.snapshot(tx, resource_id) is not None)


def _meant(tx: Transaction, service: Service, asked: Cleanup) -> bool:
    return (
        service.binary != services.COMPUTE_BINARY
        and not asked.cluster_name
        and asked.disabled in (None, service.disabled)
        and asked.is_up in (None, services.is_up(service, tx.now))
        and asked.service_id in (None, service.id)
    )


_CLEANUP = "/workers/cleanup"

ROUTES = (
    Route("GET", "/clusters", listed, action="clusters:get_all", since="3.7", name="clusters.list"),
    Route("GET", "/clusters/detail", listed, action="clusters:get_all", since="3.7", name="clusters.detail"),
    Route("GET", "/clusters/{cluster_name}", show, action="clusters:get", since="3.7"),
    Route("PUT", "/clusters/enable", change, action="clusters:update", body=ClusterName, since="3.7"),
    Route("PUT", "/clusters/disable", change, action="clusters:update", body=ClusterName, since="3.7"),
    Route("POST", _CLEANUP, cleanup, action="workers:cleanup", body=Cleanup, since="3.24", status=202),
    # As openstacksdk asks.
    Route(
        "PUT", _CLEANUP, cleanup, action="workers:cleanup", body=Cleanup, since="3.24", status=202, name="workers.put"
    ),
)
