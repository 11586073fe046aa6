"""Pools: GET /scheduler-stats/get_pools, GET /capabilities/{host} (Block Storage API v3, administrators)."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.volume.fields import asked_for
from pumice.api.volume.list_parameters import list_params
from pumice.block import capability_specs, services, volume_types
from pumice.block.model import GIB, Pool
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.errors import NotFound

PROPERTIES = {
    name: {"title": title, "description": description, "type": "boolean"}
    for name, title, description in (
        ("multiattach", "Multi-attach", "A volume may be attached to several servers at once."),
        ("online_extend_support", "Extend in use", "An attached volume can grow."),
        ("thin_provisioning_support", "Thin provisioning", "A volume takes only the space that was written."),
    )
}
"""What the extra specs of a type may ask of a pool, beside its names and sizes."""


def _capabilities(pool: Pool) -> dict[str, Any]:
    found = pool.capabilities
    return {
        "updated": isoformat(pool.reported_at),
        "timestamp": isoformat(pool.reported_at),
        "QoS_support": False,
        "total_capacity_gb": round(pool.total_bytes / GIB, 2),
        "free_capacity_gb": round(pool.free_bytes / GIB, 2),
        "allocated_capacity_gb": round(pool.allocated_bytes / GIB, 2),
        "volume_backend_name": pool.backend_name,
        "driver_version": found.get("driver_version"),
        "reserved_percentage": pool.reserved_percentage,
        "max_over_subscription_ratio": str(found.get("max_over_subscription_ratio", 1.0)),
        "storage_protocol": found.get("storage_protocol"),
        "vendor_name": found.get("vendor_name"),
        "pool_name": pool.name.rpartition("#")[2],
        "multiattach": bool(found.get("multiattach")),
        "thin_provisioning_support": bool(found.get("thin")),
        "online_extend_support": bool(found.get("extend_in_use")),
        "backend_state": "up",
    }


def get_pools(tx: Transaction, call: Call) -> Any:
    params = list_params(call, "pool")
    with_detail = asked_for(call, "detail")
    specs = volume_types.visible(tx, call.caller, params["volume_type"]).extra_specs if "volume_type" in params else {}
    shown = []
    for pool in services.listed_pools(tx):
        if params.get("name", pool.name) != pool.name or capability_specs.refusal(specs, pool) is not None:
            continue
        entry: dict[str, Any] = {"name": pool.name}
        if with_detail:
            entry["capabilities"] = _capabilities(pool)
        shown.append(entry)
    return {"pools": shown}


def show_capabilities(tx: Transaction, call: Call) -> Any:
    """The host is "node1@file", or with its "#pool" (which most clients lose on the way)."""
    host = call.path["host"]
    for pool in services.listed_pools(tx):
        if host in (pool.backend, pool.name):
            found = _capabilities(pool)
            return {
                "namespace": f"OS::Storage::Capabilities::{pool.backend}",
                "vendor_name": found["vendor_name"],
                "volume_backend_name": pool.backend_name,
                "pool_name": pool.name,
                "driver_version": found["driver_version"],
                "storage_protocol": found["storage_protocol"],
                "display_name": f"Capabilities of {pool.backend_name}",
                "description": f"Block storage backend {pool.backend}",
                "visibility": "public",
                "replication_targets": [],
                "properties": PROPERTIES,
            }
    raise NotFound.of("Backend", host)


ROUTES = (
    Route("GET", "/scheduler-stats/get_pools", get_pools, action="scheduler_extension:scheduler_stats:get_pools"),
    Route("GET", "/capabilities/{host}", show_capabilities, action="volume_extension:capabilities"),
)
