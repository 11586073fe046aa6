"""Run commands of the stock clients, one after the other, in this one process: starting a client anew takes a second.

Runs with the Python of the clients' environment, as the one user whose OS_* variables it got. Each line of standard
input is a list of words, ["cinder", "list"]; each line of the answer is {"status", "output", "errors"}.
"""

import contextlib
import io
import json
import logging
import os
import sys

import cinderclient.shell
import glanceclient.shell
import novaclient.shell
import openstackclient.shell

CLIENTS = {
    "cinder": lambda words: cinderclient.shell.main(),
    "glance": lambda words: glanceclient.shell.main(),
    "nova": novaclient.shell.main,
    "openstack": openstackclient.shell.main,
}


def run(words):
    """The exit status of one command line."""
    sys.argv = list(words)
    logging.getLogger().handlers.clear()
    try:
        return CLIENTS[words[0]](words[1:]) or 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def main():
    asked, told = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for line in asked:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = run(json.loads(line))
        told.write(json.dumps({"status": status, "output": output.getvalue(), "errors": errors.getvalue()}) + "\n")
        told.flush()


main()
