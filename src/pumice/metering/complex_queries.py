"""Complex queries of samples: a tree of and, or, not over comparisons, several sort keys, a limit.

{"and": [{"=": {"meter": "volume.size"}}, {">": {"volume": 10}}, {"in": {"project": ["p1", "p2"]}}]}
[{"timestamp": "desc"}, {"volume": "asc"}]
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, not_, or_

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.errors import InvalidField
from pumice.metering.conditions import SAMPLE_FIELDS, TIMES, Condition, sample_clause
from pumice.metering.samples import MANY, Sample, all_samples, filtered, of_rows

_COMPARISONS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", "=<": "le", ">": "gt", ">=": "ge", "=>": "ge"}
_DEEPEST = 8
_WIDEST = 100
_SORTS: dict[str, ColumnElement[Any]] = {
    **{name: column for name, column in SAMPLE_FIELDS.items() if name != "source"},
    **dict.fromkeys(TIMES, events.c.generated),
    "meter": MANY.meter,
    "counter_name": MANY.meter,
    "volume": MANY.volume,
    "counter_volume": MANY.volume,
    "message_id": events.c.message_id,
}


def query_samples(tx: Transaction, caller: Caller, tree: Any, orderby: Any, limit: int) -> list[Sample]:
    """Samples that the tree holds for, newest first if not said otherwise. Raises InvalidField naming the place."""
    statement = filtered(all_samples(), MANY, caller, ())
    if tree:
        statement = statement.where(_clause(tree, "filter", 0))
    statement = statement.order_by(*_order(orderby), events.c.message_id.desc(), MANY.meter)
    return of_rows(tx.execute(statement.limit(limit)))


def _clause(node: Any, place: str, depth: int) -> ColumnElement[bool]:
    if depth > _DEEPEST:
        raise InvalidField(place, node, f"nest {_DEEPEST} levels at most")
    operator, value = _single(node, place)
    where = f"{place}.{operator}"
    if operator in ("and", "or"):
        if not isinstance(value, list) or not 1 <= len(value) <= _WIDEST:
            raise InvalidField(where, value, f"give a list of 1 to {_WIDEST} conditions")
        parts = [_clause(part, f"{where}[{index}]", depth + 1) for index, part in enumerate(value)]
        return and_(*parts) if operator == "and" else or_(*parts)
    if operator == "not":
        return not_(_clause(value, where, depth + 1))
    field, compared = _single(value, where)
    if operator == "in":
        if not isinstance(compared, list) or not 1 <= len(compared) <= _WIDEST:
            raise InvalidField(f"{where}.{field}", compared, f"give a list of 1 to {_WIDEST} values")
        return or_(*(_comparison(field, "eq", one, where) for one in compared))
    if operator not in _COMPARISONS:
        raise InvalidField(place, operator, f"operators are and, or, not, in, {', '.join(_COMPARISONS)}")
    return _comparison(field, _COMPARISONS[operator], compared, where)


def _comparison(field: str, op: str, value: Any, place: str) -> ColumnElement[bool]:
    if isinstance(value, dict | list) or value is None:
        raise InvalidField(f"{place}.{field}", value, "give a text, a number or a boolean")
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return sample_clause(Condition(field, op, "float" if numeric else "", value), MANY)


def _single(node: Any, place: str) -> tuple[str, Any]:
    if not isinstance(node, Mapping) or len(node) != 1:
        raise InvalidField(place, node, "give an object with one key")
    return next(iter(node.items()))


def _order(orderby: Any) -> list[ColumnElement[Any]]:
    if not orderby:
        return [events.c.generated.desc()]
    if not isinstance(orderby, list) or len(orderby) > len(_SORTS):
        raise InvalidField("orderby", orderby, 'give a list like [{"timestamp": "desc"}]')
    found: list[ColumnElement[Any]] = []
    for index, part in enumerate(orderby):
        field, direction = _single(part, f"orderby[{index}]")
        if field not in _SORTS:
            raise InvalidField(f"orderby[{index}]", field, f"sort keys are {', '.join(_SORTS)}")
        if str(direction).lower() not in ("asc", "desc"):
            raise InvalidField(f"orderby[{index}].{field}", direction, "directions are asc and desc")
        column = _SORTS[field]
        found.append(column.asc() if str(direction).lower() == "asc" else column.desc())
    return found
