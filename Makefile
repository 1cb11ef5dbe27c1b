# Every task of a developer. `make` alone prints the list.
#
# Needs GNU make, a Python >= 3.11 with venv, and a package index that pip is set up to reach.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# A stamp is as new as what was installed from its lock, so nothing is installed twice.
RUN_STAMP := $(VENV)/.stamp-run
PACKAGE_STAMP := $(VENV)/.stamp-package
DEV_STAMP := $(VENV)/.stamp-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

PYTHONS ?= python3.13 python3.12 python3.11 python3
UV ?= uv
BENCHMARKS := $(sort $(filter-out _%,$(notdir $(basename $(wildcard benchmarks/*.py)))))

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(PACKAGE_STAMP) ## make .venv and install what the locks name, checked by hash

.PHONY: demo
demo: install ## UI, API and daemon with real data flowing through; links are printed, Ctrl-C stops it all
	@exec $(BIN)/metricfoundry demo

.PHONY: up
up: install ## the same without the data: an empty, running MetricFoundry
	@exec $(BIN)/metricfoundry up

.PHONY: servers
servers: install ## PostgreSQL, MinIO and Druid on this machine, without Docker; prints what to set, Ctrl-C stops them
	@exec $(BIN)/python -m deploy.servers up $(SERVERS_ARGS)

.PHONY: test
# The servers are built before: that takes minutes, once, and a test is given five. What cannot be had is told, and its tests are skipped.
test: $(DEV_STAMP) ## the whole test suite; skipped tests say why (PYTEST_ARGS="-k staging" for a part)
	@$(BIN)/python -m deploy.servers build || true
	@$(BIN)/python -m pytest -ra $(PYTEST_ARGS)

.PHONY: check
check: $(DEV_STAMP) ## format, lint, types, layers, and whether Dagster can load the definitions
	$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff .; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/dg check defs
	$(BIN)/dagster definitions validate -w workspace.yaml

.PHONY: bench
bench: $(addprefix bench-,$(subst _,-,$(BENCHMARKS))) ## every benchmark, one JSON line a figure (SIZE=small turns the inputs down)

# `bench-stage-csv` runs benchmarks/stage_csv.py.
bench-%: $(DEV_STAMP) ## one of them: a file of benchmarks/, with dashes
	@$(BIN)/python -m benchmarks.$(subst -,_,$*)

# For example `make faults KILLS=8 DATASETS=60 SEED=7 ON=embedded`; ON=servers is the other storm, and both are the default.
.PHONY: faults
faults: $(DEV_STAMP) ## kill -9 everything in the middle of runs, then check that each dataset is served exactly once
	@$(BIN)/python -m metricfoundry_dagster_tests.faults \
	    $(if $(ON),--on $(ON)) $(if $(KILLS),--kills $(KILLS)) $(if $(DATASETS),--datasets $(DATASETS)) $(if $(SEED),--seed $(SEED))

.PHONY: lock
lock: ## resolve both lock files from pyproject.toml (needs uv; LOCK_ARGS=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or say where it is with UV=…" >&2; exit 1; }
	$(call resolve,--group build,requirements.lock)
	$(call resolve,--group build --group dev --constraint requirements.lock,requirements-dev.lock)

# Hashes but no address: whoever installs decides which index is asked. The second lock is constrained by the first.
define resolve
$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	--python-version 3.11 --universal $(LOCK_ARGS) pyproject.toml $(1) -o $(2)
endef

.PHONY: clean
clean: ## remove .venv and caches; data under .metricfoundry stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find metricfoundry_dagster metricfoundry_dagster_tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- how `install` and `test` get their environment

# A name on the PATH is no proof: version managers leave names that do not run.
$(BIN)/python:
	@for python in $(PYTHONS); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv $(VENV); \
	    fi; \
	done; \
	echo "No Python >= 3.11 with venv among: $(PYTHONS). Install one, or name it: make install PYTHONS=/path/to/python" >&2; exit 1

$(RUN_STAMP): requirements.lock | $(BIN)/python
	@echo "installing requirements.lock"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@touch $@

$(PACKAGE_STAMP): pyproject.toml $(RUN_STAMP)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(PACKAGE_STAMP)
	@echo "installing requirements-dev.lock"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@
