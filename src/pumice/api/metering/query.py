"""What the routes of metering share: the pairs of a query, its conditions, limits, booleans.

`q.field=a&q.op=eq&q.type=&q.value=x`, each as often as there are conditions, is read by `pumice.metering.conditions`.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from pumice.api.edge.route import Call
from pumice.clock import isoformat
from pumice.errors import BadRequest, InvalidField
from pumice.metering import conditions
from pumice.metering.conditions import Condition

DEFAULT_LIMIT = 100
"""As Ceilometer's default_api_return_limit."""
MAX_LIMIT = 10_000


def pairs(call: Call) -> list[tuple[str, str]]:
    """Every parameter, also those that come several times. Raises BadRequest."""
    try:
        return parse_qsl(call.query_string.decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("The query is not UTF-8.") from None


def asked(call: Call, *known: str) -> tuple[Condition, ...]:
    """The conditions of the query. Raises InvalidField for a parameter that is neither q.* nor one of `known`."""
    sent = pairs(call)
    for name, value in sent:
        if not name.startswith("q.") and name not in known:
            raise InvalidField(name, value, f"parameters here are {', '.join(('q.*', *known))}")
    return conditions.parse(sent)


def limit(call: Call) -> int:
    """How many at most; 100 when not asked. Raises InvalidField."""
    text = call.params.get("limit")
    return DEFAULT_LIMIT if text is None else checked_limit(text)


def checked_limit(value: str | int) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidField("limit", value, f"give a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def marker(call: Call) -> str | None:
    return call.params.get("marker") or None


def truth(call: Call, name: str) -> bool:
    """A boolean parameter; False when not sent. Raises InvalidField."""
    text = call.params.get(name)
    return False if text is None else conditions.truth(name, text)


def all_of(sent: Sequence[tuple[str, str]], name: str) -> list[str]:
    """The values of a parameter that may come several times."""
    return [value for key, value in sent if key == name]


def time(microseconds: int) -> str:
    """`2026-11-21T10:00:00.000000`"""
    return isoformat(microseconds) or ""
