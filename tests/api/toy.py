"""A toy face over real tables, and a server for it: what the edge does, without any other face.

`python -m tests.api.toy STATE DATABASE_URL PORT [access]` serves the identity face and the toys at PORT.
A toy is a row of `volume_types`: the edge does not care.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import bindparam, insert, select

from pumice.api import faces, identity
from pumice.api.edge import Answer, Await, Call, Field, Listing, Route, Since, View
from pumice.api.edge.face import Face
from pumice.caller import new_id
from pumice.db.engine import Transaction
from pumice.db.paging import text_filter
from pumice.db.rows import columns
from pumice.db.schema import volume_types
from pumice.errors import NotFound
from pumice.operations.model import OperationRow
from pumice.settings import Settings


class Toy(Struct, frozen=True):
    id: str
    name: str
    description: str | None
    created_at: int


_TOY = columns(volume_types, Toy)
_ONE = select(*_TOY).where(volume_types.c.id == bindparam("id"))

TOYS = Listing(
    volume_types,
    filters={"name": text_filter(volume_types.c.name)},
    sorts={
        "name": volume_types.c.name,
        "description": volume_types.c.description,
        "created_at": volume_types.c.created_at,
    },
    noun="Toy",
)

TOY = View(
    "toy",
    Field("id"),
    Field("name"),
    Field("links", lambda toy, call: call.links.pair(f"/toys/{toy.id}")),
    Field("description", since="3.10"),
    Field("secret", lambda toy: "for administrators", visible=lambda call: call.caller.is_admin),
)


class NewToy(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    size: Annotated[int, Meta(ge=1, le=1000)] = 1
    description: str | UnsetType | None = UNSET
    color: Annotated[str | UnsetType, Since("3.20")] = UNSET
    tags: list[str] = []


class NewToyBody(Struct, forbid_unknown_fields=True):
    toy: NewToy


class Paint(Struct, forbid_unknown_fields=True):
    color: str


class PaintBody(Struct, rename={"paint": "os-paint"}, forbid_unknown_fields=True):
    paint: Paint


class LimitQuery(Struct, forbid_unknown_fields=True):
    colour: str = ""
    weight: int = 0


def show(tx: Transaction, call: Call) -> Any:
    row = tx.execute(_ONE, {"id": call.path["toy_id"]}).first()
    if row is None:
        raise NotFound.of("Toy", call.path["toy_id"])
    return TOY.render(Toy(*row), call)


def index(tx: Transaction, call: Call) -> Any:
    return TOY.page(TOYS.page(tx, select(*_TOY), TOYS.parse(call.params), lambda row: Toy(*row)), call)


def create(tx: Transaction, call: Call) -> Any:
    new: NewToy = call.body.toy
    toy = Toy(new_id(), new.name, None if new.description is UNSET else new.description, tx.now)
    tx.execute(
        insert(volume_types).values(
            id=toy.id,
            name=toy.name,
            description=toy.description,
            is_public=True,
            is_default=False,
            extra_specs={},
            created_at=toy.created_at,
        )
    )
    return {**TOY.render(toy, call), "password": "only seen once"}


def paint(tx: Transaction, call: Call) -> Any:
    return {"painted": call.body.paint.color, "toy": call.path["toy_id"]}


def drop(tx: Transaction, call: Call) -> None:
    return None


def fail(tx: Transaction, call: Call) -> Any:
    return {"never": 1 // len(call.path.get("nothing", ""))}


def slow(tx: Transaction, call: Call) -> Any:
    return Await(call.path["operation_id"], _ended, deadline=0.2)


def _ended(tx: Transaction, call: Call, row: OperationRow) -> Any:
    return {"state": row.state}


def who(tx: Transaction, call: Call) -> Any:
    caller = call.caller
    return {
        "user": caller.user_name,
        "project_id": caller.project_id,
        "roles": sorted(caller.roles),
        "service": caller.has_service_token,
        "client": call.client,
    }


def weigh(tx: Transaction, call: Call) -> Any:
    return Answer(202, {"weight": call.query.weight}, {"Location": call.links.url("/toys")})


ROUTES: tuple[Route, ...] = (
    Route("GET", "/toys", index, action="volume:get_all", name="toy.index"),
    Route(
        "POST", "/toys", create, status=202, body=NewToyBody, write=True, action="volume:create", secrets=("password",)
    ),
    Route("GET", "/toys/weight", weigh, query=LimitQuery),
    Route("GET", "/toys/{toy_id}", show, action="volume:get"),
    Route("DELETE", "/toys/{toy_id}", drop, status=204, write=True, action="volume:delete"),
    Route("POST", "/toys/{toy_id}/action", paint, body=PaintBody, key="os-paint", status=202, action="volume:update"),
    Route("POST", "/toys/{toy_id}/action", drop, key="os-drop", status=202, since="3.5", name="toy.drop"),
    Route("GET", "/new-toys", who, since="3.50", until="3.60"),
    Route("GET", "/who", who),
    Route("GET", "/fail", fail),
    Route("GET", "/admin", who, action="pumice:anything"),
    Route("GET", "/operations/{operation_id}", slow),
    Route("POST", "/operations/{operation_id}", slow, write=True, then=_ended, name="toy.start"),
)


def toy_faces() -> list[Face]:
    return [faces.identity_face(identity.ROUTES), faces.volume_face(ROUTES)]


def main(state: str, url: str, port: str, *more: str) -> None:
    import asyncio

    import uvloop

    from pumice.processes import api
    from pumice.settings import load

    settings: Settings = load(
        Path(state),
        {
            **os.environ,
            "PUMICE_BIND": f"127.0.0.1:{port}",
            "PUMICE_DATABASE": url,
            "PUMICE_ACCESS_LOG": str("access" in more).lower(),
        },
    ).settings
    api.prepare(settings, {"PUMICE_ADMIN_PASSWORD": "secret admin"})
    with api.services_of(settings) as services, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = api.make_server(services, settings, toy_faces())
        print("listening", flush=True)
        runner.run(api.run_server(server, api.listen(settings), services))


if __name__ == "__main__":
    main(*sys.argv[1:])
