# Every target that needs .venv makes it by itself when it is missing or older than the lock file.

# Python keeps what it compiles, whatever the environment says: here dozens of processes import Beam or MLflow, and
# each would compile thousands of modules again, two to four seconds every time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo kernel test lint format monitoring reference docs bench realdata chaos soak browser flink-up \
	flink-down flink-test wheel worker images digests declarations template lock clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
WORKERS := 2
UV_OF_LOCK = $$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
# The packages of an image, and nothing else, in build/. The Dockerfile has the same lines.
define INSTALL
rm -rf build/lib build/bdist.*
$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/$(1)
$(BIN)/uv pip sync --quiet --python build/$(1)/bin/python --require-hashes requirements-$(1).lock
$(BIN)/uv pip install --quiet --python build/$(1)/bin/python --no-deps .
cd build && $(1)/bin/riskstream --help >/dev/null
$(BIN)/uv pip check --quiet --python build/$(1)/bin/python
endef
IS_SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3 python; do \
	$$each -c '$(IS_SUPPORTED)' 2>/dev/null && echo $$each && break; done)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv from requirements.lock (Python 3.11 to 3.13)

$(INSTALLED): requirements.lock setup.py
	@test -n "$(PYTHON)" || { echo "no Python from 3.11 to 3.13 found: install one, or make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV_OF_LOCK)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup kernel ## the whole system on this machine: stack, model, stream, reconciliation
	$(BIN)/riskstream demo

test: setup kernel ## all tests but the long ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

kernel: setup ## compile the feature kernel ahead of its first use
	@echo "Compiling the feature kernel, unless it is (takes a minute)"
	@$(BIN)/python -m features.kernel

lint: setup ## ruff, mypy, hadolint, the schemas of pipelines, no secret anywhere
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint deploy/images/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows deploy/ci/github/*.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.cloudbuild deploy/ci/cloudbuild.yaml
	git ls-files -z -- ':!*.lock' ':!tests/pipeline/step_coders.txt' | xargs -0 -n 200 -P $(WORKERS) \
		$(BIN)/detect-secrets-hook --no-verify --exclude-lines 'projects/[^/]+/secrets/'

format: setup ## put the code into shape
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

monitoring: setup ## write dashboards and alerts from the table of metrics
	$(BIN)/python -m deploy.monitoring

reference: setup ## write the pages and pictures of docs/ that come from code
	$(BIN)/python -m docs.site

docs: reference ## build the site of docs/ into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file docs/site/mkdocs.yml
	@echo "open build/site/index.html"

bench: setup kernel ## measure; writes build/bench.json
	$(BIN)/python -m tests.benchmarks

realdata: setup ## real bank data (RISKSTREAM_DATA names its folder), and the card fraud benchmark
	$(BIN)/python -m pytest -m realdata -s

chaos: setup ## kill and freeze parts of the system in the middle of streams
	$(BIN)/python -m pytest -m chaos -s

soak: setup ## two million events through the job
	$(BIN)/python -m pytest -m soak -s

flink-up: setup ## a Flink on this machine (needs a JDK), for the stack of riskstream up
	$(BIN)/python -m deploy.flink up

flink-down: setup ## stop what flink-up has started
	$(BIN)/python -m deploy.flink down

flink-test: setup kernel ## kill a task manager of Flink in the middle of a stream; throughput beside the local runner's
	$(BIN)/python -m pytest -m flink -s

browser: setup kernel ## open the HTML pages in Chromium (the one here, or that CHROMIUM names); screenshots in build/
	$(BIN)/python -m pytest -m browser -rs

wheel: setup ## install the wheel elsewhere and run it without this folder (WHEEL_PYTHON: with another Python)
	$(BIN)/python -m pytest -m wheel -s

worker: setup ## show that a worker starts with nothing but its own packages (build/worker)
	$(call INSTALL,worker)
	cd build && worker/bin/python -c 'import pipeline.job.graph'

images: worker ## what can be shown of the images without Docker: packages, entry points, no rights, no compiling
	$(call INSTALL,training)
	$(call INSTALL,serving)
	@for each in worker training serving; do \
		echo "Compiling the kernel of $$each for any processor"; \
		for part in features.kernel export; do \
			NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=build/$$each/numba build/$$each/bin/python -P -m $$part || exit 1; \
		done; \
		deploy/images/check build/$$each riskstream usecase check usecases/offboarding.yaml >/dev/null || exit 1; \
		deploy/images/check build/$$each python -m features.kernel > build/$$each/kernel.log || exit 1; \
		deploy/images/check build/$$each python -m export >> build/$$each/kernel.log || exit 1; \
		grep -q 'data loaded' build/$$each/kernel.log || exit 1; \
		! grep 'data saved' build/$$each/kernel.log || { echo "the kernel was compiled again" >&2; exit 1; }; \
	done
	deploy/images/check build/worker python -c 'import apache_beam.runners.worker.sdk_worker_main, pipeline.job.graph' >/dev/null
	deploy/images/check build/training python -c 'import mlflow, training.retrain, pipeline.batch.backfill, pipeline.batch.score' >/dev/null
	deploy/images/check build/training riskstream retrain --help >/dev/null
	deploy/images/check build/serving python -c 'import serving.server' >/dev/null
	deploy/images/check build/serving riskstream serve --help >/dev/null

digests: ## write the digests of the images' bases into deploy/images/Dockerfile (needs Docker and the network)
	python3 -m deploy.images.digests

declarations: setup ## write what Terraform reads of the code: topics and tables
	$(BIN)/python -m deploy.terraform

template: setup ## metadata of the Dataflow Flex Template, and the commands that build and run it
	$(BIN)/python -m deploy.dataflow.template

lock: setup ## resolve setup.py again; keeps versions that still fit (UPGRADE=--upgrade for new ones)
	$(COMPILE) $(UPGRADE) --all-extras setup.py -o requirements.lock
	$(COMPILE) $(UPGRADE) --constraint requirements.lock setup.py -o requirements-worker.lock
	$(COMPILE) $(UPGRADE) --constraint requirements.lock --extra training setup.py -o requirements-training.lock
	$(COMPILE) $(UPGRADE) --constraint requirements.lock --extra serving setup.py -o requirements-serving.lock

clean: ## remove what was made, except .venv
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
