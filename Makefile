# Every way into this tree. `make` alone lists them; each works on a fresh clone with nothing done before.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements/runtime.txt requirements/server.txt requirements/dev.txt

PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
# Arguments for the program or the tests behind a target, e.g. make test ARGS="-k audit".
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help setup check lint format test browser run demo bench simulate chaos matrix screenshots docs lock clean

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the pinned dependencies and .venv/bin/caisey

# An environment that is already there is brought up to date, never made anew.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Caisey needs Python 3.11 or newer; set PYTHON to one" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

check: lint ## Check format, rules, types, import order, and that the generated pages are in step
	$(if $(wildcard tests/docs/test_*.py),$(PYTEST) -q tests/docs)

lint: setup ## Check format, rules, types and import order only
	$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

format: setup ## Format the code and mend what the rules can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What fails beside others is tried once more alone: real processes and real time share the cores with a second worker. A
# test that fails alone too is a failure; one that does not is named on the screen.
test: lint browser ## Run the checks and every test
	@$(PYTEST) --numprocesses $(WORKERS) --dist loadfile $(ARGS) || { code=$$?; \
	  [ $$code -ne 5 ] || echo "no test was collected: that is a failure" >&2; \
	  [ $$code -eq 1 ] || exit $$code; \
	  echo "once more, alone: what failed beside others" >&2; \
	  $(PYTEST) --verbose --last-failed --last-failed-no-failures=none $(ARGS); }

browser: ## Install a Chromium for the tests of the console, where this user may (without one they are skipped)
	@command -v chromium >/dev/null || [ -n "$${CAISEY_CHROMIUM:-}" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update </dev/null >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core </dev/null >/dev/null; } || \
	  echo "no Chromium here: the tests of the console in a browser are skipped (install the package chromium)" >&2

run: setup ## Start a control plane with a runtime on this machine
	$(BIN)/caisey up $(ARGS)

demo: setup ## Show every stall, its verdict and its recovery, with real processes
	$(BIN)/caisey demo $(ARGS)

bench: setup ## Print the figures of the budgets
	$(BIN)/python -m tests.bench $(ARGS)

simulate: setup ## Run the seeded simulation, e.g. make simulate SEED=7 RUNS=1
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(ARGS)

chaos: setup ## Kill, cut and freeze real processes, and check the invariants
	$(BIN)/python -m tests.chaos $(ARGS)

matrix: setup ## Play the failure matrix and write docs/failure-matrix.md
	$(BIN)/caisey conformance --local --markdown docs/failure-matrix.md $(ARGS)

screenshots: setup ## Make the pictures of every page of the console, e.g. make screenshots ARGS="--only attention"
	$(BIN)/python -m tests.screenshots $(ARGS)

docs: setup ## Write the generated pages of docs/ anew
	$(BIN)/python -m tests.docs $(ARGS)

# Existing pins are kept where they still fit; ARGS="--upgrade" moves them.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options $(ARGS)
lock: setup ## Pin the dependencies of pyproject.toml, with hashes
	$(COMPILE) --extra server --extra dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --extra server --constraint requirements/dev.txt --output-file requirements/server.txt pyproject.toml
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/runtime.txt pyproject.toml
	@sed -i '/^    #   -c /d' $(LOCKS)

clean: ## Remove caches and builds; the environment stays
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +
