"""Prometheus: how long requests took, by face, route and status; what operations are live."""

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from pumice.db.engine import Transaction
from pumice.db.health import live_operations

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """One a process; `/metrics` prints it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "pumice_http_request_seconds",
            "Seconds from a request's first byte to its answer's last",
            ["face", "route", "status"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._operations = Gauge(
            "pumice_operations_live", "Operations under way", ["kind", "state"], registry=self.registry
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, face: str, route: str, status: int, seconds: float) -> None:
        key = (face, route, status)
        one = self._known.get(key)
        if one is None:
            one = self._known[key] = self._requests.labels(face, route, str(status))
        one.observe(seconds)

    def render(self, tx: Transaction) -> bytes:
        """The text for Prometheus."""
        self._operations.clear()
        for kind, state, count in live_operations(tx):
            self._operations.labels(kind, state).set(count)
        return generate_latest(self.registry)
