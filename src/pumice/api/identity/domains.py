"""/v3/domains"""

import uuid
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import Name, Text, listed, with_self
from pumice.db.engine import Transaction
from pumice.identity import domains
from pumice.identity.model import Domain, DomainChange


class NewDomain(Struct):
    name: Name
    description: Text | None = None
    enabled: bool = True


class NewDomainBody(Struct):
    domain: NewDomain


class ChangedDomain(Struct):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ChangedDomainBody(Struct):
    domain: ChangedDomain


def shown(domain: Domain, call: Call) -> dict[str, Any]:
    values = {
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": [],
        "options": {},
    }
    return with_self(values, "/domains", call)


def index(tx: Transaction, call: Call) -> Any:
    return listed("domains", domains.listing(tx, call.params), shown, call)


def show(tx: Transaction, call: Call) -> Any:
    return {"domain": shown(domains.get(tx, call.path["domain_id"]), call)}


def create(tx: Transaction, call: Call) -> Any:
    new: NewDomain = call.body.domain
    return {"domain": shown(domains.create(tx, uuid.uuid4().hex, new.name, new.description or "", new.enabled), call)}


def update(tx: Transaction, call: Call) -> Any:
    new: ChangedDomain = call.body.domain
    wanted = DomainChange(name=new.name, description=new.description, enabled=new.enabled)
    return {"domain": shown(domains.change(tx, call.path["domain_id"], wanted), call)}


def delete(tx: Transaction, call: Call) -> None:
    domains.remove(tx, call.path["domain_id"])


ROUTES: tuple[Route, ...] = (
    Route("GET", "/domains", index, action="identity:list_domains"),
    Route("GET", "/domains/{domain_id}", show, action="identity:get_domain"),
    Route("POST", "/domains", create, status=201, body=NewDomainBody, write=True, action="identity:create_domain"),
    Route("PATCH", "/domains/{domain_id}", update, body=ChangedDomainBody, write=True, action="identity:update_domain"),
    Route("DELETE", "/domains/{domain_id}", delete, status=204, write=True, action="identity:delete_domain"),
)
