# Every target that needs .venv makes it by itself when it is missing or older than the lock file.

.DEFAULT_GOAL := help
.PHONY: help setup demo kernel test lint format bench realdata chaos soak browser worker lock clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
WORKERS := 2
UV_OF_LOCK = $$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
IS_SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for each in python3.11 python3.12 python3 python; do \
	$$each -c '$(IS_SUPPORTED)' 2>/dev/null && echo $$each && break; done)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv from requirements.lock (Python 3.11 or 3.12)

$(INSTALLED): requirements.lock setup.py
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found: install one, or make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV_OF_LOCK)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup kernel ## the whole system on this machine: stack, model, stream, reconciliation
	$(BIN)/riskstream demo

test: setup kernel ## all tests but the long ones, in under 5 minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

kernel: setup ## compile the feature kernel ahead of its first use
	@echo "Compiling the feature kernel, unless it is (takes a minute)"
	@$(BIN)/python -m features.kernel

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## put the code into shape
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

bench: setup kernel ## measure; writes build/bench.json
	$(BIN)/python -m tests.benchmarks

realdata: setup ## stream real bank data (RISKSTREAM_DATA names its folder)
	$(BIN)/python -m pytest -m realdata -s

chaos: setup ## kill and freeze parts of the system in the middle of streams
	$(BIN)/python -m pytest -m chaos -s

soak: setup ## two million events through the job
	$(BIN)/python -m pytest -m soak -s

browser: setup kernel ## open the HTML pages in Chromium (the machine's own, or the one that CHROMIUM names)
	$(BIN)/python -m pytest -m browser -rs

worker: setup ## show that a worker starts with nothing but its own packages (build/worker)
	rm -rf build/lib build/bdist.*
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/worker
	$(BIN)/uv pip sync --quiet --python build/worker/bin/python --require-hashes requirements-worker.lock
	$(BIN)/uv pip install --quiet --python build/worker/bin/python --no-deps .
	cd build && worker/bin/python -c 'import pipeline.graph' && worker/bin/riskstream --help >/dev/null
	$(BIN)/uv pip check --quiet --python build/worker/bin/python

lock: setup ## resolve setup.py again; keeps versions that still fit (UPGRADE=--upgrade for new ones)
	$(COMPILE) $(UPGRADE) --all-extras setup.py -o requirements.lock
	$(COMPILE) $(UPGRADE) --constraint requirements.lock setup.py -o requirements-worker.lock

clean: ## remove what was made, except .venv
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
