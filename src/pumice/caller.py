"""Who is asking: what the edge learnt from the token, handed to every service function."""

import uuid

import msgspec

SYSTEM_USER = "00000000-0000-0000-0000-000000000000"
"""The user id in records that Pumice itself makes (reconciler, retention)."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticated request. `project_id` is None for unscoped, domain and system tokens."""

    request_id: str
    user_id: str
    project_id: str | None
    roles: frozenset[str] = frozenset()
    system_scope: bool = False
    domain_id: str | None = None
    """Set when the token is scoped to a domain."""
    user_name: str = ""
    project_name: str = ""
    has_service_token: bool = False
    """A valid X-Service-Token of a user with the role `service` came along: the caller is another service."""
    restricted: bool = False
    """An application credential made the token, one that may neither make nor delete others."""

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


def new_request_id() -> str:
    return f"req-{uuid.uuid4()}"


def new_id() -> str:
    """A fresh id for a resource, made before the work starts and stored with the operation."""
    return str(uuid.uuid4())


def system_caller(request_id: str | None = None) -> Caller:
    """Pumice itself, e.g. the reconciler."""
    return Caller(
        request_id=request_id or new_request_id(),
        user_id=SYSTEM_USER,
        project_id=None,
        roles=frozenset({"admin"}),
        system_scope=True,
        user_name="pumice",
    )
