# Everything is installed into .venv from hash-pinned requirements, once a change of them. PYTHON: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test run bench chaos check
.DEFAULT_GOAL := help

help:
	@echo "make demo | run | test | check | bench | chaos | install"

install: $(STAMP)

$(STAMP): deploy/requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; say which to use: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m producer.demo

run: $(STAMP)
	$(BIN)/fusionai up

test: $(STAMP)
	$(BIN)/python -m pytest -q -m "not bench and not chaos"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m tests.bench

chaos: $(STAMP)
	$(BIN)/python -m pytest -q -s -m chaos tests/chaos
