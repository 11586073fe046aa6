"""/v3/users/{user_id}/application_credentials"""

import uuid
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from pumice import clock
from pumice.api.edge.route import Call, Route
from pumice.api.identity import access_rules as access_rules_face
from pumice.api.identity.access_rules import HttpMethod, PathText, ServiceType
from pumice.api.identity.answers import Identifier, Name, Password, Text, json_response, listed, with_self, written
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField
from pumice.identity import application_credentials, tokens, users
from pumice.identity.access_rules import RuleWish
from pumice.identity.application_credentials import Described, RoleWish
from pumice.identity.model import ApplicationCredential


class RoleReference(Struct):
    id: Identifier | None = None
    name: Name | None = None


class RuleReference(Struct):
    id: Identifier | None = None
    service: ServiceType | None = None
    method: HttpMethod | None = None
    path: PathText | None = None


class NewCredential(Struct):
    name: Name
    secret: Password | None = None
    description: Text | None = None
    expires_at: Annotated[str, Meta(max_length=64)] | None = None
    roles: Annotated[list[RoleReference], Meta(max_length=100)] | None = None
    unrestricted: bool | None = None
    access_rules: Annotated[list[RuleReference], Meta(max_length=100)] | None = None


class NewCredentialBody(Struct):
    application_credential: NewCredential


def shown(found: Described, call: Call) -> dict[str, Any]:
    credential = found.credential
    values: dict[str, Any] = {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [{"id": role.id, "name": role.name, "domain_id": None} for role in found.roles],
        "unrestricted": credential.unrestricted,
        "expires_at": clock.isoformat(credential.expires_at),
    }
    if found.rules:
        values["access_rules"] = [access_rules_face.plain(rule) for rule in found.rules]
    return with_self(values, f"/users/{credential.user_id}/application_credentials", call)


def index(tx: Transaction, call: Call) -> Any:
    users.get(tx, call.path["user_id"])
    found = application_credentials.listing(tx, call.path["user_id"], call.params)
    return listed("application_credentials", found, shown, call)


def show(tx: Transaction, call: Call) -> Any:
    found = application_credentials.get(tx, call.path["user_id"], call.path["credential_id"])
    return {"application_credential": shown(found, call)}


async def create(call: Call, request: Request) -> Response:
    """The secret is in this answer and in no other."""
    new: NewCredential = call.body.application_credential
    if new.secret is None:
        secret, hashed = application_credentials.new_secret()
    else:
        secret, hashed = new.secret, await call.services.identity.passwords.hash(new.secret, call.client)
    made = await written(call, _create, call, new, hashed)
    return json_response(201, {"application_credential": {**shown(made, call), "secret": secret}})


def _create(tx: Transaction, call: Call, new: NewCredential, secret_hash: str) -> Described:
    grant = tokens.evaluate(tx, call.token_digest)
    if grant.project is None:
        raise BadRequest("An application credential is for a project; ask with a token for that project.")
    credential = ApplicationCredential(
        uuid.uuid4().hex,
        grant.user.id,
        grant.project.id,
        new.name,
        new.description,
        bool(new.unrestricted),
        _end(new.expires_at),
        tx.now,
    )
    wishes = [_role(role) for role in new.roles or ()]
    rules = [_rule(rule) for rule in new.access_rules or ()]
    return application_credentials.create(tx, credential, secret_hash, wishes, grant.roles, rules)


def delete(tx: Transaction, call: Call) -> None:
    application_credentials.remove(tx, call.path["user_id"], call.path["credential_id"])


def _end(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return clock.parse(text)
    except ValueError:
        raise InvalidField("application_credential.expires_at", text, "write a time like 2030-12-31T23:59:59") from None


def _role(role: RoleReference) -> RoleWish:
    if role.id is None and role.name is None:
        raise BadRequest("Each of application_credential.roles needs an id or a name.")
    return RoleWish(id=role.id, name=role.name)


def _rule(rule: RuleReference) -> RuleWish:
    if rule.id is not None:
        return RuleWish(id=rule.id)
    if rule.service is None or rule.method is None or rule.path is None:
        raise BadRequest("Each of application_credential.access_rules needs an id, or service, method and path.")
    return RuleWish(service=rule.service, method=rule.method, path=rule.path)


_MANY = "/users/{user_id}/application_credentials"
_ONE = _MANY + "/{credential_id}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _MANY, index, action="identity:list_application_credentials"),
    Route("GET", _ONE, show, action="identity:get_application_credential"),
    Route(
        "POST",
        _MANY,
        stream=create,
        status=201,
        body=NewCredentialBody,
        action="identity:create_application_credential",
    ),
    Route("DELETE", _ONE, delete, status=204, write=True, action="identity:delete_application_credential"),
)
