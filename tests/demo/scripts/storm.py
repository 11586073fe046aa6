"""storm.py SECONDS SERVER,SERVER VOLUME,VOLUME: attach and detach at once, without any sleep, a thread a volume.

Each thread attaches its volume to its server and asks for the detach right after, then again, as fast as it is let.
Refusals (the one before is not over) and lost answers (the API was killed) are counted and tried again.
Prints one JSON object.
"""

import collections
import json
import os
import sys
import threading
import time

from keystoneauth1 import exceptions, session
from keystoneauth1.identity.v3 import Password
from novaclient import exceptions as refused
from novaclient.client import Client

names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
login = Password(**{name: os.environ[f"OS_{name.upper()}"] for name in names})
seconds, servers, volumes = float(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(",")
counts = collections.Counter()
end = time.monotonic() + seconds


def ask(what, function, *arguments):
    try:
        function(*arguments)
        counts[what] += 1
    except (refused.BadRequest, refused.Conflict, refused.NotFound) as error:
        counts[f"{what} refused {error.code}"] += 1
    except refused.ClientException as error:
        counts[f"{what} answered {error.code}"] += 1
    except (exceptions.ConnectFailure, exceptions.RetriableConnectionFailure, exceptions.HttpError) as error:
        counts[f"no answer ({type(error).__name__})"] += 1


def storm(server, volume):
    nova = Client("2.60", session=session.Session(auth=login))
    while time.monotonic() < end:
        ask("attach", nova.volumes.create_server_volume, server, volume)
        ask("detach", nova.volumes.delete_server_volume, server, volume)


threads = [
    threading.Thread(target=storm, args=(servers[number % len(servers)], volume))
    for number, volume in enumerate(volumes)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(counts))
