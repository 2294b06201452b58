# make up     a homeserver, Rialto and two accounts on this machine
# make test   everything that must hold before a change goes in

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PYTHON

.PHONY: help environment synapse up down demo test lint format bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

environment: ## make .venv (instant when requirements.lock did not change)
	@.ci/environment

up: environment ## start a homeserver and Rialto here; Ctrl-C stops both
	@exec .venv/bin/rialto up

down: environment ## stop what `rialto up --detach` left running
	@.venv/bin/rialto down

demo: environment ## play a conversation with the hub
	@if .venv/bin/rialto status >/dev/null; then .venv/bin/rialto chat --demo; else \
		.venv/bin/rialto up --detach; trap '.venv/bin/rialto down' EXIT; .venv/bin/rialto chat --demo; fi

lint: environment
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	.venv/bin/lint-imports

synapse: environment ## make Synapse's environment (instant when its lock did not change)
	@$(PY) -m appservice.local.environment

test: lint synapse ## ruff, mypy, import-linter, and every test
	$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile \
		tests/unit tests/store tests/migration tests/chaos/test_dialogs.py examples
	$(PY) -m pytest -n 3 --dist loadfile tests/e2e
	$(PY) -m pytest -n 3 --dist loadfile --ignore tests/chaos/test_dialogs.py tests/chaos

format: environment ## let ruff put the code in shape
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: environment ## measure, with the peers beside
	@for each in flood calm start synapse framework dialogs ledger chats timers search catalogue api; do $(PY) -m benchmarks.$$each; done

lock: environment ## resolve requirements.lock and Synapse's lock anew
	.ci/lock

clean: ## remove environments, caches and builds (data/ stays)
	rm -rf .venv .venv-synapse .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
