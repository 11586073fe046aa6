"""Lists: filters, several sort keys, keyset marker, limit and offset, the same in both databases.

    VOLUMES = Listing(
        volumes,
        filters={"name": text_filter(volumes.c.name), "status": text_filter(volumes.c.status)},
        sorts={"name": volumes.c.name, "created_at": volumes.c.created_at},
        default_sort=(("created_at", "desc"),),
        noun="Volume",
    )
    request = VOLUMES.parse(call.params)                        raises InvalidField
    page = VOLUMES.page(tx, select(*COLUMNS).where(...), request, lambda row: Volume(*row))

The statement selects from the listed table (joins are fine); `parse` knows `limit`, `marker`, `offset`, `sort`
("key:dir,key:dir"), `sort_key`, `sort_dir`, `with_count`; other names are filters, or ignored. The id breaks ties.
NULLs sort below every value in both databases.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Integer, Select, Table, and_, bindparam, false, func, or_, tuple_

from pumice import clock
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField, PumiceError

T = TypeVar("T")

MAX_LIMIT = 1000
_MAX_OFFSET = 2**31 - 1
_MAX_PARTS = 16
"""Sort keys of a list, comparisons of a filter: each becomes a part of the statement."""
_KEPT = 100
"""Statements of a listing."""

Direction = Literal["asc", "desc"]
Filter = Callable[[str, str], ColumnElement[bool]]
"""`filter(name, text)` is the condition for a parameter's text. Raises InvalidField."""


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What of a list is asked for."""

    limit: int = MAX_LIMIT
    marker: str | None = None
    """The id of the last item of the page before."""
    offset: int = 0
    sorts: tuple[tuple[str, Direction], ...] = ()
    """Without the id; empty: the listing's default."""
    filters: tuple[tuple[str, str], ...] = ()
    with_count: bool = False


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page. `next_marker` is None on the last one; `total` counts all that the filters match, where asked for."""

    items: list[T]
    next_marker: str | None = None
    total: int | None = None


class Listing:
    """How one table is listed; see the head of this file."""

    def __init__(
        self,
        table: Table,
        *,
        filters: Mapping[str, Filter],
        sorts: Mapping[str, ColumnElement[Any]],
        default_sort: Sequence[tuple[str, Direction]] = (("created_at", "desc"),),
        noun: str = "Item",
        max_limit: int = MAX_LIMIT,
        key: ColumnElement[Any] | None = None,
        full_page_links: bool = False,
        marker_error: type[PumiceError] = BadRequest,
    ) -> None:
        self.table = table
        self.filters = dict(filters)
        self.sorts = dict(sorts)
        self.default_sort = tuple(default_sort)
        self.noun = noun
        self.max_limit = max_limit
        self.key: ColumnElement[Any] = table.c.id if key is None else key
        self.full_page_links = full_page_links
        """Every full page has a next one, though it may be empty: what clients of the Block Storage API know."""
        self.marker_error = marker_error
        self._kept: dict[Any, Select[Any]] = {}

    def parse(self, params: Mapping[str, str], *, ignore: Sequence[str] = ()) -> PageRequest:
        """The request of a query's parameters. Filters named in `ignore` are left out. Raises InvalidField."""
        marker = params.get("marker") or None
        return PageRequest(
            limit=self._limit(params["limit"]) if "limit" in params else self.max_limit,
            marker=marker,
            offset=_whole("offset", params["offset"], 0) if "offset" in params else 0,
            sorts=self._sorts(params),
            filters=tuple((name, params[name]) for name in params if name in self.filters and name not in ignore),
            with_count=truth("with_count", params["with_count"]) if "with_count" in params else False,
        )

    def page(
        self,
        tx: Transaction,
        statement: Select[Any],
        request: PageRequest,
        record: Callable[[Any], T],
        parameters: Mapping[str, Any] | None = None,
    ) -> Page[T]:
        """One page of the statement's rows as records with an `id`. A marker that is none of those rows (before the
        request's filters) raises BadRequest, or what the listing says: what the caller may not see is no marker.

        parameters: of a statement that was made once; what is made of it for a page without filters is kept too."""
        given, total = dict(parameters or {}), None
        if request.with_count:
            counted = self.filtered(statement, request).order_by(None)
            counted = counted.with_only_columns(func.count(), maintain_column_froms=True)
            total = int(tx.execute(counted, given).scalar_one())
        keep = parameters is not None
        values = None if request.marker is None else self._values(tx, statement, request, given, keep)
        if keep and not request.filters:
            missing = None if values is None else tuple(value is None for value in values)
            shape = (statement, request.sorts, missing, bool(request.offset))
            asked = self._kept_as(shape, lambda: self._asked(statement, request, values))
        else:
            asked = self._asked(statement, request, values)
        given |= {"page_limit": request.limit + 1}
        given |= {"page_offset": request.offset} if request.offset else {}
        given |= {f"after_{place}": value for place, value in enumerate(values or ()) if value is not None}
        rows = tx.execute(asked, given).all()
        more = len(rows) > request.limit or (self.full_page_links and len(rows) == request.limit)
        rows = rows[: request.limit]
        return Page([record(row[:-1]) for row in rows], str(rows[-1][-1]) if more and rows else None, total)

    def _asked(self, statement: Select[Any], request: PageRequest, values: Sequence[Any] | None) -> Select[Any]:
        """The statement of the page behind the row with these values of the sort keys."""
        order = self._order(request)
        statement = self.filtered(statement, request)
        if values is not None:
            statement = statement.where(_after(order, values))
        statement = statement.order_by(*(_ordered(column, direction) for column, direction in order))
        if request.offset:
            statement = statement.offset(bindparam("page_offset", type_=Integer))
        statement = statement.limit(bindparam("page_limit", type_=Integer))
        return statement.add_columns(self.key.label("page_key"))

    def _kept_as(self, shape: Any, make: Callable[[], Select[Any]]) -> Select[Any]:
        kept = self._kept.get(shape)
        if kept is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            kept = self._kept[shape] = make()
        return kept

    def _limit(self, text: str) -> int:
        """The Block Storage API answers an empty list for 0, the others refuse it."""
        return min(_whole("limit", text, 0 if self.full_page_links else 1), self.max_limit)

    def filtered(self, statement: Select[Any], request: PageRequest) -> Select[Any]:
        """The statement with the request's filters. They raise InvalidField."""
        return statement.where(*(self.filters[name](name, text) for name, text in request.filters))

    def _order(self, request: PageRequest) -> list[tuple[ColumnElement[Any], Direction]]:
        order = [(self.sorts[name], direction) for name, direction in request.sorts or self.default_sort]
        if not any(column is self.key for column, _ in order):
            order.append((self.key, order[-1][1] if order else "asc"))
        return order

    def _values(
        self, tx: Transaction, statement: Select[Any], request: PageRequest, given: Mapping[str, Any], keep: bool
    ) -> Sequence[Any]:
        """What the marker's row has of the sort keys."""

        def make() -> Select[Any]:
            columns = (column for column, _ in self._order(request))
            marked = statement.order_by(None).with_only_columns(*columns, maintain_column_froms=True)
            return marked.where(self.key == bindparam("page_marker"))

        asked = self._kept_as((statement, request.sorts), make) if keep else make()
        values = tx.execute(asked, {**given, "page_marker": request.marker}).first()
        if values is None:
            shown = str(request.marker)[:64]
            raise self.marker_error(f"marker {shown!r} is no id of the list ({self.noun.lower()}).")
        return values

    def _sorts(self, params: Mapping[str, str]) -> tuple[tuple[str, Direction], ...]:
        if params.get("sort"):
            pairs = [part.strip().partition(":") for part in params["sort"].split(",")]
            found = [(key, direction or "desc") for key, _, direction in pairs]
        elif params.get("sort_key"):
            keys = params["sort_key"].split(",")
            directions = (params.get("sort_dir") or "desc").split(",")
            if len(directions) == 1:
                directions *= len(keys)
            if len(directions) != len(keys):
                raise InvalidField("sort_dir", params["sort_dir"], "give one direction, or one for each sort_key")
            found = list(zip(keys, directions, strict=True))
        elif params.get("sort_dir"):
            found = [(self.default_sort[0][0], params["sort_dir"])]
        else:
            return ()
        if len(found) > _MAX_PARTS:
            raise InvalidField("sort", params.get("sort") or params["sort_key"], f"give {_MAX_PARTS} keys at most")
        return tuple(self._sort(key.strip(), direction.strip()) for key, direction in found)

    def _sort(self, key: str, direction: str) -> tuple[str, Direction]:
        if key not in self.sorts:
            raise InvalidField("sort", key, f"sort keys are {', '.join(sorted(self.sorts))}")
        if direction == "asc":
            return key, "asc"
        if direction == "desc":
            return key, "desc"
        raise InvalidField("sort", direction, "directions are asc and desc")


def _after(order: Sequence[tuple[ColumnElement[Any], Direction]], values: Sequence[Any]) -> ColumnElement[bool]:
    """The rows behind the one with these values: parameters `after_0`, `after_1`, ... that are not NULL."""
    bound = [
        None if value is None else bindparam(f"after_{place}", type_=column.type)
        for place, ((column, _), value) in enumerate(zip(order, values, strict=True))
    ]
    directions = {direction for _, direction in order}
    if len(directions) == 1 and not any(_nullable(column) for column, _ in order):
        left, right = tuple_(*(column for column, _ in order)), tuple_(*bound)
        return left > right if directions == {"asc"} else left < right
    alternatives = []
    for place, (column, direction) in enumerate(order):
        same = [_same(earlier, bound[index]) for index, (earlier, _) in enumerate(order[:place])]
        alternatives.append(and_(*same, _beyond(column, direction, bound[place])))
    return or_(*alternatives)


def text_filter(column: ColumnElement[Any]) -> Filter:
    """The column equals the text."""
    return lambda name, text: column == text


def like_filters(**columns: ColumnElement[Any]) -> dict[str, Filter]:
    """`name~=part` for each column: the text is a part of it, letter by letter the same (so in both databases)."""
    return {f"{name}~": _part_of(column) for name, column in columns.items()}


def _part_of(column: ColumnElement[Any]) -> Filter:
    # What is left without the part differs from the whole: LIKE minds case in one database and not in the other.
    return lambda name, text: func.replace(column, text, "") != column if text else column.is_not(None)


def truth_filter(column: ColumnElement[Any]) -> Filter:
    """The column equals the text read as a boolean (true, false, 1, 0, yes, no)."""
    return lambda name, text: column.is_(truth(name, text))


def number_filter(column: ColumnElement[Any]) -> Filter:
    """The column equals the text read as a whole number."""

    def condition(name: str, text: str) -> ColumnElement[bool]:
        try:
            number = int(text)
        except ValueError:
            raise InvalidField(name, text, "give a whole number") from None
        return column == number if abs(number) < 2**31 else false()

    return condition


_COMPARISONS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
}


def time_filter(column: ColumnElement[Any]) -> Filter:
    """`created_at=gt:2026-01-01T00:00:00,lte:...`: comparisons joined by and; a bare time is `eq`."""

    def condition(name: str, text: str) -> ColumnElement[bool]:
        conditions = []
        parts = text.split(",")
        if len(parts) > _MAX_PARTS:
            raise InvalidField(name, text, f"give {_MAX_PARTS} comparisons at most")
        for part in parts:
            word, colon, rest = part.strip().partition(":")
            if not colon or word not in _COMPARISONS:
                word, rest = "eq", part
            try:
                moment = clock.parse(rest)
            except ValueError:
                raise InvalidField(name, rest, "give an ISO 8601 time, e.g. gte:2026-01-31T00:00:00") from None
            conditions.append(_COMPARISONS[word](column, moment))
        return and_(*conditions)

    return condition


def _nullable(column: ColumnElement[Any]) -> bool:
    return bool(getattr(column, "nullable", True))


def _ordered(column: ColumnElement[Any], direction: Direction) -> ColumnElement[Any]:
    if direction == "asc":
        return column.asc().nulls_first() if _nullable(column) else column.asc()
    return column.desc().nulls_last() if _nullable(column) else column.desc()


def _same(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _beyond(column: ColumnElement[Any], direction: Direction, value: Any) -> ColumnElement[bool]:
    """The column stands behind the value in that direction, NULL being the smallest of all."""
    if direction == "asc":
        return column.is_not(None) if value is None else column > value
    if value is None:
        return false()
    return or_(column < value, column.is_(None)) if _nullable(column) else column < value


def _whole(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= (number := int(text[:20])) <= _MAX_OFFSET:
        raise InvalidField(name, text, f"give a whole number from {least} to {_MAX_OFFSET}")
    return number


def truth(name: str, text: str) -> bool:
    """A parameter's text as a boolean. Raises InvalidField."""
    lowered = text.strip().lower()
    if lowered in ("1", "true", "t", "yes", "y", "on"):
        return True
    if lowered in ("0", "false", "f", "no", "n", "off"):
        return False
    raise InvalidField(name, text, "give true or false")
