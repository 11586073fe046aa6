"""Access rules: the requests that an application credential may be limited to, and whether a request is one of them.

A rule is (type of service, method, pattern of the path). It belongs to a user, stays when its credential goes, and can
be used again by its id. Called by `identity.py` in the hop of every request whose token is so limited.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import msgspec
from sqlalchemy import delete, insert, select

from pumice.caller import new_id
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import access_rules, application_credential_rules
from pumice.errors import Forbidden, NotFound
from pumice.identity.changes import exact_filters
from pumice.identity.model import AccessRule
from pumice.identity.path_patterns import compiled

MOST = 1_000
"""Rules of one user."""

SERVICES: Mapping[str, frozenset[str]] = {
    "identity": frozenset({"identity"}),
    "volume": frozenset({"block-storage", "block-store", "volume", "volumev2", "volumev3"}),
    "image": frozenset({"image"}),
    "compute": frozenset({"compute"}),
    "metering": frozenset({"metering"}),
}
"""The types of service by which a rule may call a face. A rule for any other service allows nothing here."""

_RULE = columns(access_rules, AccessRule)


class RuleWish(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as a request names it: by the id of one that is there, or by what it allows."""

    id: str | None = None
    service: str = ""
    method: str = ""
    path: str = ""


class Asked(msgspec.Struct, frozen=True):
    """A request, as rules see it. `segments` are decoded; None for a path that no face has."""

    face: str
    method: str
    version: str
    project: str | None
    segments: Sequence[str] | None

    def path(self) -> str:
        """From the version on: `/v3/PROJECT/volumes`, without doubled slashes; a slash within a segment stays `%2F`."""
        parts = [self.version, *((self.project,) if self.project else ()), *(self.segments or ())]
        return "".join("/" + (part if "/" not in part else part.replace("/", quote("/", safe=""))) for part in parts)


def allowed(rules: Iterable[AccessRule], asked: Asked | None) -> bool:
    """Is the request one of these? Its path may be written from the version on or with the face before it.

    Looking at one's own token is always allowed. None: a request of which nothing is known is not allowed."""
    if asked is None or asked.segments is None:
        return False
    if asked.face == "identity" and asked.method == "GET" and list(asked.segments) == ["auth", "tokens"]:
        return True
    types, path = SERVICES.get(asked.face, frozenset()), asked.path()
    for rule in rules:
        if rule.method == asked.method and rule.service in types:
            pattern = compiled(rule.path)
            if pattern.matches(path) or pattern.matches(f"/{asked.face}{path}"):
                return True
    return False


def get(tx: Transaction, user_id: str, rule_id: str) -> AccessRule:
    """Raises NotFound, also for another user's."""
    row = tx.execute(select(*_RULE).where(access_rules.c.id == rule_id, access_rules.c.user_id == user_id)).first()
    if row is None:
        raise NotFound.of("Access rule", rule_id)
    return AccessRule(*row)


def listing(tx: Transaction, user_id: str, filters: Mapping[str, str]) -> list[AccessRule]:
    """The user's rules; filters: service, method, path."""
    c = access_rules.c
    where = exact_filters(filters, {"service": c.service, "method": c.method, "path": c.path})
    statement = select(*_RULE).where(c.user_id == user_id, *where).order_by(c.service, c.path, c.method)
    return [AccessRule(*row) for row in tx.execute(statement)]


def remove(tx: Transaction, user_id: str, rule_id: str) -> None:
    """Raises NotFound, Forbidden while a credential uses it."""
    get(tx, user_id, rule_id)
    used = select(application_credential_rules.c.access_rule_id).where(
        application_credential_rules.c.access_rule_id == rule_id
    )
    if tx.execute(used.limit(1)).first() is not None:
        raise Forbidden(f"Access rule {rule_id} is used by an application credential; delete that first.")
    tx.execute(delete(access_rules).where(access_rules.c.id == rule_id))


def find_or_make(tx: Transaction, user_id: str, wishes: Iterable[RuleWish]) -> list[AccessRule]:
    """The user's rules for these wishes, each once. Raises NotFound for an unknown id, Forbidden above `MOST` rules."""
    known = {(rule.service, rule.method, rule.path): rule for rule in listing(tx, user_id, {})}
    found: dict[str, AccessRule] = {}
    for wish in wishes:
        if wish.id is not None:
            rule = get(tx, user_id, wish.id)
        else:
            key = (wish.service, wish.method, wish.path)
            rule = known.get(key) or AccessRule(new_id().replace("-", ""), *key)
            if key not in known:
                if len(known) >= MOST:
                    raise Forbidden(f"A user has at most {MOST} access rules; delete some that are not used.")
                values = {name: getattr(rule, name) for name in rule.__struct_fields__}
                tx.execute(insert(access_rules).values(user_id=user_id, **values))
                known[key] = rule
        found[rule.id] = rule
    return list(found.values())


def of_credentials(tx: Transaction, credential_ids: Sequence[str]) -> dict[str, list[AccessRule]]:
    """By credential id, for those that have any."""
    link = application_credential_rules
    rows = tx.execute(
        select(link.c.application_credential_id, *_RULE)
        .join(access_rules, access_rules.c.id == link.c.access_rule_id)
        .where(link.c.application_credential_id.in_(credential_ids))
        .order_by(access_rules.c.service, access_rules.c.path, access_rules.c.method)
    )
    found: dict[str, list[AccessRule]] = {}
    for credential_id, *rule in rows:
        found.setdefault(credential_id, []).append(AccessRule(*rule))
    return found


def forget_of_user(tx: Transaction, user_id: str) -> None:
    """All rules of a user whose credentials are gone."""
    tx.execute(delete(access_rules).where(access_rules.c.user_id == user_id))
