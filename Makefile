# One word per act. `make demo` and `make test` need Python 3.11+ and nothing else; each makes what it needs.
PYTHON ?= python3
MINUTES ?= 10
RUNS ?= 200
SECONDS ?= 3600
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo serve lint check test coverage bench fuzz faults soak audit docs clean

demo: .venv/demo.done  ## index six photographs and search them
	@$(BIN)/samespace demo

serve: .venv/serve.done  ## the page: search in a browser what `make demo` indexed
	@$(BIN)/samespace demo --library .venv/demo-library
	@$(BIN)/samespace serve --library .venv/demo-library

lint: .venv/dev.done  ## style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy

check: lint  ## style, types and the fast tests: under two minutes
	@$(PYTEST) -m "not slow and not browser"

test: .venv/dev.done  ## run every test
	@$(PYTEST)

coverage: .venv/dev.done  ## run every test and say which lines none of them runs
	@$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html:.venv/coverage

bench: .venv/dev.done  ## measure against the peers, in one run, as ratios
	@$(BIN)/python -m benchmarks

fuzz: .venv/dev.done  ## mutated inputs for every parser, and mutated files for the indexer: make fuzz MINUTES=60
	@$(PIP) "atheris>=3.0; sys_platform == 'linux'"
	@$(BIN)/python -m fuzz $(MINUTES)

faults: .venv/dev.done  ## what writes is killed at random moments, and what is left looked at: make faults RUNS=200
	@$(BIN)/python -m faults $(RUNS)

soak: .venv/dev.done  ## a server under the load of 64 clients, for an hour: make soak SECONDS=3600
	@LOAD_SECONDS=$(SECONDS) $(BIN)/python -m benchmarks load

audit: .venv/dev.done  ## what is installed, as a bill of materials, and what is known to be vulnerable in it
	@$(PIP) pip-audit cyclonedx-bom
	@$(BIN)/cyclonedx-py environment $(BIN)/python --of JSON -o .venv/sbom.json && echo "bill of materials: .venv/sbom.json"
	@$(BIN)/pip-audit --skip-editable

docs: .venv/dev.done  ## the API reference, from the docstrings, into .venv/docs
	@$(BIN)/python -m docs.api .venv/docs

clean:  ## remove the environments; libraries and spaces of yours are elsewhere and stay
	rm -rf .venv .venv-peers

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("samespace needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv

.venv/demo.done: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv (a minute or two, once)"
	@$(PIP) --editable ".[demo]"
	@touch $@

.venv/serve.done: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv what serving needs (torch: some minutes, once)"
	@$(PIP) --editable ".[demo,serve]"
	@touch $@

.venv/dev.done: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv what checks and tests need (torch, transformers, open_clip: some minutes, once)"
	@$(PIP) --editable ".[dev]"
	@touch $@
