#!/bin/sh
# lock.sh - resolve every requirement anew into requirements/*.lock (exact versions with their hashes).
#
# The environments are installed from these files alone. They name no registry, so any mirror may serve them.
# Called by "make lock"; commit what it changes after "make test" has passed.
set -eu
cd "$(dirname "$0")/.."

tool=.cache/lock
[ -x $tool/bin/uv ] || { python3 -m venv $tool && $tool/bin/python -m pip --quiet install uv; }

# resolve OUTPUT ARGUMENT...
resolve() {
    output=requirements/$1.lock
    shift
    $tool/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --output-file "$output" "$@"
    echo "locked $output: $(grep -c == "$output") distributions"
}

resolve run --group build pyproject.toml
resolve dev --group build --group dev --constraint requirements/run.lock pyproject.toml
resolve clients requirements/clients.in
resolve conformance requirements/conformance.in
resolve libvirt requirements/libvirt.in
