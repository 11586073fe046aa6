"""/v3/groups: there are no groups of users. Clients ask on their way, and are told so: an empty list, 404 for one."""

from typing import Any, NoReturn

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import listed
from pumice.db.engine import Transaction
from pumice.errors import Forbidden, NotFound
from pumice.identity import users


def index(tx: Transaction, call: Call) -> Any:
    return listed("groups", (), lambda group, call: group, call)


def of_user(tx: Transaction, call: Call) -> Any:
    users.get(tx, call.path["user_id"])
    return index(tx, call)


def missing(tx: Transaction, call: Call) -> NoReturn:
    raise NotFound.of("Group", call.path["group_id"])


def create(tx: Transaction, call: Call) -> NoReturn:
    raise Forbidden("Pumice has no groups of users; give roles to users.")


def _grants(place: str) -> tuple[Route, ...]:
    many = f"{place}/groups/{{group_id}}/roles"
    return (
        Route("GET", many, missing, action="identity:list_grants", name="groups.granted"),
        Route("PUT", f"{many}/{{role_id}}", missing, write=True, action="identity:create_grant", name="groups.grant"),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/groups", index, action="identity:list_groups"),
    Route("POST", "/groups", create, write=True, action="identity:create_group"),
    Route("GET", "/groups/{group_id}", missing, action="identity:get_group"),
    Route("GET", "/groups/{group_id}/users", missing, action="identity:list_users_in_group", name="groups.users"),
    Route("GET", "/users/{user_id}/groups", of_user, action="identity:list_groups_for_user"),
    *_grants("/projects/{project_id}"),
    *_grants("/domains/{domain_id}"),
    *_grants("/system"),
)
