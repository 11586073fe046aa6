"""What is removed when, table by table; and for every other table the reason why it is bounded without that.

    RULES      in the order in which rows may go: what refers to others before what is referred to
    BOUNDED    table -> why it does not grow for ever

A test holds that each table of the schema stands in one of the two. A row goes when its time is older than its days
(settings, `[retention]`) and nothing that is still kept refers to it; each rule says so in its condition.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Table, and_, exists, not_, or_, select

from pumice.clock import DAY, HOUR
from pumice.db.schema import (
    attachments,
    block_device_mappings,
    compute_quota_limits,
    default_volume_types,
    events,
    flavors,
    idempotency_keys,
    images,
    instance_actions,
    is_live,
    login_attempts,
    marks,
    messages,
    metadata,
    operations,
    place_owners,
    projects,
    quota_limits,
    servers,
    snapshots,
    tokens,
    usage_audits,
    volume_types,
    volumes,
    worker_sessions,
)
from pumice.settings import Settings

Condition = ColumnElement[bool]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One table's rows that may go."""

    table: Table
    what: str
    """For people: "deleted volumes"."""
    time: Column[Any]
    """What their age is counted from; the table has an index that begins with it, or is small."""
    kept: Callable[[Settings], int]
    """Microseconds that a row stays after that time."""
    also: Condition | None = None
    """What else must be true: nothing that is kept refers to it."""
    billed: bool = False
    """The usage audit needs it until its period has been audited."""

    @property
    def key(self) -> list[Column[Any]]:
        return list(self.table.primary_key.columns)

    def condition(self, before: int) -> Condition:
        """Which rows go whose time is before this one."""
        old: Condition = and_(self.time.is_not(None), self.time < before)
        return old if self.also is None else and_(old, self.also)


def _days(name: str) -> Callable[[Settings], int]:
    def kept(settings: Settings) -> int:
        days: int = getattr(settings.retention, name)
        return days * DAY

    return kept


def _none(table: Table, *where: Condition) -> Condition:
    """No row of that table is so."""
    return not_(exists(select(1).select_from(table).where(*where)))


def _gone(project_id: Column[Any], table: Table) -> Condition:
    """There is no such project any more, and nothing of it that lives in that table."""
    return and_(
        _none(projects, projects.c.id == project_id),
        _none(table, table.c.project_id == project_id, table.c.deleted_at.is_(None)),
    )


def _marked_is_there(table: Table, resource_type: str) -> Condition:
    alive = exists(select(1).select_from(table).where(table.c.id == marks.c.resource_id, table.c.deleted_at.is_(None)))
    return and_(marks.c.resource_type == resource_type, alive)


RULES: tuple[Rule, ...] = (
    Rule(table=messages, what="expired messages", time=messages.c.expires_at, kept=lambda settings: 0),
    Rule(
        table=idempotency_keys,
        what="idempotency keys",
        time=idempotency_keys.c.created_at,
        kept=lambda settings: settings.idempotency_hours * HOUR,
    ),
    Rule(table=tokens, what="expired tokens", time=tokens.c.expires_at, kept=lambda settings: 0),
    Rule(
        table=login_attempts,
        what="failed logins",
        time=login_attempts.c.last_at,
        kept=lambda settings: DAY,
    ),
    Rule(table=events, what="events", time=events.c.generated, kept=_days("events")),
    Rule(table=usage_audits, what="usage audits done", time=usage_audits.c.finished_at, kept=_days("events")),
    Rule(
        table=operations,
        what="ended operations",
        time=operations.c.finished_at,
        kept=_days("operations"),
    ),
    Rule(
        table=worker_sessions,
        what="ended worker sessions",
        time=worker_sessions.c.ended_at,
        kept=_days("operations"),
        also=and_(
            _none(place_owners, place_owners.c.session_id == worker_sessions.c.id),
            _none(operations, operations.c.session_id == worker_sessions.c.id, operations.c.finished_at.is_(None)),
        ),
    ),
    Rule(
        table=marks,
        what="marks of what is deleted",
        time=marks.c.created_at,
        kept=lambda settings: DAY,
        also=not_(or_(_marked_is_there(volumes, "volume"), _marked_is_there(snapshots, "snapshot"))),
    ),
    Rule(
        table=snapshots,
        what="deleted snapshots",
        time=snapshots.c.deleted_at,
        kept=_days("volumes"),
        billed=True,
    ),
    Rule(
        table=attachments,
        what="released attachments",
        time=attachments.c.deleted_at,
        kept=_days("attachments"),
    ),
    Rule(
        table=volumes,
        what="deleted volumes",
        time=volumes.c.deleted_at,
        kept=_days("volumes"),
        also=and_(
            _none(snapshots, snapshots.c.volume_id == volumes.c.id),
            _none(attachments, attachments.c.volume_id == volumes.c.id),
            _none(operations, operations.c.subject_id == volumes.c.id, is_live()),
        ),
        billed=True,
    ),
    Rule(
        table=block_device_mappings,
        what="deleted block device mappings",
        time=block_device_mappings.c.deleted_at,
        kept=_days("servers"),
    ),
    Rule(
        table=instance_actions,
        what="instance actions",
        time=instance_actions.c.start_time,
        kept=_days("instance_actions"),
    ),
    Rule(
        table=servers,
        what="deleted servers",
        time=servers.c.deleted_at,
        kept=_days("servers"),
        also=_none(block_device_mappings, block_device_mappings.c.server_id == servers.c.id),
    ),
    Rule(
        table=images,
        what="deleted images",
        time=images.c.deleted_at,
        kept=_days("images"),
        # Not while it can be restored, nor while a server that was made from it lives.
        also=and_(
            images.c.deleted_status.is_(None),
            _none(servers, servers.c.image_id == images.c.id, servers.c.deleted_at.is_(None)),
        ),
    ),
    Rule(
        table=flavors,
        what="deleted flavors",
        time=flavors.c.deleted_at,
        kept=_days("images"),
        also=_none(servers, servers.c.flavor_id == flavors.c.id, servers.c.deleted_at.is_(None)),
    ),
    Rule(
        table=default_volume_types,
        what="default volume types of projects that are gone",
        time=default_volume_types.c.updated_at,
        kept=_days("volumes"),
        also=_gone(default_volume_types.c.project_id, volumes),
    ),
    Rule(
        table=volume_types,
        what="deleted volume types",
        time=volume_types.c.deleted_at,
        kept=_days("images"),
        also=and_(
            _none(volumes, volumes.c.volume_type_id == volume_types.c.id),
            _none(default_volume_types, default_volume_types.c.volume_type_id == volume_types.c.id),
        ),
    ),
    Rule(
        table=quota_limits,
        what="quotas of projects that are gone",
        time=quota_limits.c.updated_at,
        kept=_days("volumes"),
        also=_gone(quota_limits.c.project_id, volumes),
    ),
    Rule(
        table=compute_quota_limits,
        what="quotas for servers of projects that are gone",
        time=compute_quota_limits.c.updated_at,
        kept=_days("servers"),
        also=and_(compute_quota_limits.c.project_id != "", _gone(compute_quota_limits.c.project_id, servers)),
    ),
)

_BY_ADMINISTRATORS = "made and deleted by administrators one by one; a deleted one leaves no row"
_BY_HOST = "one row a host, backend or pool, written over by each report"
_BY_OWNER = "goes with its user or project, and is deleted by its owner; a deleted one leaves no row"

BOUNDED: dict[str, str] = {
    "domains": _BY_ADMINISTRATORS,
    "projects": _BY_ADMINISTRATORS,
    "project_tags": "goes with its project",
    "users": _BY_ADMINISTRATORS,
    "roles": _BY_ADMINISTRATORS,
    "role_assignments": "one row a user, role and target; goes with any of them",
    "application_credentials": _BY_OWNER,
    "application_credential_roles": "goes with its application credential",
    "application_credential_rules": "goes with its application credential",
    "access_rules": _BY_OWNER,
    "keypairs": _BY_OWNER,
    "generations": "one row a cache, updated in place",
    "services": _BY_HOST,
    "pools": _BY_HOST,
    "compute_hosts": _BY_HOST,
    "place_owners": "one row a place that is owned now",
    "operation_resources": "goes with the end of its operation",
    "instance_action_events": "goes with its instance action",
    "volume_holds": "each has an end, which the reconciler sees to; goes with its volume",
    "volume_type_access": "goes with its volume type",
    "image_members": "goes with its image",
    "quota_class_limits": _BY_ADMINISTRATORS,
    "quota_locks": "one row a project that ever made something, of one column",
    "log_levels": "one row a program, host and logger that an administrator set, updated in place",
    "log_reports": _BY_HOST,
    "purges": "one row a table",
}


def unruled() -> set[str]:
    """Tables that have neither a rule nor a reason, and reasons of tables that are no more or have a rule as well."""
    ruled = {rule.table.name for rule in RULES}
    return (set(metadata.tables) - ruled) ^ set(BOUNDED)
