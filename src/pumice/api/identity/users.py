"""/v3/users. What takes a password is a stream: hashing has its own threads and holds no transaction."""

import uuid
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import (
    Email,
    Identifier,
    Name,
    Password,
    Text,
    json_response,
    listed,
    time,
    with_self,
    written,
)
from pumice.api.identity.proof import prove
from pumice.db.engine import Transaction
from pumice.identity import logins, users
from pumice.identity.logins import Candidate, UserName
from pumice.identity.model import DEFAULT_DOMAIN, User, UserChange


class NewUser(Struct):
    name: Name
    password: Password | None = None
    domain_id: Identifier | None = None
    default_project_id: Identifier | None = None
    description: Text | None = None
    email: Email | None = None
    enabled: bool = True


class NewUserBody(Struct):
    user: NewUser


class ChangedUser(Struct):
    name: Name | UnsetType = UNSET
    domain_id: Identifier | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    default_project_id: Identifier | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class ChangedUserBody(Struct):
    user: ChangedUser


class NewPassword(Struct):
    password: Password
    original_password: Password


class NewPasswordBody(Struct):
    user: NewPassword


def shown(user: User, call: Call) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "description": user.description,
        "email": user.email,
        "enabled": user.enabled,
        "password_expires_at": None,
        "options": {},
    }
    if user.default_project_id is not None:
        values["default_project_id"] = user.default_project_id
    if user.password_changed_at is not None:
        values["password_changed_at"] = time(user.password_changed_at)
    return with_self(values, "/users", call)


def index(tx: Transaction, call: Call) -> Any:
    return listed("users", users.listing(tx, call.params), shown, call)


def show(tx: Transaction, call: Call) -> Any:
    return {"user": shown(users.get(tx, call.path["user_id"]), call)}


async def create(call: Call, request: Request) -> Response:
    """A new user; without a password it cannot log in."""
    new: NewUser = call.body.user
    hashed = None if new.password is None else await call.services.identity.passwords.hash(new.password, call.client)
    user = await written(call, _create, call, new, hashed)
    return json_response(201, {"user": shown(user, call)})


def _create(tx: Transaction, call: Call, new: NewUser, hashed: str | None) -> User:
    domain_id = new.domain_id or call.caller.domain_id or DEFAULT_DOMAIN
    user = User(
        uuid.uuid4().hex,
        domain_id,
        new.name,
        new.description or "",
        new.email,
        new.enabled,
        new.default_project_id,
        None,
        tx.now,
    )
    return users.create(tx, user, hashed)


async def update(call: Call, request: Request) -> Response:
    """Change a user; a new password ends all of the user's tokens."""
    new: ChangedUser = call.body.user
    hashed: str | UnsetType = UNSET
    if not isinstance(new.password, UnsetType):
        hashed = await call.services.identity.passwords.hash(new.password, call.client)
    wanted = UserChange(
        name=new.name,
        domain_id=new.domain_id,
        description=UNSET if new.description is UNSET else new.description or "",
        enabled=new.enabled,
        email=new.email,
        default_project_id=new.default_project_id,
        password_hash=hashed,
    )
    user = await written(call, users.change, call.path["user_id"], wanted)
    return json_response(200, {"user": shown(user, call)})


async def change_password(call: Call, request: Request) -> Response:
    """The user's own: the old one must be right, and wrong ones slow down as wrong logins do."""
    services, new = call.services, call.body.user
    candidate = await prove(call, logins.look_up, UserName(id=call.path["user_id"]), new.original_password)
    hashed = await services.identity.passwords.hash(new.password, call.client)
    await written(call, _replace_password, candidate, call.client, hashed)
    return Response(status_code=204)


def _replace_password(tx: Transaction, candidate: Candidate, client: str, hashed: str) -> None:
    assert candidate.user_id is not None
    users.replace_password(tx, candidate.user_id, candidate.secret_hash, hashed)
    logins.forgive(tx, candidate, client)


def delete(tx: Transaction, call: Call) -> None:
    users.remove(tx, call.path["user_id"])


ROUTES: tuple[Route, ...] = (
    Route("GET", "/users", index, action="identity:list_users"),
    Route("GET", "/users/{user_id}", show, action="identity:get_user"),
    Route("POST", "/users", stream=create, status=201, body=NewUserBody, action="identity:create_user"),
    Route("PATCH", "/users/{user_id}", stream=update, body=ChangedUserBody, action="identity:update_user"),
    Route(
        "POST",
        "/users/{user_id}/password",
        stream=change_password,
        status=204,
        body=NewPasswordBody,
        action="identity:change_password",
    ),
    Route("DELETE", "/users/{user_id}", delete, status=204, write=True, action="identity:delete_user"),
)
