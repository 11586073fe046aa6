"""commands.py LINE ...: `openstack` command lines one after the other in one process; prints a JSON list of answers.

An answer is what a command printed, read as JSON where it is that. Ends at the first command that fails.
"""

import contextlib
import io
import json
import shlex
import sys

from openstackclient.shell import OpenStackShell


def answer(line: str) -> object:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = OpenStackShell().run(shlex.split(line))
    if status:
        sys.exit(f"openstack {line}: exit status {status}")
    try:
        return json.loads(said.getvalue())
    except ValueError:
        return said.getvalue()


print(json.dumps([answer(line) for line in sys.argv[1:]]))
