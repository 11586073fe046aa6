"""/v3/auth: logging in, looking at tokens and giving them back; what the caller's own token reaches."""

from typing import Any, Literal

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.route import Answer, Call, Route
from pumice.api.identity import domains as domains_face
from pumice.api.identity import projects as projects_face
from pumice.api.identity.answers import Password, json_response, listed, time
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, Forbidden, NotFound, Unauthorized
from pumice.identity import domains, logins, projects, tokens
from pumice.identity.catalog import catalog
from pumice.identity.logins import ScopeName, UserName
from pumice.identity.model import Grant, Named


class DomainReference(Struct):
    id: str | None = None
    name: str | None = None


class UserCredentials(Struct):
    password: Password
    id: str | None = None
    name: str | None = None
    domain: DomainReference = field(default_factory=DomainReference)


class PasswordMethod(Struct):
    user: UserCredentials


class TokenMethod(Struct):
    id: str


class IdentityMethods(Struct):
    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class ProjectReference(Struct):
    id: str | None = None
    name: str | None = None
    domain: DomainReference = field(default_factory=DomainReference)


class SystemReference(Struct):
    all: bool


class ScopeReference(Struct):
    project: ProjectReference | None = None
    domain: DomainReference | None = None
    system: SystemReference | None = None


class Authentication(Struct):
    identity: IdentityMethods
    scope: ScopeReference | Literal["unscoped"] | None = None


class LoginBody(Struct):
    auth: Authentication


async def login(call: Call, request: Request) -> Response:
    """A new token, by password or by another token."""
    wanted: Authentication = call.body.auth
    scope = _scope(wanted.scope)
    if wanted.identity.methods == ["password"] and wanted.identity.password is not None:
        token, grant = await _by_password(call, wanted.identity.password.user, scope)
    elif wanted.identity.methods == ["token"] and wanted.identity.token is not None:
        token, grant = await _by_token(call, wanted.identity.token.id, scope)
    else:
        raise BadRequest("auth.identity.methods must be ['password'] or ['token'], with an object of that name.")
    return json_response(201, {"token": shown(grant, call)}, {"X-Subject-Token": token})


async def _by_password(call: Call, user: UserCredentials, scope: ScopeName) -> tuple[str, Grant]:
    if not user.id and not (user.name and (user.domain.id or user.domain.name)):
        raise BadRequest("auth.identity.password.user needs an id, or a name and a domain.")
    name = UserName(id=user.id, name=user.name, domain_id=user.domain.id, domain_name=user.domain.name)
    services = call.services
    candidate = await services.database.call_read(logins.look_up, name, call.client)
    if not await services.identity.passwords.verify(candidate.password_hash, user.password):
        await services.database.call_write(logins.note_failure, candidate, call.client)
        raise Unauthorized
    return await services.database.call_write(
        logins.succeed, candidate, call.client, scope, services.settings.token_lifetime
    )


async def _by_token(call: Call, token: str, scope: ScopeName) -> tuple[str, Grant]:
    database, digest = call.services.database, tokens.digest(token)
    await database.call_read(tokens.evaluate, digest)
    return await database.call_write(logins.rescope, digest, scope, call.services.settings.token_lifetime)


def _scope(scope: ScopeReference | str | None) -> ScopeName:
    if scope is None:
        return ScopeName()
    if isinstance(scope, str):
        return ScopeName(unscoped=True)
    if scope.system is not None:
        return ScopeName(system=True)
    if scope.project is not None:
        project = scope.project
        if not project.id and not (project.name and (project.domain.id or project.domain.name)):
            raise BadRequest("auth.scope.project needs an id, or a name and a domain.")
        return ScopeName(
            project_id=project.id,
            project_name=project.name,
            domain_id=project.domain.id,
            domain_name=project.domain.name,
        )
    if scope.domain is not None and (scope.domain.id or scope.domain.name):
        return ScopeName(domain_id=scope.domain.id, domain_name=scope.domain.name)
    raise BadRequest("auth.scope needs a project, a domain, or a system.")


def _named(one: Named) -> dict[str, str]:
    return {"id": one.id, "name": one.name}


def shown(grant: Grant, call: Call) -> dict[str, Any]:
    """The token's body; a token without a scope has neither roles nor a catalogue."""
    body: dict[str, Any] = {
        "methods": list(grant.methods),
        "user": {**_named(grant.user), "domain": _named(grant.user_domain), "password_expires_at": None},
        "audit_ids": list(grant.audit_ids),
        "issued_at": time(grant.issued_at),
        "expires_at": time(grant.expires_at),
    }
    if grant.project is not None and grant.project_domain is not None:
        body["project"] = {**_named(grant.project), "domain": _named(grant.project_domain)}
        body["is_domain"] = False
    if grant.domain is not None:
        body["domain"] = _named(grant.domain)
    if grant.scope == "system":
        body["system"] = {"all": True}
    if grant.scope != "none":
        body["roles"] = [_named(role) for role in grant.roles]
        if "nocatalog" not in call.params:
            body["catalog"] = _catalog(call, grant.project.id if grant.project else None)
    return body


def _catalog(call: Call, project_id: str | None) -> list[dict[str, Any]]:
    return catalog(call.links.root, call.services.settings.region, project_id)


def validate(tx: Transaction, call: Call) -> Any:
    """What the token in X-Subject-Token grants; others' tokens for administrators and services only."""
    _, grant = _subject(tx, call)
    return Answer(200, {"token": shown(grant, call)}, {"X-Subject-Token": call.headers["x-subject-token"]})


def revoke(tx: Transaction, call: Call) -> None:
    """The token in X-Subject-Token is worth nothing any more, at once and everywhere."""
    digest, _ = _subject(tx, call)
    tokens.revoke(tx, digest)


def _subject(tx: Transaction, call: Call) -> tuple[str, Grant]:
    token = call.headers.get("x-subject-token")
    if not token:
        raise BadRequest("The header X-Subject-Token is missing.")
    digest = tokens.digest(token)
    try:
        grant = tokens.evaluate(tx, digest)
    except Unauthorized:
        raise NotFound("The token could not be found.") from None
    caller = call.caller
    if grant.user.id != caller.user_id and not (caller.is_admin or "service" in caller.roles):
        raise Forbidden("Other users' tokens are for administrators and services.")
    return digest, grant


def own_catalog(tx: Transaction, call: Call) -> Any:
    return {"catalog": _catalog(call, call.caller.project_id), "links": {"self": call.links.here}}


def own_projects(tx: Transaction, call: Call) -> Any:
    return listed("projects", projects.of_user(tx, call.caller.user_id), projects_face.shown, call)


def own_domains(tx: Transaction, call: Call) -> Any:
    return listed("domains", domains.of_user(tx, call.caller.user_id), domains_face.shown, call)


def own_system(tx: Transaction, call: Call) -> Any:
    has_any = bool(tokens.effective_roles(tx, call.caller.user_id, "system", "all"))
    return {"system": [{"all": True}] if has_any else [], "links": {"self": call.links.here}}


ROUTES: tuple[Route, ...] = (
    Route("POST", "/auth/tokens", stream=login, status=201, body=LoginBody, public=True, max_body=65_536),
    Route("GET", "/auth/tokens", validate, action="identity:validate_token"),
    Route("DELETE", "/auth/tokens", revoke, status=204, write=True, action="identity:revoke_token"),
    Route("GET", "/auth/catalog", own_catalog, action="identity:own_catalog"),
    Route("GET", "/auth/projects", own_projects, action="identity:own_projects"),
    Route("GET", "/auth/domains", own_domains, action="identity:own_domains"),
    Route("GET", "/auth/system", own_system, action="identity:own_system"),
)
