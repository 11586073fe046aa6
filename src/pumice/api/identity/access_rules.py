"""/v3/users/{user_id}/access_rules; they are made with application credentials."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import listed, with_self
from pumice.db.engine import Transaction
from pumice.identity import access_rules, users
from pumice.identity.model import AccessRule

ServiceType = Annotated[str, Meta(min_length=1, max_length=255)]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
PathText = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A/")]


def plain(rule: AccessRule) -> dict[str, Any]:
    return {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}


def shown(rule: AccessRule, call: Call) -> dict[str, Any]:
    return with_self(plain(rule), f"/users/{call.path['user_id']}/access_rules", call)


def index(tx: Transaction, call: Call) -> Any:
    users.get(tx, call.path["user_id"])
    return listed("access_rules", access_rules.listing(tx, call.path["user_id"], call.params), shown, call)


def show(tx: Transaction, call: Call) -> Any:
    return {"access_rule": shown(access_rules.get(tx, call.path["user_id"], call.path["rule_id"]), call)}


def delete(tx: Transaction, call: Call) -> None:
    access_rules.remove(tx, call.path["user_id"], call.path["rule_id"])


ROUTES: tuple[Route, ...] = (
    Route("GET", "/users/{user_id}/access_rules", index, action="identity:list_access_rules"),
    Route("GET", "/users/{user_id}/access_rules/{rule_id}", show, action="identity:get_access_rule"),
    Route(
        "DELETE",
        "/users/{user_id}/access_rules/{rule_id}",
        delete,
        status=204,
        write=True,
        action="identity:delete_access_rule",
    ),
)
