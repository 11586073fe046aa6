"""take_snapshots.py VOLUME COUNT: so many snapshots of a volume in use, one after the other; prints their ids."""

import os
import sys
import time

from cinderclient.client import Client
from keystoneauth1 import session
from keystoneauth1.identity.v3 import Password

names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
login = Password(**{name: os.environ[f"OS_{name.upper()}"] for name in names})
cinder = Client("3.70", session=session.Session(auth=login))
volume, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    began = time.monotonic()
    snapshot = cinder.volume_snapshots.create(volume, name=f"while-writing-{number}")
    while snapshot.status == "creating":
        snapshot = cinder.volume_snapshots.get(snapshot.id)
    print(snapshot.id, snapshot.status, f"{(time.monotonic() - began) * 1000:.0f} ms", flush=True)
