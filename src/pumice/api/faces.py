"""Which faces there are: their prefixes, microversions, envelopes and routes."""

from collections.abc import Sequence

from pumice.api import discovery
from pumice.api.edge import envelopes
from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from pumice.api.edge.versions import VersionRange

VOLUME_VERSIONS = VersionRange("volume", (3, 0), (3, 71))
COMPUTE_VERSIONS = VersionRange("compute", (2, 1), (2, 101), legacy_header="x-openstack-nova-api-version")


def faces() -> list[Face]:
    """All faces of the cloud."""
    from pumice.api import compute, identity, image, metering, volume  # a test of one face does not import the others

    return [
        identity_face(identity.ROUTES),
        volume_face(volume.ROUTES),
        Face("image", "v2", image.ROUTES, envelopes.image, discovery.image),
        compute_face(compute.ROUTES),
        Face("metering", "v2", metering.ROUTES, envelopes.metering, discovery.metering, slash_at_end=True),
    ]


def identity_face(routes: Sequence[Route]) -> Face:
    return Face("identity", "v3", routes, envelopes.identity, discovery.identity, slash_at_end=True, no_store=True)


def volume_face(routes: Sequence[Route]) -> Face:
    return Face(
        "volume",
        "v3",
        routes,
        envelopes.fault,
        discovery.BlockStorage(VOLUME_VERSIONS),
        project_in_path=True,
        versions=VOLUME_VERSIONS,
    )


def compute_face(routes: Sequence[Route]) -> Face:
    return Face(
        "compute",
        "v2.1",
        routes,
        envelopes.fault,
        discovery.Compute(COMPUTE_VERSIONS),
        project_in_path=True,
        versions=COMPUTE_VERSIONS,
        request_id_headers=(b"x-openstack-request-id", b"x-compute-request-id"),
    )
