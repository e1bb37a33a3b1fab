# SPDX-License-Identifier: Apache-2.0
# One target per need; `make` lists them.  Everything lives in ./.venv and ~/.cache/transect; as root on Debian,
# `system` (and so `test`) installs what packages.txt lists, unless SYSTEM=0.

PYTHON       ?= python3
PYTHON311    ?= python3.11
FUZZ_SECONDS ?= 60
FUZZ_INPUTS  ?= 200000
WORKERS      ?= auto
ARGS         ?=

# The whole suite at once: what shares machines or servers stays with one worker, the longest of these begin.
PARALLEL = -n $(WORKERS) --maxprocesses 4 --dist loadscope --no-loadscope-reorder

CACHE := $(HOME)/.cache/transect
BIN   := .venv/bin
READY := .venv/ready

export PIP_CACHE_DIR            := $(CACHE)/pip
export NPM_CONFIG_CACHE         := $(CACHE)/npm
export PYRIGHT_PYTHON_CACHE_DIR := $(CACHE)/pyright
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fuzz bench golden coverage format docs lock system setup-vllm clean

help:  ## this list
	@echo "make TARGET   (variables: PYTHON, PYTHON311, PYTHON313, ARGS, WORKERS, SYSTEM=0, REQUIRE=all, FUZZ_SECONDS, FUZZ_INPUTS)"
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make ./.venv; afterwards .venv/bin/transect works
	@sh tools/prerequisites "$(PYTHON)"

$(READY): requirements.lock pyproject.toml
	@sh tools/prerequisites "$(PYTHON)"
	@sh tools/setup "$(PYTHON)"

demo: $(READY)  ## the main jobs on real parts, no root needed
	@$(BIN)/transect demo $(ARGS)

test: $(READY) system  ## every test this machine allows; ARGS="tests/unit -k name" narrows it
	@$(if $(filter all,$(REQUIRE)),sh tools/setup-vllm "$(PYTHON311)" || true)
	@$(BIN)/python -m pytest $(or $(ARGS),$(PARALLEL)); status=$$?; echo $$status > .venv/pytest-status; exit $$status

lint: $(READY)  ## style, types, import arrows, documentation, licences
	@$(BIN)/python tools/lint.py $(ARGS)

fuzz: $(READY)  ## random programs for FUZZ_SECONDS (60) seconds a test, FUZZ_INPUTS (200,000) damaged inputs a reader
	@HYPOTHESIS_PROFILE=deep FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest tests/fuzz --timeout=0 $(ARGS)

bench: $(READY)  ## measure the claims of benchmarks/ here; ARGS="rpc.scanner" picks
	@$(BIN)/transect bench $(ARGS)

golden: $(READY)  ## write the golden files and inline snapshots anew; read the diff before you commit it
	@TRANSECT_GOLDEN=update $(BIN)/python -m pytest --inline-snapshot=create,fix $(or $(ARGS),$(wildcard tests/unit tests/golden))

coverage: $(READY)  ## branches of the core that its own tests do not take; below 100 % fails
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q $(or $(ARGS),tests/unit/core tests/unit/emit/py tests/unit/replay tests/unit/control)
	@$(BIN)/coverage report --ignore-errors --include='src/transect/core/*' --show-missing --skip-covered --fail-under=100

format: $(READY)  ## lay out the code and sort its imports
	@$(BIN)/ruff check --select I --fix --quiet . ; $(BIN)/ruff format .

docs: $(READY)  ## build the documentation into .venv/docs/html
	@$(BIN)/sphinx-build -q -W --keep-going -d .venv/docs/doctrees docs .venv/docs/html $(ARGS)

lock: $(READY)  ## resolve requirements.lock anew from pyproject.toml
	@sh tools/lock

system:  ## as root on Debian: install what packages.txt lists (SYSTEM=0 refrains)
	@SYSTEM="$(SYSTEM)" sh tools/system

setup-vllm:  ## a CPU build of vLLM for the tests of the llm stratum (3.3 GB, Python 3.11)
	@sh tools/setup-vllm "$(PYTHON311)"

clean:  ## remove ./.venv and what tools left in the checkout; ~/.cache/transect stays
	@rm -rf .venv .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .benchmarks .coverage htmlcov build dist
	@find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
