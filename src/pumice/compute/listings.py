"""How servers are listed: filters and sort keys (Compute API v2.1)."""

import json
import re
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, false, or_

from pumice.db.paging import Filter, Listing, text_filter, time_filter, truth_filter
from pumice.db.schema import servers
from pumice.errors import InvalidField

MOST_REPEATED = 3
"""Repetitions in a regular expression: a database thread looks at every name with it."""
_SPECIAL = re.compile(r"[\^$.*+?\[\\]")
_PATTERN = re.compile(r"\^?(?:(?:[^\\\[\](){}|*+?^$]|\\[^A-Za-z0-9]|\[\^?[^\\\[\]]+\])[*+?]?)*\$?")
_REPEATED = re.compile(r"(?<!\\)[*+]")
POWER_STATES = {"0": ("none",), "1": ("on",), "3": ("paused",), "4": ("off", "suspended")}


def _name(name: str, text: str) -> ColumnElement[bool]:
    """A part of the name, or a plain regular expression: characters, "." and [sets], each repeated by *, + or ?."""
    if not _SPECIAL.search(text):
        return servers.c.name.contains(text, autoescape=True)
    if not _PATTERN.fullmatch(text) or len(_REPEATED.findall(text)) > MOST_REPEATED:
        raise InvalidField(
            name, text, f"a part of a name, or a regular expression without groups, of at most {MOST_REPEATED} * and +"
        )
    try:
        re.compile(text)
    except re.error as error:
        raise InvalidField(name, text, f"a regular expression: {error}") from None
    return servers.c.name.regexp_match(text)


_MAX_TAGS = 50
"""What a server can have."""


def _has_tag(tag: str) -> ColumnElement[bool]:
    """The JSON list has the tag, whichever way the database writes what is not ASCII."""
    listed = cast(servers.c.tags, String)
    return or_(*(listed.contains(json.dumps(tag, ensure_ascii=plain), autoescape=True) for plain in (True, False)))


def _tags(*, every: bool, wanted: bool) -> Filter:
    def condition(name: str, text: str) -> ColumnElement[bool]:
        asked = {tag for tag in text.split(",") if tag}
        if len(asked) > _MAX_TAGS:
            raise InvalidField(name, text, f"give {_MAX_TAGS} tags at most")
        found = [_has_tag(tag) for tag in sorted(asked)]
        matched = and_(*found) if every else or_(false(), *found)
        return matched if wanted else ~matched

    return condition


def _power(name: str, text: str) -> ColumnElement[bool]:
    if text not in POWER_STATES:
        raise InvalidField(name, text, f"power states are {', '.join(POWER_STATES)}")
    return servers.c.power.in_(POWER_STATES[text])


def _changes(word: str) -> Filter:
    return lambda name, text: time_filter(servers.c.updated_at)(name, f"{word}:{text}")


def _address(column: ColumnElement[Any]) -> Filter:
    """Servers have no addresses but those that users wrote down."""
    return lambda _name, text: column.contains(text.strip("^$").replace("\\", ""), autoescape=True)


SERVERS = Listing(
    servers,
    filters={
        "name": _name,
        "display_name": _name,
        "description": lambda _name, text: servers.c.description.contains(text, autoescape=True),
        "status": lambda _name, text: servers.c.status == text.upper(),
        "vm_state": text_filter(servers.c.vm_state),
        "task_state": text_filter(servers.c.task_state),
        "power_state": _power,
        "uuid": text_filter(servers.c.id),
        "flavor": text_filter(servers.c.flavor_id),
        "image": text_filter(servers.c.image_id),
        "host": text_filter(servers.c.host),
        "node": text_filter(servers.c.host),
        "project_id": text_filter(servers.c.project_id),
        "tenant_id": text_filter(servers.c.project_id),
        "user_id": text_filter(servers.c.user_id),
        "key_name": text_filter(servers.c.key_name),
        "reservation_id": text_filter(servers.c.reservation_id),
        "config_drive": truth_filter(servers.c.config_drive),
        "locked": truth_filter(servers.c.locked),
        "availability_zone": text_filter(servers.c.availability_zone),
        "access_ip_v4": _address(servers.c.access_ip_v4),
        "access_ip_v6": _address(servers.c.access_ip_v6),
        "ip": _address(servers.c.access_ip_v4),
        "ip6": _address(servers.c.access_ip_v6),
        "tags": _tags(every=True, wanted=True),
        "tags-any": _tags(every=False, wanted=True),
        "not-tags": _tags(every=True, wanted=False),
        "not-tags-any": _tags(every=False, wanted=False),
        "changes-since": _changes("gte"),
        "changes-before": _changes("lte"),
    },
    sorts={
        "created_at": servers.c.created_at,
        "updated_at": servers.c.updated_at,
        "launched_at": servers.c.launched_at,
        "display_name": servers.c.name,
        "name": servers.c.name,
        "uuid": servers.c.id,
        "vm_state": servers.c.vm_state,
        "task_state": servers.c.task_state,
        "host": servers.c.host,
        "project_id": servers.c.project_id,
        "user_id": servers.c.user_id,
        "key_name": servers.c.key_name,
        "availability_zone": servers.c.availability_zone,
    },
    noun="Server",
    full_page_links=True,
)
ADMINISTRATORS_ONLY = (
    "host",
    "node",
    "project_id",
    "tenant_id",
    "user_id",
    "vm_state",
    "task_state",
    "power_state",
    "key_name",
    "availability_zone",
    "config_drive",
    "uuid",
)
"""Filters that others may send from 2.1 on without effect."""
KEPT_FOR_ALL = ("availability_zone", "config_drive", "key_name", "power_state", "task_state", "vm_state", "user_id")
"""Those of them that count for everybody from 2.83 on."""
SINCE = {
    "tags": (2, 26),
    "tags-any": (2, 26),
    "not-tags": (2, 26),
    "not-tags-any": (2, 26),
    "changes-before": (2, 66),
    "locked": (2, 73),
}
"""Filters with the microversion that brought them; before it they are ignored."""
