"""What every refusal must look like, whichever face it comes from."""

import re
from typing import Any

from pumice.api.edge.face import Face
from tests.hostile.wire import Reply

LONGEST = 1500
"""Characters of a message: it names what was sent, it does not send it back."""

_INTERNALS = re.compile(r"Traceback|sqlalchemy|psycopg|sqlite3|/tmp/|\.py\b|SELECT |INSERT |msgspec", re.IGNORECASE)


def message_of(face: Face, reply: Reply) -> str:
    """The message of a refusal in the face's own envelope. Raises AssertionError where it is anything else."""
    assert 400 <= reply.status < 500, f"{reply.status} {reply.body[:300]!r}"
    assert reply.headers.get("x-openstack-request-id", "").startswith("req-"), reply.headers
    assert reply.headers["content-type"].startswith("application/json"), reply.headers
    message = _message(face, reply.json(), reply.status)
    assert isinstance(message, str) and 0 < len(message) <= LONGEST, f"{reply.status} {str(message)[:300]}"
    assert not _INTERNALS.search(message), message
    return message


def _message(face: Face, body: Any, status: int) -> Any:
    if face.name == "metering":
        assert set(body) == {"error_message"} and body["error_message"]["faultcode"] == "Client", body
        return body["error_message"]["faultstring"]
    ((word, fault),) = body.items()
    assert fault["code"] == status, body
    assert (word == "error") is (face.name == "identity"), body
    assert ("title" in fault) is (face.name in ("identity", "image")), body
    return fault["message"]
