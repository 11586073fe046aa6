# Every command of the project. "make" alone lists them; each installs what it needs first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test setup check demo bench chaos conformance format lock clean

bin := .venv/bin
state := ./var
sources := src tests

help: ## list these commands
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

run: ## install what is needed and start the cloud in ./var: prints its URLs and what to try
	@scripts/setup.sh run
	@exec $(bin)/pumice serve --state $(state)

test: ## install everything, then formatter, linters, types, OpenStack's own tests and all of ours
	@scripts/setup.sh conformance
	@scripts/check.sh static
	@$(bin)/python -m tests.conformance
	@$(bin)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder

setup: ## only install: packages (as root), environments, the test guest
	@scripts/setup.sh all

check: ## formatter, linters, types, import rule and the fast tests, in under a minute
	@scripts/setup.sh all
	@scripts/check.sh

demo: ## show the failure stories not happening, on the running parts
	@scripts/setup.sh all
	@$(bin)/python -m tests.demo

bench: ## measure, and print the benchmark's table
	@scripts/setup.sh all
	@$(bin)/python -m tests.bench
	@$(bin)/python -m tests.bench.scale

chaos: ## the fault campaign: kill each process at each step of each operation
	@scripts/setup.sh all
	@$(bin)/python -m tests.chaos

conformance: ## OpenStack's own tests (Tempest) against a fresh cloud
	@scripts/setup.sh conformance
	@$(bin)/python -m tests.conformance

format: ## format the code, and mend what the linter can mend
	@scripts/setup.sh all
	@$(bin)/ruff format --quiet $(sources)
	@$(bin)/ruff check --quiet --fix $(sources)

lock: ## resolve the requirements anew into requirements/*.lock
	@scripts/lock.sh

clean: ## remove what the commands made here: environments, caches, builds (not ./var)
	@rm -rf .venv .venv-clients .venv-conformance .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache build dist
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
