#!/bin/sh
# check.sh [static] - what "make check" runs: formatter, linter, types, import rule, and, without "static", the fast tests.
# Stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

step() {
    echo "check: $1"
    shift
    "$@"
}

step format $bin/ruff format --quiet --check src tests
step lint $bin/ruff check --quiet src tests
step types $bin/mypy --no-error-summary
step imports scripts/imports.sh
[ "${1:-}" = static ] || step "fast tests" $bin/pytest -q -m fast
