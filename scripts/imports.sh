#!/bin/sh
# imports.sh - hold the import rule (pyproject.toml, tool.importlinter). Quiet when it holds, the whole report when not.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .cache
if ! .venv/bin/lint-imports --cache-dir .cache/imports >.cache/imports.log 2>&1; then
    cat .cache/imports.log >&2
    exit 1
fi
