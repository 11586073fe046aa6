"""The attributes of an image as clients write them: which there are, what each may hold, and JSON patches over them.

    new_image(body)                         the flat object of POST /v2/images, checked
    parse_patch(body), parse_patch_v20      the list of PATCH /v2/images/{id}, checked
    patched(image, changes)                 columns with their new values

No database here. Raises InvalidField or BadRequest (400), Forbidden (403: read-only, reserved), Conflict (409: a
property to replace or to remove is not there).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from pumice.errors import BadRequest, Conflict, Forbidden, InvalidField
from pumice.images.model import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    READ_ONLY,
    RESERVED,
    RESERVED_BEGINNING,
    VISIBILITIES,
    Image,
    NewImage,
)

MAX_PROPERTIES = 128
MAX_TAGS = 128
_LARGEST = 2**31 - 1


class Change(msgspec.Struct, frozen=True):
    """One operation of a patch on a whole attribute or property."""

    op: Literal["add", "replace", "remove"]
    name: str
    value: Any = None


def _text(field: str, value: Any, longest: int = 255) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidField(field, value, "expected a text")
    if value is not None and "\0" in value:
        raise InvalidField(field, value, "leave NUL characters out")
    if value is not None and len(value) > longest:
        raise InvalidField(field, value, f"expected {longest} characters at most")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(field, value, "expected true or false")
    return value


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise InvalidField(field, value, f"expected a whole number from 0 to {_LARGEST}")
    return value


def _visibility(field: str, value: Any) -> str:
    if value not in VISIBILITIES:
        raise InvalidField(field, value, f"expected one of {', '.join(VISIBILITIES)}")
    return str(value)


def _disk_format(field: str, value: Any) -> str | None:
    if value is not None and value not in DISK_FORMATS:
        raise InvalidField(field, value, f"this cloud stores {', '.join(DISK_FORMATS)}; convert others to qcow2")
    return _text(field, value)


def _container_format(field: str, value: Any) -> str | None:
    if value is not None and value not in CONTAINER_FORMATS:
        raise InvalidField(field, value, f"this cloud stores {', '.join(CONTAINER_FORMATS)}")
    return _text(field, value)


def _tags(field: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise InvalidField(field, value, "expected a list of texts")
    tags = [check_tag(tag) for tag in value]
    distinct = list(dict.fromkeys(tags))
    if len(distinct) > MAX_TAGS:
        raise InvalidField(field, len(distinct), f"an image has {MAX_TAGS} tags at most")
    return distinct


def _id(field: str, value: Any) -> str:
    try:
        return str(UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise InvalidField(field, value, "expected a UUID") from None


def check_tag(tag: Any) -> str:
    """The tag. Raises InvalidField."""
    if not isinstance(tag, str) or not 0 < len(tag) <= 255 or "\0" in tag:
        raise InvalidField("tags", tag, "a tag is a text of 1 to 255 characters, without NUL")
    return tag


# name in the API -> (name of the column, check)
_BASE: Mapping[str, tuple[str, Callable[[str, Any], Any]]] = {
    "name": ("name", _text),
    "disk_format": ("disk_format", _disk_format),
    "container_format": ("container_format", _container_format),
    "visibility": ("visibility", _visibility),
    "protected": ("protected", _flag),
    "os_hidden": ("hidden", _flag),
    "min_disk": ("min_disk", _count),
    "min_ram": ("min_ram", _count),
    "tags": ("tags", _tags),
    "owner": ("project_id", _text),
}


def _property(name: str, value: Any) -> str:
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_BEGINNING):
        raise Forbidden(f"Attribute '{name}' is reserved.")
    if not 0 < len(name) <= 255 or "\0" in name:
        raise InvalidField("property", name, "the name of a property has 1 to 255 characters, without NUL")
    if not isinstance(value, str) or "\0" in value:
        raise InvalidField(name, value, "the value of a property is a text without NUL")
    if len(value) > 65535:
        raise InvalidField(name, value, "the value of a property has 65535 characters at most")
    return value


def _checked_properties(properties: dict[str, str]) -> dict[str, str]:
    if len(properties) > MAX_PROPERTIES:
        raise InvalidField("properties", len(properties), f"an image has {MAX_PROPERTIES} properties at most")
    return properties


def new_image(body: Mapping[str, Any]) -> NewImage:
    """The record of a create's flat object."""
    known: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        if name == "id":
            known["id"] = _id(name, value)
        elif name in _BASE:
            column, check = _BASE[name]
            known[column] = check(name, value)
        elif value is not None:  # clients send null for what they leave out
            properties[name] = _property(name, value)
    return NewImage(**known, properties=_checked_properties(properties))


def parse_patch(body: Any) -> list[Change]:
    """A list of {"op", "path", "value"}, as application/openstack-images-v2.1-json-patch has it."""
    return [_change(item, item.get("op"), item.get("path")) for item in _items(body)]


def parse_patch_v20(body: Any) -> list[Change]:
    """A list of {"replace": path, "value": ...}, as application/openstack-images-v2.0-json-patch has it."""
    changes = []
    for item in _items(body):
        operations = [word for word in ("add", "replace", "remove") if word in item]
        if len(operations) != 1:
            raise BadRequest("Each operation of the patch has exactly one of add, replace, remove.")
        changes.append(_change(item, operations[0], item[operations[0]]))
    return changes


def _items(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise BadRequest("The patch must be a list of operations.")
    return body


def _change(item: Mapping[str, Any], op: Any, path: Any) -> Change:
    if op not in ("add", "replace", "remove"):
        raise InvalidField("op", op, "expected add, replace or remove")
    if not isinstance(path, str) or not path.startswith("/") or len(path) < 2:
        raise InvalidField("path", path, "expected a slash and the name of an attribute")
    name = path[1:]
    if "/" in name:
        raise InvalidField("path", path, "only whole attributes can be changed")
    if "~" in name.replace("~0", "").replace("~1", ""):
        raise InvalidField("path", path, "write ~0 for ~ and ~1 for /")
    if op != "remove" and "value" not in item:
        raise BadRequest(f"The operation {op} of {path} needs a value.")
    return Change(op, name.replace("~1", "/").replace("~0", "~"), item.get("value"))


def patched(image: Image, changes: Sequence[Change]) -> dict[str, Any]:
    """The columns that the changes, one after the other, set."""
    columns: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in changes:
        if change.name in _BASE:
            if change.op == "remove":
                raise Forbidden(f"Attribute '{change.name}' can not be removed.")
            column, check = _BASE[change.name]
            columns[column] = check(change.name, change.value)
            if column.endswith("_format") and columns[column] != getattr(image, column) and image.status != "queued":
                raise Forbidden(f"Attribute '{change.name}' can be replaced only while the image is queued.")
            continue
        if change.op == "remove":
            _property(change.name, "")
            if properties.pop(change.name, None) is None:
                raise Conflict(f"Property {change.name} does not exist.")
            continue
        if change.op == "replace" and change.name not in properties:
            _property(change.name, change.value)
            raise Conflict(f"Property {change.name} does not exist.")
        properties[change.name] = _property(change.name, change.value)
    if properties != image.properties:
        columns["properties"] = _checked_properties(properties)
    return columns
