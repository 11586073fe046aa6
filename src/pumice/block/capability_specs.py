"""Whether a pool's capabilities are what a volume type's extra specs ask for (Cinder's capabilities filter).

{"volume_backend_name": "fast"}              the capability is exactly that text
{"capabilities:multiattach": "<is> True"}    with the scope "capabilities", or none; other scopes are not ours
operators: =  ==  !=  >=  <=  (numbers; a bare "=" means at least), s==  s!=  s<  s<=  s>  s>=  (texts),
           <in>  <all-in>  <is>  <or>
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from pumice.block.model import GIB, Pool

_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}
_TRUE = ("1", "true", "t", "yes", "y", "on")


def capabilities_of(pool: Pool) -> dict[str, Any]:
    """What types may ask of a pool, by the API's names."""
    found = pool.capabilities
    return {
        "volume_backend_name": pool.backend_name,
        "pool_name": pool.name.rpartition("#")[2],
        "storage_protocol": found.get("storage_protocol"),
        "vendor_name": found.get("vendor_name"),
        "driver_version": found.get("driver_version"),
        "multiattach": bool(found.get("multiattach")),
        "thin_provisioning_support": bool(found.get("thin")),
        "thick_provisioning_support": not found.get("thin"),
        "online_extend_support": bool(found.get("extend_in_use")),
        "QoS_support": False,
        "replication_enabled": False,
        "total_capacity_gb": round(pool.total_bytes / GIB, 2),
        "free_capacity_gb": round(pool.free_bytes / GIB, 2),
        "reserved_percentage": pool.reserved_percentage,
    }


def refusal(extra_specs: Mapping[str, str], pool: Pool) -> str | None:
    """Why the pool is not what the specs ask for; None when it is."""
    found = capabilities_of(pool)
    for key, wanted in extra_specs.items():
        scope, colon, name = key.partition(":")
        if colon and scope != "capabilities":
            continue
        name = name if colon else key
        has = found.get(name)
        if has is None:
            return f"has no capability {name}, the type asks for {wanted}"
        if not satisfies(has, wanted):
            return f"its {name} is {has}, the type asks for {wanted}"
    return None


def satisfies(has: Any, wanted: str) -> bool:
    """Does the capability fit the text of an extra spec?"""
    words = wanted.split()
    sign = words[0] if words else ""
    rest = words[1:]
    if sign in _NUMBERS and rest:
        try:
            return _NUMBERS[sign](float(has), float(rest[0]))
        except (TypeError, ValueError):
            return False
    if sign in _TEXTS and rest:
        return _TEXTS[sign](str(has), rest[0])
    match sign:
        case "<is>":
            return (str(has).lower() in _TRUE) == (" ".join(rest).lower() in _TRUE)
        case "<in>" | "<all-in>":
            return all(word in str(has) for word in rest)
        case "<or>":
            return str(has) in [part.strip() for part in wanted.split("<or>") if part.strip()]
    return str(has) == wanted
