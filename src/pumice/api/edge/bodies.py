"""Bodies and queries: from bytes to Structs; a fault becomes a 400 naming the field, the value and what is right.

A `Decoder` is compiled from a route's Struct: with the fields' microversions, strict or lax.
"""

import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import unquote_plus

import msgspec

from pumice.api.edge.versions import Microversion, Since
from pumice.errors import BadRequest, InvalidField

MAX_PARAMETERS = 256
"""Of a query: each may become a condition, and the databases take only so many."""

_LARGEST = 2**63 - 1
_LONG_NUMBER = re.compile(rb"[0-9]{19,}")
_PLACE = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_KEY = re.compile(r"^(?P<message>.*) - at `key` in `\$\.?(?P<path>.*)`$", re.DOTALL)
_LENGTH = re.compile(r"^Expected `str` of length (?P<sign><=|>=) (?P<length>[0-9]+)$")
_KIND = re.compile(r"^Expected .*, got `(?P<kind>[a-z]+)`$")
_KINDS: Mapping[type, str] = {
    str: "str",
    bool: "bool",
    int: "int",
    float: "float",
    type(None): "null",
    list: "array",
    dict: "object",
}
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`$", re.DOTALL)

Path = tuple[str, ...]
"""Names from the top of a body to a field; "*" for every item of a list or dict."""


class Decoder:
    """Decodes the JSON bodies of one route."""

    def __init__(self, body: Any, *, lax: bool = False) -> None:
        self._type = body
        self._decode = msgspec.json.Decoder(body, strict=not lax).decode
        self._windows = tuple(_windows(body, (), ()))

    def decode(self, data: bytes, asked: Microversion) -> Any:
        """The Struct of the bytes. Raises BadRequest or InvalidField."""
        try:
            body = self._decode(data)
        except msgspec.ValidationError as error:
            raise self._field_error(data, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise malformed(error) from None
        if b"\\u0000" in data or _LONG_NUMBER.search(data):
            _refuse_unstorable(_plain(data), ())
        for path, window, strict in self._windows:
            if not window.holds(asked):
                _forget(body, path, path, strict)
        return body

    def _field_error(self, data: bytes, text: str) -> BadRequest:
        """What msgspec said of this body, which may hold a number beyond every float."""
        try:
            body = msgspec.json.decode(data)
        except msgspec.ValidationError:
            path = text.rpartition("`$.")[2].rstrip("`")
            return BadRequest(f"Invalid input for field '{path[:128]}': a number in it is out of range.")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            return malformed(error)
        return field_error(text, body, self._type)


def query_struct(kind: type[msgspec.Struct], params: Mapping[str, str]) -> Any:
    """The query's Struct; texts are read as the field's type. Raises InvalidField."""
    try:
        return msgspec.convert(params, kind, strict=False)
    except msgspec.ValidationError as error:
        raise field_error(str(error), dict(params), kind) from None


def parse_query(query: bytes) -> dict[str, str]:
    """`a=1&b=2`; the last of several with one name. Raises BadRequest for texts that are no UTF-8 or hold NUL."""
    params: dict[str, str] = {}
    parts = query.decode("latin-1").split("&")
    if len(parts) > MAX_PARAMETERS:
        raise BadRequest(f"The query has {len(parts)} parameters; give {MAX_PARAMETERS} at most.")
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        try:
            name = unquote_plus(name, errors="strict")
            params[name] = value = unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("The query is not UTF-8.") from None
        if "\0" in name or "\0" in value:
            raise InvalidField(name.replace("\0", "\\0"), value, "leave NUL characters out")
        if not name.isascii() or not value.isascii():
            _encodable(name, value)
    return params


def _encodable(name: str, value: str) -> None:
    try:
        (name + value).encode()
    except UnicodeEncodeError:
        raise BadRequest("The query is not UTF-8.") from None


def single_key(data: bytes) -> str:
    """The only key of an action's body, e.g. "os-extend". Raises BadRequest."""
    try:
        body = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise malformed(error) from None
    if len(body) != 1:
        raise BadRequest("The body of an action is an object with one key, the action's name.")
    return next(iter(body))


def malformed(error: Exception) -> BadRequest:
    if isinstance(error, RecursionError):
        return BadRequest("Malformed request body: it is nested too deeply.")
    if isinstance(error, msgspec.ValidationError):
        return BadRequest("Malformed request body: it must be a JSON object.")
    if isinstance(error, msgspec.DecodeError):
        return BadRequest(f"Malformed request body: {error}.")
    return BadRequest("Malformed request body: it is not UTF-8.")


def field_error(text: str, body: Any, kind: Any) -> BadRequest:
    """What msgspec said of a body of that type, as an error that names the field with its value."""
    match = _PLACE.match(text)
    message, path = (match["message"], match["path"] or "") if match else (text, "")
    if missing := _MISSING.match(message):
        return BadRequest(f"Invalid input: the field '{_joined(path, missing['name'])}' is missing.")
    if unknown := _UNKNOWN.match(message):
        name = unknown["name"]
        field = _joined(path, name if len(name) <= 64 else name[:61] + "...")
        return InvalidField(field, _value_at(body, path, name), "this field is not known here")
    if key := _KEY.match(text):
        message, path = key["message"], key["path"]
        found = _value_at(body, path)
        wrong = next((name for name in found or () if _is_wrong(message, name)), None)
        return InvalidField(path, wrong, f"a key of it: {message[:1].lower()}{message[1:]}")
    if path.endswith("[...]"):
        path, value = _item(body, path, message)
    else:
        value = _value_at(body, path)
    if message.startswith("Invalid enum value"):
        choices = _choices(kind, _names_in(path))
        message = f"one of {', '.join(map(str, choices))}" if choices else message
    if path == "":
        return BadRequest(f"Invalid input: {message[:1].lower()}{message[1:]}.")
    return InvalidField(path, value, message[:1].lower() + message[1:])


def _item(body: Any, path: str, message: str) -> tuple[str, Any]:
    """The path with the key of the item that is wrong in place of msgspec's "[...]", and the item, where the message
    tells which it is."""
    whole = path.removesuffix("[...]")
    found = _value_at(body, whole)
    if isinstance(found, dict):
        for key, value in found.items():
            if _is_wrong(message, value):
                return _joined(whole, key if len(key) <= 64 else key[:61] + "..."), value
    return path, found


def _is_wrong(message: str, value: Any) -> bool:
    """Whether msgspec's message is about such a value."""
    if match := _KIND.match(message):
        return _KINDS.get(type(value)) == match["kind"]
    if (match := _LENGTH.match(message)) and isinstance(value, str):
        length = int(match["length"])
        return len(value) > length if match["sign"] == "<=" else len(value) < length
    return False


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _value_at(body: Any, path: str, *more: str) -> Any:
    """The value at msgspec's path ("volume.tags[0]"); only for messages."""
    found = body
    for name in [*_names_in(path), *more]:
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return "..." if name == "..." else None
    return found


def _names_in(path: str) -> list[str]:
    """ "volume.tags[0]": volume, tags, 0."""
    return re.findall(r"[^.\[\]]+|\.\.\.", path)


def _choices(kind: Any, names: list[str]) -> tuple[Any, ...]:
    """What the field of those names may be, where its type lists that."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _choices(get_args(kind)[0], names)
    if origin is Literal:
        return get_args(kind)
    if origin in (Union, types.UnionType):
        return next((found for choice in get_args(kind) if (found := _choices(choice, names))), ())
    if origin in (list, tuple, dict) and names:
        return _choices(get_args(kind)[0 if origin is tuple else -1], names[1:])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and names:
        name = _names(kind).get(names[0])
        return () if name is None else _choices(get_type_hints(kind, include_extras=True)[name], names[1:])
    return ()


def _plain(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise malformed(error) from None


def _refuse_unstorable(value: Any, path: Path) -> None:
    """NUL characters and integers beyond 64 bits fit no database."""
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidField(".".join(path), value, "leave NUL characters out")
    elif isinstance(value, int):
        if abs(value) > _LARGEST:
            raise InvalidField(".".join(path), value, "the number is too large")
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_unstorable(name, (*path, name.replace("\0", "\\0")))
            _refuse_unstorable(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unstorable(item, (*path, str(index)))


def _windows(kind: Any, path: Path, seen: tuple[Any, ...]) -> Iterator[tuple[Path, Since, bool]]:
    """Every field with a window: its path, the window, and whether its Struct forbids unknown fields."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _windows(get_args(kind)[0], path, seen)
    elif origin in (Union, types.UnionType):
        for choice in get_args(kind):
            yield from _windows(choice, path, seen)
    elif origin in (list, tuple, dict):
        for item in get_args(kind)[-1:]:
            yield from _windows(item, (*path, "*"), seen)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        hints = get_type_hints(kind, include_extras=True)
        for name, hint in hints.items():
            encoded = _encoded(kind, name)
            for window in _annotations(hint):
                yield (*path, encoded), window, kind.__struct_config__.forbid_unknown_fields
            yield from _windows(hint, (*path, encoded), (*seen, kind))


def _annotations(hint: Any) -> Iterator[Since]:
    if get_origin(hint) is Annotated:
        yield from (note for note in get_args(hint)[1:] if isinstance(note, Since))


def _encoded(kind: type[msgspec.Struct], name: str) -> str:
    fields = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return fields.get(name, name)


def _forget(body: Any, rest: Path, path: Path, strict: bool) -> None:
    """Treat a field that this version does not have as unknown: refuse it where unknown fields are, else unset it."""
    if not isinstance(body, msgspec.Struct):
        if rest[0] == "*":
            for item in body.values() if isinstance(body, dict) else body if isinstance(body, list | tuple) else ():
                _forget(item, rest[1:], path, strict)
        return
    name = _names(type(body)).get(rest[0])
    if name is None:
        return
    value = getattr(body, name)
    if value is msgspec.UNSET:
        return
    if len(rest) > 1:
        _forget(value, rest[1:], path, strict)
        return
    default = _default(body, name)
    if value == default:
        return
    if strict:
        raise InvalidField(".".join(path), msgspec.to_builtins(value), "this field is not known at this microversion")
    msgspec.structs.force_setattr(body, name, default)


@cache
def _names(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The attributes by their names in JSON."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _default(body: msgspec.Struct, name: str) -> Any:
    field = _fields(type(body))[name]
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return msgspec.UNSET if field.default is msgspec.NODEFAULT else field.default
