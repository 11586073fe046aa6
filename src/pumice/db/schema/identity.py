"""Who may do what: domains, projects, users, roles, assignments, application credentials, tokens."""

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

project_tags = Table(
    "project_tags",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(255), primary_key=True),
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

application_credentials = Table(
    "application_credentials",
    metadata,
    # A user's right in one project, in the hands of a program: it never grants more than the user has now.
    uuid_key(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("secret_hash", Text, nullable=False, comment="argon2id, or sha256: of a secret that Pumice made"),
    Column("unrestricted", Boolean, nullable=False, comment="may make and delete application credentials"),
    time("expires_at"),
    time("created_at", nullable=False),
    live_index("uq_application_credentials_name", "user_id", "name", unique=True, where="1 = 1"),
    live_index("ix_application_credentials_project", "project_id", where="1 = 1"),
)

application_credential_roles = Table(
    "application_credential_roles",
    metadata,
    Column("application_credential_id", ForeignKey("application_credentials.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    live_index("ix_application_credential_roles_role", "role_id", where="1 = 1"),
)

access_rules = Table(
    "access_rules",
    metadata,
    # One kind of request that a user's application credentials may be limited to; kept for the next credential.
    uuid_key(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("service", String(255), nullable=False),
    Column("method", String(16), nullable=False),
    Column("path", String(255), nullable=False),
    live_index("uq_access_rules_rule", "user_id", "service", "method", "path", unique=True, where="1 = 1"),
)

application_credential_rules = Table(
    "application_credential_rules",
    metadata,
    Column("application_credential_id", ForeignKey("application_credentials.id", ondelete="CASCADE"), primary_key=True),
    # A rule in use stays.
    Column("access_rule_id", ForeignKey("access_rules.id"), primary_key=True),
    live_index("ix_application_credential_rules_rule", "access_rule_id", where="1 = 1"),
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
    # No reference: a token whose credential is gone is worth nothing.
    Column("application_credential_id", Uuid),
    one_of("scope_type", "scope_type", "project", "domain", "system", "none"),
    live_index("ix_tokens_user", "user_id", where="revoked_at IS NULL"),
    live_index("ix_tokens_credential", "application_credential_id", where="application_credential_id IS NOT NULL"),
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
    live_index("ix_login_attempts_last", "last_at", where="1 = 1"),
)

generations = Table(
    "generations",
    metadata,
    # A number that grows whenever what a cache holds may be stale, e.g. name 'identity'.
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
