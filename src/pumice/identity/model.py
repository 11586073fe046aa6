"""Records of identity: domains, projects, users, roles, assignments, application credentials, what a token grants."""

from typing import Literal

import msgspec

ScopeType = Literal["project", "domain", "system", "none"]
TargetType = Literal["project", "domain", "system"]

DEFAULT_DOMAIN = "default"
SYSTEM_TARGET = "all"

IMPLIED = {
    "admin": ("manager", "member", "reader"),
    "manager": ("member", "reader"),
    "member": ("reader",),
}
"""A role brings these along, as far as there are roles of these names."""


class Domain(msgspec.Struct, frozen=True):
    id: str
    name: str
    description: str
    enabled: bool
    created_at: int


class Project(msgspec.Struct, frozen=True):
    id: str
    domain_id: str
    parent_id: str | None
    name: str
    description: str
    enabled: bool
    created_at: int


class User(msgspec.Struct, frozen=True):
    """Without the password's hash: that is read in `logins.py` only."""

    id: str
    domain_id: str
    name: str
    description: str
    email: str | None
    enabled: bool
    default_project_id: str | None
    password_changed_at: int | None
    created_at: int


class Role(msgspec.Struct, frozen=True):
    id: str
    name: str
    description: str
    created_at: int


class Assignment(msgspec.Struct, frozen=True):
    """A user has a role on a project, a domain, or the system ("all")."""

    user_id: str
    role_id: str
    target_type: TargetType
    target_id: str


class Scope(msgspec.Struct, frozen=True):
    """What a token is for. `id` is None for system and unscoped tokens."""

    type: ScopeType
    id: str | None = None


class Named(msgspec.Struct, frozen=True):
    """An id and a name, as answers show them."""

    id: str
    name: str


class AccessRule(msgspec.Struct, frozen=True):
    """One kind of request: a type of service, a method, a pattern of paths (`path_patterns.py`)."""

    id: str
    service: str
    method: str
    path: str


class ApplicationCredential(msgspec.Struct, frozen=True):
    """Without the secret's hash: that is read in `logins.py` only."""

    id: str
    user_id: str
    project_id: str
    name: str
    description: str | None
    unrestricted: bool
    expires_at: int | None
    created_at: int


class UsedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """The application credential that a token was made with. No rules: every request that the roles allow."""

    id: str
    name: str
    restricted: bool
    rules: tuple[AccessRule, ...]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A valid token evaluated: who, for what, with which roles (those implied included). Times in microseconds."""

    user: Named
    user_domain: Named
    scope: ScopeType
    project: Named | None
    project_domain: Named | None
    domain: Named | None
    roles: tuple[Named, ...]
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: int
    expires_at: int
    role_names: frozenset[str]
    application_credential: UsedCredential | None = None


class DomainChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; `UNSET` stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class ProjectChange(DomainChange, frozen=True, kw_only=True):
    domain_id: str | msgspec.UnsetType = msgspec.UNSET
    """Must be what it is, as for a user."""
    parent_id: str | msgspec.UnsetType = msgspec.UNSET
    """Likewise."""


class UserChange(DomainChange, frozen=True, kw_only=True):
    domain_id: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    default_project_id: str | msgspec.UnsetType | None = msgspec.UNSET
    password_hash: str | msgspec.UnsetType = msgspec.UNSET
