"""original.py VOLUME SERVER [attach | detach | compute | agree]: the script of story 2, with today's clients.

attach    python-cinderclient, volumes.attach: the action os-attach
detach    python-cinderclient, volumes.detach: the action os-detach
compute   python-novaclient, create_server_volume: the compute API
agree     what both sides say, as JSON
"""

import json
import os
import sys

from cinderclient.client import Client as Cinder
from keystoneauth1 import session
from keystoneauth1.identity.v3 import Password
from novaclient.client import Client as Nova

names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
login = session.Session(auth=Password(**{name: os.environ[f"OS_{name.upper()}"] for name in names}))
cinder, nova = Cinder("3.70", session=login), Nova("2.60", session=login)

sys.excepthook = lambda _kind, error, _trace: print(error)  # as a user wants to see a refusal
volume, server, verb = sys.argv[1:4]
if verb == "attach":
    cinder.volumes.attach(cinder.volumes.get(volume), server, "/dev/vdb")
elif verb == "detach":
    cinder.volumes.detach(cinder.volumes.get(volume))
elif verb == "compute":
    nova.volumes.create_server_volume(server, volume, "/dev/vdc")
else:
    attached = getattr(nova.servers.get(server), "os-extended-volumes:volumes_attached")
    found = cinder.volumes.get(volume)
    holders = [one["server_id"] for one in found.attachments]
    said = {"nova": [one["id"] for one in attached], "cinder": found.status, "attached to": holders}
    print(json.dumps(said))
