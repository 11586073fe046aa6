"""Every command of `openstack` and `cinder` for volumes and what belongs to them, each once; one file a few nouns.
Of servers and images those commands, of `nova` and `glance` too, that have to do with volumes.

SCENES is all of it; elsewhere.py names the commands that belong to resources which are not there yet.
"""

from tests.end_to_end.commands import attachments, images, places, project, servers, services, snapshots, types, volumes
from tests.end_to_end.table import Scene

SCENES: tuple[Scene, ...] = (
    *volumes.SCENES,
    *snapshots.SCENES,
    *places.SCENES,
    *attachments.SCENES,
    *images.SCENES,
    *servers.SCENES,
    *types.SCENES,
    *project.SCENES,
    *services.SCENES,
)
