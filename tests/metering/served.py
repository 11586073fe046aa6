"""The identity and metering faces, served: `python -m tests.metering.served STATE DATABASE_URL PORT`."""

import asyncio
import sys
from pathlib import Path

import uvloop

from pumice.api import discovery, faces, identity, metering
from pumice.api.edge import envelopes
from pumice.api.edge.face import Face
from pumice.processes import api
from pumice.settings import load


def main(state: str, url: str, port: str) -> None:
    environment = {"PUMICE_BIND": f"127.0.0.1:{port}", "PUMICE_DATABASE": url, "PUMICE_ACCESS_LOG": "false"}
    settings = load(Path(state), environment).settings
    api.prepare(settings, {"PUMICE_ADMIN_PASSWORD": "secret admin"})
    served = [
        faces.identity_face(identity.ROUTES),
        Face("metering", "v2", metering.ROUTES, envelopes.metering, discovery.metering, slash_at_end=True),
    ]
    with api.services_of(settings) as services, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = api.make_server(services, settings, served)
        print("listening", flush=True)
        runner.run(api.run_server(server, api.listen(settings), services))


if __name__ == "__main__":
    main(*sys.argv[1:])
