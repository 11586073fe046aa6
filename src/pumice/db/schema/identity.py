"""Who may do what: domains, projects, users, roles, assignments, tokens."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from pumice.db.schema.base import Json, Uuid, live_index, metadata, one_of, time, uuid_key

domains = Table(
    "domains",
    metadata,
    uuid_key(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    time("created_at", nullable=False),
)

projects = Table(
    "projects",
    metadata,
    uuid_key(),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("parent_id", Uuid),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    time("created_at", nullable=False),
    live_index("uq_projects_name", "domain_id", "name", unique=True, where="1 = 1"),
)

users = Table(
    "users",
    metadata,
    uuid_key(),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("email", String(255)),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", Uuid),
    Column("password_hash", Text, comment="argon2id; NULL: no password login"),
    time("password_changed_at"),
    time("created_at", nullable=False),
    live_index("uq_users_name", "domain_id", "name", unique=True, where="1 = 1"),
)

roles = Table(
    "roles",
    metadata,
    uuid_key(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    time("created_at", nullable=False),
)

role_assignments = Table(
    "role_assignments",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("target_type", String(16), primary_key=True),
    Column("target_id", String(36), primary_key=True, comment="project or domain id; 'all' for the system"),
    one_of("target_type", "target_type", "project", "domain", "system"),
    CheckConstraint("(target_type = 'system') = (target_id = 'all')", name="system"),
    live_index("ix_role_assignments_target", "target_type", "target_id", where="1 = 1"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", String(64), primary_key=True, comment="SHA-256 of the token; the token itself is never stored"),
    Column("audit_id", String(32), nullable=False),
    Column("parent_audit_id", String(32)),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("scope_type", String(16), nullable=False),
    Column("scope_id", String(36)),
    Column("methods", Json, nullable=False),
    time("issued_at", nullable=False),
    time("expires_at", nullable=False),
    time("revoked_at"),
    one_of("scope_type", "scope_type", "project", "domain", "system", "none"),
    live_index("ix_tokens_user", "user_id", where="revoked_at IS NULL"),
    live_index("ix_tokens_expires", "expires_at", where="1 = 1"),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    # One row a (user, client address): failures slow that pair down, never another client of the same user.
    Column("user_id", String(255), primary_key=True),
    Column("client", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    time("last_at", nullable=False),
)

generations = Table(
    "generations",
    metadata,
    # A number that grows whenever what a cache holds may be stale, e.g. name 'identity'.
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
