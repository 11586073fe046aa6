"""Lists of images: filters, sort keys, visibility, pages.

    page = list_images(tx, caller, params, tags)       params: texts of the query; tags: every `tag=` of it

Without `visibility` a list holds what belongs to the caller, what is public, and what is shared with the caller and
accepted (`member_status` asks for others; administrators: all but other projects' community images); community images
come with `visibility=community` or `all`. Hidden ones come with `os_hidden=true`.
A parameter that is no known filter asks for the property of that name.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, cast, false, func, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.paging import Filter, Listing, Page, text_filter, time_filter, truth_filter
from pumice.db.schema import image_members, images
from pumice.errors import BadRequest, InvalidField
from pumice.images.images import IMAGE, find, record
from pumice.images.model import VISIBILITIES, Image

_LARGEST = 2**63 - 1
_PAGING = frozenset({"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count"})
_SPECIAL = frozenset({"visibility", "member_status", "os_hidden", "tag"})


def _words_filter(column: ColumnElement[Any]) -> Filter:
    """The column equals the text, or one of the texts of `in:a,"b, c"`."""

    def condition(name: str, text: str) -> ColumnElement[bool]:
        if not text.startswith("in:"):
            return column == text
        try:
            words = next(csv.reader([text[3:]], strict=True), [])
        except csv.Error:
            raise InvalidField(name, text, 'give in: and texts joined by commas, quoted by " where needed') from None
        return column.in_(words)

    return condition


def _number(compare: Callable[[int], ColumnElement[bool]]) -> Filter:
    def condition(name: str, text: str) -> ColumnElement[bool]:
        if not (text.isascii() and text.isdigit()) or int(text[:20]) > _LARGEST:
            raise InvalidField(name, text, f"give a whole number from 0 to {_LARGEST}")
        return compare(int(text))

    return condition


_FILTERS: dict[str, Filter] = {
    "id": _words_filter(images.c.id),
    "name": _words_filter(images.c.name),
    "status": _words_filter(images.c.status),
    "disk_format": _words_filter(images.c.disk_format),
    "container_format": _words_filter(images.c.container_format),
    "owner": text_filter(images.c.project_id),
    "checksum": text_filter(images.c.checksum),
    "os_hash_algo": text_filter(images.c.hash_algorithm),
    "os_hash_value": text_filter(images.c.hash_value),
    "protected": truth_filter(images.c.protected),
    "size_min": _number(lambda number: images.c.size >= number),
    "size_max": _number(lambda number: images.c.size <= number),
    "min_disk": _number(lambda number: images.c.min_disk >= number),
    "min_ram": _number(lambda number: images.c.min_ram >= number),
    "created_at": time_filter(images.c.created_at),
    "updated_at": time_filter(images.c.updated_at),
}

IMAGES = Listing(
    images,
    filters=_FILTERS,
    sorts={
        "id": images.c.id,
        "name": images.c.name,
        "status": images.c.status,
        "disk_format": images.c.disk_format,
        "container_format": images.c.container_format,
        "visibility": images.c.visibility,
        "owner": images.c.project_id,
        "protected": images.c.protected,
        "size": images.c.size,
        "min_disk": images.c.min_disk,
        "min_ram": images.c.min_ram,
        "checksum": images.c.checksum,
        "created_at": images.c.created_at,
        "updated_at": images.c.updated_at,
    },
    noun="Image",
)


def list_images(tx: Transaction, caller: Caller, params: Mapping[str, str], tags: Sequence[str]) -> Page[Image]:
    """One page. Raises InvalidField for a filter, sort key or limit that is none, BadRequest for an unknown marker."""
    statement: Select[Any] = select(*IMAGE).where(
        images.c.deleted_at.is_(None),
        _visible(caller, params),
        truth_filter(images.c.hidden)("os_hidden", params.get("os_hidden", "false")),
        *(_has_tag(tx, tag) for tag in tags),
        *(_has_property(tx, name, text) for name, text in params.items() if _is_property(name)),
    )
    return IMAGES.page(tx, statement, IMAGES.parse(params), record)


def id_of(tx: Transaction, caller: Caller, wanted: str) -> str:
    """The id of the image that is meant by its id, or by a name that no other image has which the caller is shown.

    What names no image is returned as it is. Raises BadRequest for a name of several."""
    if find(tx, wanted) is not None:
        return wanted
    named = select(images.c.id).where(images.c.deleted_at.is_(None), images.c.name == wanted, _visible(caller, {}))
    found = tx.execute(named.limit(2)).scalars().all()
    if len(found) > 1:
        raise BadRequest(f"Several images are named {wanted[:64]}; give the id of one.")
    return str(found[0]) if found else wanted


def _is_property(name: str) -> bool:
    return name not in _FILTERS and name not in _PAGING and name not in _SPECIAL


def _visible(caller: Caller, params: Mapping[str, str]) -> ColumnElement[bool]:
    """What the caller sees of what `visibility` and `member_status` ask for."""
    member_status = params.get("member_status", "accepted")
    if member_status not in ("accepted", "pending", "rejected", "all"):
        raise InvalidField("member_status", member_status, "give accepted, pending, rejected or all")
    own: ColumnElement[bool] = false() if caller.project_id is None else images.c.project_id == caller.project_id
    shared = _shared_with(caller, member_status)
    asked = params.get("visibility")
    if asked is None:
        if caller.is_admin:
            return or_(own, images.c.visibility != "community")
        return or_(own, shared, images.c.visibility == "public")
    seen = true() if caller.is_admin else or_(own, shared, images.c.visibility.in_(("public", "community")))
    if asked == "all":
        return seen
    if asked not in VISIBILITIES:
        raise InvalidField("visibility", asked, f"give {', '.join(VISIBILITIES)} or all")
    return and_(seen, images.c.visibility == asked)


def _shared_with(caller: Caller, member_status: str) -> ColumnElement[bool]:
    """Images that others share with the caller's project, which answered so."""
    if caller.project_id is None:
        return false()
    mine = select(image_members.c.image_id).where(image_members.c.project_id == caller.project_id)
    if member_status != "all":
        mine = mine.where(image_members.c.status == member_status)
    return and_(images.c.visibility == "shared", images.c.id.in_(mine))


def _has_tag(tx: Transaction, tag: str) -> ColumnElement[bool]:
    if not tx.sqlite:
        return cast(images.c.tags, JSONB).contains([tag])
    each = func.json_each(images.c.tags).table_valued("value")
    return select(1).select_from(each).where(each.c.value == tag).correlate(images).exists()


def _has_property(tx: Transaction, name: str, text: str) -> ColumnElement[bool]:
    if not tx.sqlite:
        return cast(images.c.properties, JSONB).contains({name: text})
    each = func.json_each(images.c.properties).table_valued("key", "value")
    return select(1).select_from(each).where(each.c.key == name, each.c.value == text).correlate(images).exists()
