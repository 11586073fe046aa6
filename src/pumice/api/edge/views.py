"""Views: how a record becomes the object of an answer, as data.

    VOLUME = View(
        "volume",
        Field("id"),                                              # record.id
        Field("bootable", lambda volume: str(volume.bootable).lower()),
        Field("links", lambda volume, call: call.links.pair(f"/volumes/{volume.id}")),
        Field("group_id", since="3.13"),
        Field("os-vol-host-attr:host", lambda volume: volume.host, visible=lambda call: call.caller.is_admin),
        plural="volumes",
    )
    VOLUME.render(volume, call)       {"volume": {...}}
    VOLUME.item(volume, call)         {...}
    VOLUME.items(volumes, call)       [{...}, ...]
    VOLUME.page(page, call)           {"volumes": [...], "volumes_links": [{"rel": "next", ...}]}

A view is compiled once per microversion (and once per request for `visible`) into pairs of name and getter.
"""

import inspect
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from pumice.api.edge.route import Call
from pumice.api.edge.versions import FIRST, LAST, Microversion, version
from pumice.db.paging import Page

Getter = Callable[..., Any]


class Field:
    """One field: its name in the answer and where it comes from.

    get: `get(record)` or `get(record, call)`; without it the attribute of the same name.
    since, until: the microversions that have the field. visible: `visible(call)` is False: the field is left out."""

    __slots__ = ("get", "name", "since", "until", "visible", "wants_call")

    def __init__(
        self,
        name: str,
        get: Getter | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        visible: Callable[[Call], bool] | None = None,
    ) -> None:
        self.name = name
        self.get: Getter = get or attrgetter(name)
        self.wants_call = get is not None and _positional(get) == 2
        self.since = version(since, FIRST)
        self.until = version(until, LAST)
        self.visible = visible


_Compiled = tuple[tuple[tuple[str, Getter], ...], tuple[tuple[str, Getter], ...]]


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
        plain, with_call = self._for(call)
        item = {name: get(record) for name, get in plain}
        for name, get in with_call:
            item[name] = get(record, call)
        return item

    def items(self, records: Iterable[Any], call: Call) -> list[dict[str, Any]]:
        plain, with_call = self._for(call)
        items = [{name: get(record) for name, get in plain} for record in records]
        if with_call:
            for item, record in zip(items, records, strict=True):
                for name, get in with_call:
                    item[name] = get(record, call)
        return items

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
        return (
            tuple((field.name, field.get) for field in shown if not field.wants_call),
            tuple((field.name, field.get) for field in shown if field.wants_call),
        )


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
