# Everything is installed into .venv from hash-pinned requirements, once a change of them. PYTHON: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test test-node run bench chaos check
.DEFAULT_GOAL := help

help:
	@echo "make demo | run | test | test-node | check | bench | chaos | install"

install: $(STAMP)

$(STAMP): deploy/requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; say which to use: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r deploy/requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m producer.demo

run: $(STAMP)
	$(BIN)/fusionai up

test: $(STAMP)
	$(BIN)/python -m pytest -q -m "not bench and not chaos"

# The official OpenAI SDK for Node against a running stack.
test-node: $(STAMP) tests/node/node_modules/.package-lock.json
	$(BIN)/python -m tests.node

tests/node/node_modules/.package-lock.json: tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || \
		{ echo "Node 18 or newer and npm are missing: apt-get install nodejs npm, or see https://nodejs.org"; exit 1; }
	npm --prefix tests/node ci --silent
	@touch $@

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m tests.bench

chaos: $(STAMP)
	$(BIN)/python -m pytest -q -s -m chaos tests/chaos tests/acceptance
