"""What belongs to no face.

/          which faces there are
/healthz   200 when requests can be served
/metrics   for Prometheus
"""

from collections.abc import Iterable, Sequence

from pumice.api.edge import replies
from pumice.api.edge.envelopes import MethodNotAllowed
from pumice.api.edge.hops import Outcome
from pumice.api.edge.metrics import CONTENT_TYPE, Metrics
from pumice.block.services import backends_up
from pumice.db import health
from pumice.db.shared_reads import SharedReads
from pumice.errors import NotFound


def name_of(segments: Sequence[str], method: str) -> str:
    """The path's name, "" for the root. Raises NotFound, MethodNotAllowed."""
    name = "/".join(segments)
    if name not in ("", "healthz", "metrics"):
        raise NotFound
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed(method, ["GET", "HEAD"])
    return name


async def answer(name: str, root: str, faces: Iterable[str], reads: SharedReads, metrics: Metrics) -> Outcome:
    """root: the cloud's own URL, as the caller wrote it."""
    if name == "healthz":
        if not await reads.run(health.answers):
            return Outcome(503, b'{"status": "starting"}')
        return replies.of_data(200, {"status": "ok", "backends": await reads.run(backends_up)})
    if name == "metrics":
        text = await reads.run(metrics.render)
        return Outcome(200, text, {"Content-Type": CONTENT_TYPE}, json=False)
    return replies.of_data(200, {face: f"{root}/{face}/" for face in sorted(faces)})
