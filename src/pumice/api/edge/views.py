"""Views: how a record becomes the object of an answer, as data.

    VOLUME = View(
        "volume",
        Field("id"),                                              # record.id
        Field("type", "kind.name"),                               # record.kind.name
        Field("bootable", lambda volume: str(volume.bootable).lower()),
        Field("cluster_name", fixed=None),
        Field("links", lambda volume, call: call.links.pair(f"/volumes/{volume.id}")),
        Field("group_id", since="3.13"),
        Field("os-vol-host-attr:host", lambda volume: volume.host, visible=lambda call: call.caller.is_admin),
        plural="volumes",
    )
    VOLUME.render(volume, call)       {"volume": {...}}
    VOLUME.item(volume, call)         {...}
    VOLUME.items(volumes, call)       [{...}, ...]
    VOLUME.page(page, call)           {"volumes": [...], "volumes_links": [{"rel": "next", ...}]}

A view is compiled once per microversion and per set of fields that the caller may see.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from pumice.api.edge.route import Call
from pumice.api.edge.versions import FIRST, LAST, Microversion, version
from pumice.db.paging import Page

Getter = Callable[..., Any]
_COMPUTED = object()


class Field:
    """One field: its name in the answer and where it comes from.

    get: `get(record)` or `get(record, call)`, or the path of an attribute; without it the attribute of the same name.
    fixed: what it is, whatever the record.
    since, until: the microversions that have the field. visible: `visible(call)` is False: the field is left out."""

    __slots__ = ("fixed", "get", "name", "path", "since", "until", "visible", "wants_call")

    def __init__(
        self,
        name: str,
        get: Getter | str | None = None,
        *,
        fixed: Any = _COMPUTED,
        since: str | None = None,
        until: str | None = None,
        visible: Callable[[Call], bool] | None = None,
    ) -> None:
        self.name = name
        self.fixed = fixed
        self.path = name if get is None else get if isinstance(get, str) else None
        self.get: Getter = get if callable(get) else attrgetter(self.path or name)
        self.wants_call = callable(get) and _positional(get) == 2
        self.since = version(since, FIRST)
        self.until = version(until, LAST)
        self.visible = visible


class _Compiled:
    """A view's fields at one version, sorted by how they are found; answers keep the order in which they stand."""

    __slots__ = ("_empty", "_names", "_plain", "_read", "_with_call")

    def __init__(self, fields: Sequence[Field]) -> None:
        computed = [field for field in fields if field.fixed is _COMPUTED]
        paths = [field for field in computed if field.path is not None]
        self._empty = {field.name: None if field.fixed is _COMPUTED else field.fixed for field in fields}
        self._names = [field.name for field in paths]
        self._read = _attributes([str(field.path) for field in paths])
        self._plain = [(f.name, f.get) for f in computed if f.path is None and not f.wants_call]
        self._with_call = [(f.name, f.get) for f in computed if f.wants_call]

    def item(self, record: Any, call: Call) -> dict[str, Any]:
        item = self._empty.copy()
        item.update(zip(self._names, self._read(record), strict=False))
        for name, get in self._plain:
            item[name] = get(record)
        for name, get in self._with_call:
            item[name] = get(record, call)
        return item


def _attributes(paths: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """All of a record's attributes of these paths at once."""
    if len(paths) > 1:
        return attrgetter(*paths)
    one = [attrgetter(path) for path in paths]
    return lambda record: tuple(get(record) for get in one)


class View:
    """See the head of this file. `name` is the envelope of one, `plural` of many (name + "s" when not given)."""

    def __init__(self, name: str, *fields: Field, plural: str | None = None) -> None:
        self.name = name
        self.plural = plural or name + "s"
        self.fields = fields
        self._compiled: dict[tuple[Microversion, tuple[bool, ...]], _Compiled] = {}
        self._conditions = tuple(field.visible for field in fields if field.visible is not None)

    def extended(self, *fields: Field) -> "View":
        """This view with more fields (or others of the same names) at its end."""
        names = {field.name for field in fields}
        kept = (field for field in self.fields if field.name not in names)
        return View(self.name, *kept, *fields, plural=self.plural)

    def without(self, *names: str) -> "View":
        return View(self.name, *(field for field in self.fields if field.name not in names), plural=self.plural)

    def item(self, record: Any, call: Call) -> dict[str, Any]:
        return self._for(call).item(record, call)

    def items(self, records: Iterable[Any], call: Call) -> list[dict[str, Any]]:
        item = self._for(call).item
        return [item(record, call) for record in records]

    def render(self, record: Any, call: Call) -> dict[str, Any]:
        return {self.name: self.item(record, call)}

    def page(self, page: Page[Any], call: Call) -> dict[str, Any]:
        answer: dict[str, Any] = {self.plural: self.items(page.items, call)}
        if page.next_marker is not None:
            answer[f"{self.plural}_links"] = [{"rel": "next", "href": next_link(call, page.next_marker)}]
        if page.total is not None:
            answer["count"] = page.total
        return answer

    def _for(self, call: Call) -> _Compiled:
        seen = tuple(condition(call) for condition in self._conditions)
        found = self._compiled.get((call.version, seen))
        if found is None:
            found = self._compiled[call.version, seen] = self._compile(call.version, seen)
        return found

    def _compile(self, asked: Microversion, seen: tuple[bool, ...]) -> _Compiled:
        answers = iter(seen)
        shown = []
        for field in self.fields:
            visible = True if field.visible is None else next(answers)
            if visible and field.since <= asked <= field.until:
                shown.append(field)
        return _Compiled(shown)


def next_link(call: Call, marker: str) -> str:
    """The URL of the next page: this request's with another marker (and no offset)."""
    kept = {name: value for name, value in call.params.items() if name not in ("marker", "offset")}
    return call.links.here + "?" + urlencode({**kept, "marker": marker})


def _positional(get: Getter) -> int:
    try:
        parameters = inspect.signature(get).parameters.values()
    except (TypeError, ValueError):
        return 1
    required = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in required if p.default is p.empty])
