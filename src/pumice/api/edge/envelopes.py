"""How each face says what went wrong.

volume, compute   {"itemNotFound": {"code": 404, "message": "..."}}
identity          {"error": {"code": 404, "message": "...", "title": "Not Found"}}
image             {"itemNotFound": {"code": 404, "title": "Not Found", "message": "..."}}: glance takes nothing flat
metering          {"error_message": {"faultcode": "Client", "faultstring": "...", "debuginfo": null}}
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from pumice.errors import PumiceError

Envelope = Callable[[PumiceError], Any]


class MethodNotAllowed(PumiceError):
    """The method is not allowed here."""

    code = 405
    fault = "badMethod"

    def __init__(self, method: str, allowed: list[str]) -> None:
        self.allowed = allowed
        super().__init__(f"The method {method[:16]} is not allowed here; allowed: {', '.join(allowed)}.")


class InternalError(PumiceError):
    """An unexpected error prevented the server from fulfilling your request."""


def fault(error: PumiceError) -> Any:
    return {error.fault: {"code": error.code, "message": error.message}}


def identity(error: PumiceError) -> Any:
    return {"error": {"code": error.code, "message": error.message, "title": HTTPStatus(error.code).phrase}}


def image(error: PumiceError) -> Any:
    return {error.fault: {"code": error.code, "title": HTTPStatus(error.code).phrase, "message": error.message}}


def metering(error: PumiceError) -> Any:
    side = "Client" if error.code < 500 else "Server"
    return {"error_message": {"faultcode": side, "faultstring": error.message, "debuginfo": None}}
