"""The ASGI application: every face over one set of services."""

from collections.abc import Sequence

from pumice.api.edge.dispatch import Edge
from pumice.api.edge.face import Face
from pumice.api.edge.services import Services
from pumice.api.faces import faces


def create_app(services: Services, only: Sequence[Face] | None = None) -> Edge:
    """The application; `only` these faces instead of all (tests give toy faces)."""
    return Edge(services, faces() if only is None else only)
