"""The database hop of a request: check the token, the project, the policy; run the handler; encode the answer."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pumice.api.edge.route import Answer, Await, Call
from pumice.api.edge.services import Services
from pumice.clock import HOUR
from pumice.db import idempotency
from pumice.db.engine import Transaction, races_told
from pumice.errors import BadRequest, Conflict, NotFound, PumiceError
from pumice.identity.access_rules import Asked
from pumice.operations.model import OperationRow

_MAX_KEY = 255
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Outcome:
    """An answer ready for the wire."""

    status: int
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    json: bool = True


@dataclass(slots=True)
class Pending:
    """A request on its way to its hop."""

    call: Call
    token_digest: str
    service_digest: str | None
    project: str | None
    """The project id of the URL."""
    asked: Asked | None = None
    """The request, as access rules see it."""
    error: PumiceError | None = None
    """What is wrong with the request: told to those who may make it."""
    key_text: str | None = None
    """The Idempotency-Key of a request that writes."""
    body_digest: str = ""
    key: idempotency.Key | None = None
    """Made of it once the caller is known."""


def admit(tx: Transaction, services: Services, pending: Pending) -> None:
    """The caller of the request, allowed to make it. Raises Unauthorized, Forbidden, or what is wrong with it."""
    call = pending.call
    if not call.route.public:
        caller = services.identity.authenticate(
            tx, call.request_id, pending.token_digest, pending.service_digest, pending.asked
        )
        call.caller = caller
        if pending.project is not None and pending.project != caller.project_id:
            if isinstance(pending.error, NotFound):  # there is nothing at "/images/ID", so that is no project's id
                raise pending.error
            raise BadRequest("Malformed request url: the project in it is not the token's.")
        if call.route.action is not None:
            services.identity.policy.enforce(call.route.action, caller, call.path)
    if pending.error is not None:
        raise pending.error


def perform(tx: Transaction, services: Services, pending: Pending) -> Outcome | Await:
    """The whole request in one transaction."""
    admit(tx, services, pending)
    call = pending.call
    assert call.route.handler is not None
    with races_told():
        if pending.key_text is not None:
            pending.key = _idempotency_key(call, pending.key_text)
            return _once(tx, services, pending)
        result = call.route.handler(tx, call)
    return result if isinstance(result, Await) else outcome(call, result)


def complete(tx: Transaction, call: Call, waited: Await, row: OperationRow) -> tuple[Outcome, Any]:
    """The answer after the operation has ended, also as it came from the handler."""
    then = waited.then or call.route.then
    assert then is not None, f"{call.route.name} returned an Await that says nothing of its answer"
    result = then(tx, call, row)
    return outcome(call, result), result


def outcome(call: Call, result: Any) -> Outcome:
    if isinstance(result, Answer):
        body = result.body
        if body is None or isinstance(body, bytes):
            return Outcome(result.status, body, dict(result.headers), json=False)
        return Outcome(result.status, _encode(body), dict(result.headers))
    return Outcome(call.route.status, None if result is None else _encode(result))


def _once(tx: Transaction, services: Services, pending: Pending) -> Outcome | Await:
    """The request under its idempotency key: run it, or answer as the first time."""
    call, key = pending.call, pending.key
    assert key is not None and call.route.handler is not None
    oldest = tx.now - services.settings.idempotency_hours * HOUR
    stored = idempotency.take(tx, key, pending.body_digest, oldest)
    if stored is None:
        result = call.route.handler(tx, call)
        if isinstance(result, Await):
            idempotency.answer(tx, key, 0, {"operation_id": result.operation_id, "deadline": result.deadline})
            return result
        store(tx, pending, result)
        return outcome(call, result)
    if stored.body_digest != pending.body_digest:
        raise Conflict(f"The Idempotency-Key {key.key[:64]!r} was used with another body.")
    if stored.status == 0:
        if call.route.then is None or "operation_id" not in stored.answer:
            raise Conflict(f"The request with the Idempotency-Key {key.key[:64]!r} is still under way.")
        return Await(stored.answer["operation_id"], deadline=stored.answer["deadline"])
    body = stored.answer.get("body")
    return Outcome(stored.status, None if body is None else _encode(body), dict(stored.answer.get("headers", {})))


def store(tx: Transaction, pending: Pending, result: Any) -> None:
    """Keep the answer for the next request with the same key."""
    assert pending.key is not None
    call = pending.call
    answer = result if isinstance(result, Answer) else Answer(call.route.status, result)
    if isinstance(answer.body, bytes):
        return
    body = None if answer.body is None else _without(msgspec.to_builtins(answer.body), call.route.secrets)
    idempotency.answer(tx, pending.key, answer.status, {"body": body, "headers": dict(answer.headers)})


def _idempotency_key(call: Call, text: str) -> idempotency.Key:
    if not text or len(text) > _MAX_KEY or not text.isprintable():
        raise BadRequest(f"An Idempotency-Key has 1 to {_MAX_KEY} printable characters.")
    path = hashlib.sha256(repr(sorted(call.path.items())).encode()).hexdigest()[:16]
    route = f"{call.route.name}:{path}"[-128:]
    return idempotency.Key(call.caller.project_id or "", call.caller.user_id, route, text)


def _without(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _without(item, secrets) for name, item in value.items() if name not in secrets}
    if isinstance(value, list):
        return [_without(item, secrets) for item in value]
    return value
