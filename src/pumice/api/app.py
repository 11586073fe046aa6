"""The ASGI application: faces over one set of services."""

from collections.abc import Sequence

from pumice.api.edge.dispatch import Edge
from pumice.api.edge.face import Face
from pumice.api.edge.services import Services


def create_app(services: Services, only: Sequence[Face] | None = None) -> Edge:
    """The application; `only` these faces instead of all (tests give toy faces)."""
    if only is not None:
        return Edge(services, only)
    from pumice.api.faces import faces  # a test of one face does not import the others

    return Edge(services, faces())
