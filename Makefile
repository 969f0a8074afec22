# Everything is installed into .venv: the runtime lock for what runs, the rest for what tests. PYTHON: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Which tests `make test` runs; nothing: all of them.
TESTS ?=
# How many it runs at a time. They wait as much as they work: three use two cores.
WORKERS ?= 3
# Named on the command line or in the environment: then a .venv of another Python is made anew.
CHOSEN := $(if $(filter file,$(origin PYTHON)),,chosen)

# Where Python may not keep what it has compiled, every process compiles all of ours anew: half a second of each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install runtime dev demo test test-node run bench chaos chaos-short check lock
.DEFAULT_GOAL := help

help:
	@echo "make demo | run | test | test-node | check | bench | chaos | chaos-short | install | lock"

install: dev

runtime:
	@deploy/install.sh runtime "$(PYTHON)" $(CHOSEN)

dev: runtime
	@deploy/install.sh dev "$(PYTHON)"

# Make both lock files anew; LOCK_OPTIONS=--upgrade takes the newest releases that pyproject.toml allows.
lock:
	@deploy/lock.sh "$(PYTHON)" $(LOCK_OPTIONS)

demo: runtime
	$(BIN)/python -m producer.demo

run: runtime
	$(BIN)/fusionai up

test: dev
	$(BIN)/python -m pytest -q -m "not bench and not chaos" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

# The official OpenAI SDK for Node against a running stack.
test-node: dev tests/node/node_modules/.package-lock.json
	$(BIN)/python -m tests.node

tests/node/node_modules/.package-lock.json: tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || \
		{ echo "Node 20 or newer and npm are missing: apt-get install nodejs npm, or see https://nodejs.org"; exit 1; }
	npm --prefix tests/node ci --silent
	@touch $@

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict deploy/check_lock.py
	$(BIN)/lint-imports
	$(BIN)/python deploy/check_lock.py

bench: dev
	$(BIN)/python -m tests.bench

chaos: dev
	$(BIN)/python -m pytest -q -s -m chaos tests/chaos tests/acceptance

# Every crash point, at a later passing than in the default suite where there is one, and a rough world: five minutes.
chaos-short: dev
	$(BIN)/python -m pytest -q -m chaos_short -n 2 tests/chaos
