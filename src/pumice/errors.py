"""One tree of errors; each class carries its HTTP code and fault name, its docstring is its default message.

    PumiceError
     +- BadRequest (400)             badRequest
     |   +- InvalidField                 one field of the body or query is wrong: field, value, what would be right
     +- Unauthorized (401)           unauthorized
     +- Forbidden (403)              forbidden
     +- NotFound (404)               itemNotFound
     +- NotAcceptable (406)          notAcceptable
     +- Conflict (409)               conflictingRequest
     |   +- WrongState                   the resource is in a state that does not allow the action
     |   +- Busy                         another live operation holds the resource
     +- PreconditionFailed (412)     preconditionFailed
     +- QuotaExceeded (413)          overLimit
     +- TooLarge (413)               overLimit
     +- UnsupportedMediaType (415)   unsupportedMediaType
     +- TooManyRequests (429)        overLimit
     +- Unavailable (503)            serviceUnavailable; carries Retry-After
     +- DeadlineExceeded (504)       gatewayTimeout; the operation goes on

A message says what is wrong, with which value, and what would be right. It is shown to users: no paths, hosts'
internals or secrets. The faces put it into their envelope (block storage and compute: `{fault: {code, message}}`).
"""

from collections.abc import Iterable
from typing import Any, ClassVar

_LONGEST = 1200
"""Characters of a message."""


class PumiceError(Exception):
    """Something went wrong."""

    code: ClassVar[int] = 500
    fault: ClassVar[str] = "computeFault"

    cause = ""
    """What lies behind it, in the words of a library: for the operator's commands, never in an answer."""

    def __init__(self, message: str | None = None) -> None:
        self.message = _bounded(message or (type(self).__doc__ or "Something went wrong.").strip().splitlines()[0])
        super().__init__(self.message)

    @property
    def for_operators(self) -> str:
        """The message and what lies behind it."""
        return f"{self.message} {self.cause}".strip()


def _bounded(message: str) -> str:
    """A message names what was sent; it does not send a megabyte of it back."""
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 305]} ... {message[-300:]}"


class BadRequest(PumiceError):
    """The request is not understood."""

    code = 400
    fault = "badRequest"


class InvalidField(BadRequest):
    """A field of the request is wrong."""

    def __init__(self, field: str, value: Any, expected: str) -> None:
        self.field = field if len(field) <= 128 else field[:125] + "..."
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"Invalid input for field '{self.field}': {shown}; {expected}.")


class Unauthorized(PumiceError):
    """The request you have made requires authentication."""

    code = 401
    fault = "unauthorized"


class Forbidden(PumiceError):
    """You are not allowed to do that."""

    code = 403
    fault = "forbidden"


class NotFound(PumiceError):
    """The resource could not be found."""

    code = 404
    fault = "itemNotFound"

    @classmethod
    def of(cls, noun: str, identifier: str) -> "NotFound":
        """`Volume 1234 could not be found.`"""
        shown = identifier if len(identifier) <= 64 else identifier[:61] + "..."
        return cls(f"{noun} {shown} could not be found.")


class NotAcceptable(PumiceError):
    """The version asked for is not supported."""

    code = 406
    fault = "notAcceptable"


class Conflict(PumiceError):
    """The request conflicts with the state of the resource."""

    code = 409
    fault = "conflictingRequest"


class WrongState(Conflict):
    """The resource is in a state that does not allow the action.

    The Block Storage API answers 400 (invalid volume: status must be ...) where Nova and newer calls answer 409:
    `as_bad_request` makes the former of the same sentence.
    """

    def __init__(self, noun: str, identifier: str, action: str, found: str, needed: Iterable[str]) -> None:
        self.needed = tuple(needed)
        super().__init__(f"{noun} {identifier} is {found}; {action} needs {', '.join(self.needed) or 'another state'}.")

    def as_bad_request(self) -> BadRequest:
        return BadRequest(self.message)


class Busy(Conflict):
    """Another operation on the resource is under way."""

    def __init__(self, noun: str, identifier: str, operation: str) -> None:
        super().__init__(f"{noun} {identifier} is held by the operation {operation}; try again when it has ended.")


class PreconditionFailed(PumiceError):
    """It was changed by another request meanwhile: read it again."""

    code = 412
    fault = "preconditionFailed"


class QuotaExceeded(PumiceError):
    """The request would exceed the quota."""

    code = 413
    fault = "overLimit"


class TooLarge(PumiceError):
    """The request body is too large."""

    code = 413
    fault = "overLimit"


class UnsupportedMediaType(PumiceError):
    """The content type is not supported; send application/json."""

    code = 415
    fault = "unsupportedMediaType"


class TooManyRequests(PumiceError):
    """Too many attempts; try again later."""

    code = 429
    fault = "overLimit"

    def __init__(self, message: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(PumiceError):
    """The service cannot answer now; try again shortly."""

    code = 503
    fault = "serviceUnavailable"

    def __init__(self, message: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(PumiceError):
    """The operation goes on; the same request again returns its result."""

    code = 504
    fault = "gatewayTimeout"
