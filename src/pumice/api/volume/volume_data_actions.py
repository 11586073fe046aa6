"""Actions on a volume's data and place: POST /volumes/{id}/action: revert, reimage, migrate.

Two actions complete what a backend of another cloud began with compute's help (os-extend_volume_completion,
os-migrate_volume_completion): no backend here waits for that, so they are refused, saying so.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.block import data_changes, migrations, volumes
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField

HostName = Annotated[str, Meta(min_length=1, max_length=255)]


class Revert(Struct, forbid_unknown_fields=True):
    snapshot_id: str


class RevertBody(Struct, forbid_unknown_fields=True):
    value: Revert = field(name="revert")


class Reimage(Struct, forbid_unknown_fields=True):
    image_id: str
    reimage_reserved: bool = False


class ReimageBody(Struct, forbid_unknown_fields=True):
    value: Reimage = field(name="os-reimage")


class Migrate(Struct, forbid_unknown_fields=True):
    """`force_host_copy` and `lock_volume` ask for what is always so here: a copy, of a volume that nobody changes."""

    host: HostName | None = None
    force_host_copy: bool = False
    lock_volume: bool = False
    cluster: Annotated[HostName | None, Since("3.16")] = None


class MigrateBody(Struct, forbid_unknown_fields=True):
    value: Migrate = field(name="os-migrate_volume")


class MigrationCompletion(Struct, forbid_unknown_fields=True):
    new_volume: str
    error: bool = False


class MigrationCompletionBody(Struct, forbid_unknown_fields=True):
    value: MigrationCompletion = field(name="os-migrate_volume_completion")


class ExtendCompletion(Struct, forbid_unknown_fields=True):
    error: bool = False


class ExtendCompletionBody(Struct, forbid_unknown_fields=True):
    value: ExtendCompletion | None = field(name="os-extend_volume_completion")


def revert(tx: Transaction, call: Call) -> None:
    data_changes.revert(tx, call.caller, call.path["volume_id"], call.body.value.snapshot_id)


def reimage(tx: Transaction, call: Call) -> None:
    asked: Reimage = call.body.value
    data_changes.reimage(tx, call.caller, call.path["volume_id"], asked.image_id, reserved=asked.reimage_reserved)


def migrate(tx: Transaction, call: Call) -> None:
    asked: Migrate = call.body.value
    if asked.cluster is not None:
        raise InvalidField("os-migrate_volume.cluster", asked.cluster, "there are no clusters; give a host")
    if asked.host is None:
        raise InvalidField("os-migrate_volume.host", asked.host, "give a pool, as get_pools lists them")
    migrations.migrate(tx, call.caller, call.path["volume_id"], asked.host)


def complete_migration(tx: Transaction, call: Call) -> None:
    volume = volumes.get(tx, call.caller, call.path["volume_id"]).volume
    raise BadRequest(
        f"Volume {volume.id} has no migration that waits for its completion (migration status"
        f" {volume.migration_status or 'none'})."
    )


def complete_extension(tx: Transaction, call: Call) -> None:
    volume = volumes.get(tx, call.caller, call.path["volume_id"]).volume
    raise BadRequest(f"Volume {volume.id} is {volume.status}; no extension of it waits for its completion.")


def _action(handler: Any, key: str, action: str, body: Any, **options: Any) -> Route:
    path = "/volumes/{volume_id}/action"
    return Route("POST", path, handler, key=key, action=action, body=body, status=202, write=True, **options)


_ADMIN = "volume_extension:volume_admin_actions"

ROUTES = (
    _action(revert, "revert", "volume:revert_to_snapshot", RevertBody, since="3.40"),
    _action(reimage, "os-reimage", "volume:reimage", ReimageBody, since="3.68"),
    _action(migrate, "os-migrate_volume", f"{_ADMIN}:migrate_volume", MigrateBody, lax=True),
    _action(
        complete_migration,
        "os-migrate_volume_completion",
        f"{_ADMIN}:migrate_volume_completion",
        MigrationCompletionBody,
        lax=True,
    ),
    _action(
        complete_extension,
        "os-extend_volume_completion",
        f"{_ADMIN}:extend_volume_completion",
        ExtendCompletionBody,
        since="3.71",
    ),
)
