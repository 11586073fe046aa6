"""Who may use a volume type that is not public: /types/{id}/os-volume-type-access, /types/{id}/action."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.block import volume_types
from pumice.db.engine import Transaction


class Project(Struct, forbid_unknown_fields=True):
    project: Annotated[str, Meta(min_length=1, max_length=36)]


class AddProjectAccessBody(Struct, forbid_unknown_fields=True):
    addProjectAccess: Project


class RemoveProjectAccessBody(Struct, forbid_unknown_fields=True):
    removeProjectAccess: Project


def listed(tx: Transaction, call: Call) -> Any:
    type_id = call.path["volume_type_id"]
    projects = volume_types.projects_with_access(tx, call.caller, type_id)
    return {"volume_type_access": [{"volume_type_id": type_id, "project_id": project} for project in projects]}


def add(tx: Transaction, call: Call) -> None:
    volume_types.grant(tx, call.caller, call.path["volume_type_id"], call.body.addProjectAccess.project)


def remove(tx: Transaction, call: Call) -> None:
    volume_types.withdraw(tx, call.caller, call.path["volume_type_id"], call.body.removeProjectAccess.project)


_ACTION = "/types/{volume_type_id}/action"

ROUTES = (
    Route(
        "GET",
        "/types/{volume_type_id}/os-volume-type-access",
        listed,
        action="volume_extension:volume_type_access:get_all_for_type",
        name="type_access.list",
    ),
    Route(
        "POST",
        _ACTION,
        add,
        key="addProjectAccess",
        action="volume_extension:volume_type_access:addProjectAccess",
        body=AddProjectAccessBody,
        status=202,
        write=True,
    ),
    Route(
        "POST",
        _ACTION,
        remove,
        key="removeProjectAccess",
        action="volume_extension:volume_type_access:removeProjectAccess",
        body=RemoveProjectAccessBody,
        status=202,
        write=True,
    ),
)
