"""/v3/auth: logging in, looking at tokens and giving them back; what the caller's own token reaches."""

from typing import Any, Literal

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from pumice.api.edge.route import Answer, Call, Route
from pumice.api.identity import domains as domains_face
from pumice.api.identity import projects as projects_face
from pumice.api.identity.answers import Password, json_response, listed, time, written
from pumice.api.identity.proof import prove
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, Forbidden, NotFound, Unauthorized
from pumice.identity import domains, logins, projects, tokens
from pumice.identity.catalog import catalog
from pumice.identity.logins import Candidate, CredentialName, ScopeName, UserName
from pumice.identity.model import Grant, Named, UsedCredential


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


class UserReference(Struct):
    id: str | None = None
    name: str | None = None
    domain: DomainReference = field(default_factory=DomainReference)


class CredentialMethod(Struct):
    secret: Password
    id: str | None = None
    name: str | None = None
    user: UserReference = field(default_factory=UserReference)


class IdentityMethods(Struct):
    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: CredentialMethod | None = None


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
    """A new token, by password, by another token, or by application credential."""
    wanted: Authentication = call.body.auth
    identity, scope = wanted.identity, _scope(wanted.scope)
    if identity.methods == ["password"] and identity.password is not None:
        token, grant = await _by_password(call, identity.password.user, scope)
    elif identity.methods == ["token"] and identity.token is not None:
        token, grant = await _by_token(call, identity.token.id, scope)
    elif identity.methods == ["application_credential"] and identity.application_credential is not None:
        token, grant = await _by_credential(call, identity.application_credential, scope)
    else:
        raise BadRequest(
            "auth.identity.methods must be one of ['password'], ['token'] and ['application_credential'], with an "
            "object of that name."
        )
    return json_response(201, {"token": shown(grant, call)}, {"X-Subject-Token": token})


async def _by_password(call: Call, user: UserCredentials, scope: ScopeName) -> tuple[str, Grant]:
    name = _user_name("auth.identity.password.user", user)
    return await _issue(call, await prove(call, logins.look_up, name, user.password), scope)


async def _by_credential(call: Call, wanted: CredentialMethod, scope: ScopeName) -> tuple[str, Grant]:
    """The credential's project is the scope; no other may be asked for."""
    if scope not in (ScopeName(), ScopeName(unscoped=True)):
        raise Unauthorized("Error authenticating with application credential: it cannot request a scope.")
    where = "auth.identity.application_credential"
    if wanted.id:
        name = CredentialName(id=wanted.id)
    elif wanted.name:
        name = CredentialName(name=wanted.name, user=_user_name(f"{where}.user", wanted.user))
    else:
        raise BadRequest(f"{where} needs an id, or a name and a user.")
    return await _issue(call, await prove(call, logins.look_up_credential, name, wanted.secret), scope)


async def _issue(call: Call, candidate: Candidate, scope: ScopeName) -> tuple[str, Grant]:
    lifetime = call.services.settings.token_lifetime
    return await written(call, logins.succeed, candidate, call.client, scope, lifetime)


def _user_name(field: str, user: UserCredentials | UserReference) -> UserName:
    if not user.id and not (user.name and (user.domain.id or user.domain.name)):
        raise BadRequest(f"{field} needs an id, or a name and a domain.")
    if user.id:
        return UserName(id=user.id)
    return UserName(name=user.name, domain_id=user.domain.id, domain_name=user.domain.name)


async def _by_token(call: Call, token: str, scope: ScopeName) -> tuple[str, Grant]:
    database, digest = call.services.database, tokens.digest(token)
    await database.call_read(tokens.evaluate, digest)
    return await written(call, logins.rescope, digest, scope, call.services.settings.token_lifetime)


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
    if grant.application_credential is not None:
        body["application_credential"] = _used(grant.application_credential)
    if grant.scope != "none":
        body["roles"] = [_named(role) for role in grant.roles]
        if "nocatalog" not in call.params:
            body["catalog"] = _catalog(call, grant.project.id if grant.project else None)
    return body


def _used(credential: UsedCredential) -> dict[str, Any]:
    shown = {"id": credential.id, "name": credential.name, "restricted": credential.restricted}
    return {**shown, "access_rules": list(credential.rules)} if credential.rules else shown


def _catalog(call: Call, project_id: str | None) -> list[dict[str, Any]]:
    return catalog(call.links.root, call.services.settings.region, project_id)


def validate(tx: Transaction, call: Call) -> Any:
    """What the token in X-Subject-Token grants; others' tokens for administrators and services only.

    A token with access rules is not found by who does not say that it knows them: it would allow everything."""
    _, grant = _subject(tx, call)
    used = grant.application_credential
    if used is not None and used.rules and not _knows_access_rules(call):
        raise NotFound("The token could not be found.")
    return Answer(200, {"token": shown(grant, call)}, {"X-Subject-Token": call.headers["x-subject-token"]})


def _knows_access_rules(call: Call) -> bool:
    try:
        return float(call.headers.get("openstack-identity-access-rules") or "0") >= 1
    except ValueError:
        return False


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
    return projects_face.listed_with_tags(tx, projects.of_user(tx, call.caller.user_id), call)


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
