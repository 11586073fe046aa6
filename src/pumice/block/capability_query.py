"""The scheduler hint `query`: a condition on a pool's capabilities, as JSON in prefix form (Cinder's JSON filter).

[">=", "$free_capacity_gb", 10]
["and", ["=", "$volume_backend_name", "fast"], ["not", ["in", "$pool_name", "a", "b"]]]

operators: =  <  >  <=  >=  in (the first is one of the others)  not (none holds)  or  and
a text that begins with $ stands for the capability of that name
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pumice.block import capability_specs
from pumice.block.model import Pool
from pumice.errors import InvalidField

FIELD = "scheduler_hints.query"
_DEEPEST = 16
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "<": lambda one, other: bool(one < other),
    ">": lambda one, other: bool(one > other),
    "<=": lambda one, other: bool(one <= other),
    ">=": lambda one, other: bool(one >= other),
}
_EXPECTED = 'a JSON list as [">=", "$free_capacity_gb", 10]'


def parse(text: str) -> list[Any]:
    """The condition, of a form that can be asked of any pool. Raises InvalidField."""
    try:
        query = msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        raise InvalidField(FIELD, text, f"give {_EXPECTED}") from None
    _check(query, text, 0)
    return query


def _check(part: Any, text: str, depth: int) -> None:
    if not isinstance(part, list):
        return
    known = (*_COMPARISONS, "in", "not", "or", "and")
    if depth > _DEEPEST or len(part) < 2 or part[0] not in known:
        raise InvalidField(FIELD, text, f"give {_EXPECTED}; operators are {', '.join(known)}")
    for inner in part[1:]:
        _check(inner, text, depth + 1)


def holds(query: list[Any], pool: Pool) -> bool:
    """Does the pool fulfil it? What cannot be compared (an unknown capability, text with number) does not."""
    return bool(_value(query, capability_specs.capabilities_of(pool)))


def _value(part: Any, capabilities: Mapping[str, Any]) -> Any:
    if isinstance(part, str) and part.startswith("$"):
        return capabilities.get(part[1:])
    if not isinstance(part, list):
        return part
    sign = part[0]
    values = [_value(inner, capabilities) for inner in part[1:]]
    match sign:
        case "and":
            return all(values)
        case "or":
            return any(values)
        case "not":
            return not any(values)
        case "in":
            return values[0] in values[1:]
    try:
        return all(_COMPARISONS[sign](values[0], other) for other in values[1:])
    except TypeError:
        return False
