"""Every command of `openstack` and `cinder` for volumes and what belongs to them, each once; one file a few nouns.

SCENES is all of it; elsewhere.py names the commands that belong to resources which are not there yet.
"""

from tests.end_to_end.commands import attachments, project, services, snapshots, types, volumes
from tests.end_to_end.table import Scene

SCENES: tuple[Scene, ...] = (
    *volumes.SCENES,
    *snapshots.SCENES,
    *attachments.SCENES,
    *types.SCENES,
    *project.SCENES,
    *services.SCENES,
)
