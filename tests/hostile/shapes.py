"""What is certainly wrong with a body, read from the type that a route declares for it.

for spot in spots(route.body): ...          every field at any depth
wrong(spot, lax)                            JSON texts that its type cannot be
example(route.body, ids)                    a body that its type takes: the least one
spot.body(text, like)                       that body with the JSON text in that field
"""

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import fields

from pumice.api.edge.versions import FIRST, LAST, Microversion, Since, version

VALUES = (
    "null",
    "true",
    "7",
    "-7",
    "1.5",
    '"strange"',
    '""',
    '" "',
    '"' + "n" * 300 + '"',
    "[]",
    "{}",
    "[[1]]",
    '{"a": [1]}',
    '[{"a": 1}]',
    "-9007199254740993",
)
"""JSON of every kind: which of them are wrong depends on the type."""

NEVER = (
    '"nul \\u0000 nul"',
    "99999999999999999999",
    "-99999999999999999999",
    '{"a\\u0000b": 1}',
)
"""JSON that no field may hold."""

ALIASES = {
    "volumeId": "volume_id",
    "volume_uuid": "volume_id",
    "instance_uuid": "server_id",
    "flavorRef": "flavor_id",
    "imageRef": "image_id",
    "project": "project_id",
    "new_type": "volume_type_id",
}
"""Fields of bodies that hold the id of something, under the name it has in paths."""


class Spot(NamedTuple):
    """One field of a body."""

    path: tuple[str, ...]
    """Names from the top; "0" stands for the first item of a list, "*" for a key of a dict."""
    hint: Any
    lowest: Microversion = FIRST
    highest: Microversion = LAST
    """The microversions that know it."""
    strict: bool = False
    """Its Struct refuses unknown fields."""

    @property
    def name(self) -> str:
        return next((part for part in reversed(self.path) if part not in ("0", "*")), "")

    def body(self, text: str, like: Any) -> bytes:
        return msgspec.json.encode(_put(like, self.path, msgspec.Raw(text.encode())))


def _put(value: Any, path: tuple[str, ...], raw: msgspec.Raw) -> Any:
    """The value with something else at that path."""
    if not path:
        return raw
    inner = value.get(path[0], {}) if isinstance(value, dict) else value[0] if isinstance(value, list) and value else {}
    new = _put(inner, path[1:], raw)
    if path[0] == "0":
        return [new]
    return {**(value if isinstance(value, dict) else {}), ("k" if path[0] == "*" else path[0]): new}


TOP = Spot((), None)


def spots(kind: Any, top: Spot = TOP, seen: tuple[Any, ...] = ()) -> Iterator[Spot]:
    """Every field of a type and of the types in it."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from spots(get_args(kind)[0], top, seen)
    elif origin in (Union, types.UnionType):
        for choice in get_args(kind):
            yield from spots(choice, top, seen)
    elif origin in (list, tuple, dict):
        item = get_args(kind)[1 if origin is dict else 0]
        inner = top._replace(path=(*top.path, "*" if origin is dict else "0"), hint=item, strict=False)
        if item is not Any:
            yield inner
        yield from spots(item, inner, seen)
    elif _is_struct(kind) and kind not in seen:
        hints = get_type_hints(kind, include_extras=True)
        for name, encoded in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
            spot = _within(top, encoded, hints[name])._replace(strict=kind.__struct_config__.forbid_unknown_fields)
            yield spot
            yield from spots(hints[name], spot, (*seen, kind))


def _within(top: Spot, name: str, hint: Any) -> Spot:
    lowest, highest = top.lowest, top.highest
    for note in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        if isinstance(note, Since):
            lowest, highest = max(lowest, version(note.since, FIRST)), min(highest, version(note.until, LAST))
    return Spot((*top.path, name), hint, lowest, highest)


def structs(kind: Any) -> Iterator[tuple[Spot, bool]]:
    """Every place of an object with declared fields, and whether it refuses unknown ones."""
    for spot in [Spot((), kind), *spots(kind)]:
        for choice in _choices(spot.hint):
            if _is_struct(choice):
                yield spot, choice.__struct_config__.forbid_unknown_fields


def _choices(hint: Any) -> tuple[Any, ...]:
    origin = get_origin(hint)
    if origin is Annotated:
        return _choices(get_args(hint)[0])
    return tuple(c for one in get_args(hint) for c in _choices(one)) if origin in (Union, types.UnionType) else (hint,)


def example(kind: Any, ids: Mapping[str, str], path: tuple[str, ...] = (), name: str = "") -> Any:
    """The least value that the type takes, but with the field at that path; texts are what the world has under the
    field's name."""
    hint, notes = (get_args(kind)[0], get_args(kind)[1:]) if get_origin(kind) is Annotated else (kind, ())
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return example(next((one for one in _choices(hint) if _has(one, path)), _choices(hint)[0]), ids, path, name)
    if origin is Literal:
        return get_args(hint)[0]
    if origin in (list, tuple):
        return [example(get_args(hint)[0], ids, path[1:])]
    if origin is dict:
        return {"k": example(get_args(hint)[1], ids, path[1:])}
    if _is_struct(hint):
        hints = get_type_hints(hint, include_extras=True)
        return {
            one.encode_name: example(
                hints[one.name], ids, path[1:] if one.encode_name in path[:1] else (), one.encode_name
            )
            for one in fields(hint)
            if one.required or one.encode_name in path[:1]
        }
    if hint is bool:
        return True
    if hint in (int, float):
        return max([1, *(note.ge for note in notes if isinstance(note, msgspec.Meta) and note.ge is not None)])
    return ids.get(ALIASES.get(name, name), "strange") if hint is str else {}


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _has(hint: Any, path: tuple[str, ...]) -> bool:
    """The type may hold what the path leads to."""
    if not path or not _is_struct(hint):
        return path[:1] == (("0",) if get_origin(hint) in (list, tuple) else ("*",) if get_origin(hint) is dict else ())
    return path[0] in hint.__struct_encode_fields__


def wrong(spot: Spot, *, lax: bool) -> list[str]:
    """JSON texts that are no values of the field."""
    decoder = msgspec.json.Decoder(spot.hint, strict=not lax)
    return [*NEVER, *(text for text in VALUES if not accepts(decoder, text))]


def accepts(decoder: Any, text: str) -> bool:
    """The type of the decoder takes that JSON."""
    try:
        decoder.decode(text)
    except msgspec.ValidationError:
        return False
    return True
