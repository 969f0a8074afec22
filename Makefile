# Everything is installed into .venv: the runtime lock for what runs, the rest for what tests. PYTHON: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Which tests `make test` runs; nothing: all of them.
TESTS ?=
# How many it runs at a time. They wait as much as they work: four use two cores.
WORKERS ?= 4
# How they are handed out: by file, each collected where it runs (tests/late.py), unless single tests are named.
DEALT := $(if $(findstring ::,$(TESTS)),--dist loadfile --no-loadscope-reorder,\
	-p tests.late -o console_output_style=classic --dist load --maxschedchunk 1)
# Named on the command line or in the environment: then a .venv of another Python is made anew.
CHOSEN := $(if $(filter file,$(origin PYTHON)),,chosen)

# Where Python may not keep what it has compiled, every process compiles all of ours anew: half a second of each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install runtime dev demo test test-node test-console screenshots chromium run bench chaos chaos-short check lock migration
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: dev ## what tests and checks need, into .venv (the other targets install what they need by themselves)

runtime: ## what runs, into .venv, and nothing else
	@deploy/install.sh runtime "$(PYTHON)" $(CHOSEN)

dev: runtime ## the same as install
	@deploy/install.sh dev "$(PYTHON)"

# Make both lock files anew; LOCK_OPTIONS=--upgrade takes the newest releases that pyproject.toml allows.
lock: ## deploy/requirements from pyproject.toml; LOCK_OPTIONS=--upgrade: with the newest releases
	@deploy/lock.sh "$(PYTHON)" $(LOCK_OPTIONS)

demo: runtime ## a batch of 300 lines and five jobs on this machine, with all that comes of them checked
	$(BIN)/python -m producer.demo

run: runtime ## the whole system on this machine until Ctrl-C, as `fusionai up`
	$(BIN)/fusionai up

test: dev ## the suite; TESTS=tests/unit/test_retry.py: a part of it
	$(BIN)/python -m pytest -q -m "not bench and not chaos" -n $(WORKERS) $(DEALT) $(TESTS)

# The official OpenAI SDK for Node against a running stack.
test-node: dev tests/node/node_modules/.package-lock.json ## the official OpenAI SDK for Node against a running system
	$(BIN)/python -m tests.node

tests/node/node_modules/.package-lock.json: tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || \
		{ echo "Node 20 or newer and npm are missing: apt-get install nodejs npm, or see https://nodejs.org"; exit 1; }
	npm --prefix tests/node ci --silent
	@touch $@

test-console: chromium ## the console in headless Chromium against a running system (Debian: apt-get install chromium; or CHROMIUM=/path/to/it)
	$(BIN)/python -m tests.console

screenshots: chromium ## the README's pictures of the console, anew
	$(BIN)/python -m tests.console --screenshots

# Before anything is installed: its module needs no package.
chromium: ## whether there is a Chromium, and what drives it, into .venv
	@$(PYTHON) tests/console/chromium.py
	@$(MAKE) --no-print-directory dev
	@deploy/install.sh browser "$(PYTHON)"

check: dev ## lint, format, types, the direction of imports, and whether the lock is complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict deploy/check_lock.py deploy/new_migration.py
	$(BIN)/mypy --strict -p deploy.capacity
	$(BIN)/lint-imports
	$(BIN)/python deploy/check_lock.py

bench: dev ## the figures of BENCHMARKS.md
	$(BIN)/python -m tests.bench

chaos: dev ## kills processes of a running system for as long as it takes: the long crash tests
	$(BIN)/python -m pytest -q -s -m chaos tests

# Every crash point once, at its latest passing; each process killed, stopped and replaced; and a rough world.
chaos-short: dev ## every crash point, kills of each kind, a rolling update and a rough world, in a few minutes
	$(BIN)/python -m pytest -q -m chaos_short -n $(WORKERS) --dist loadgroup tests/chaos tests/acceptance/test_rolling.py \
		tests/acceptance/test_batch_providers.py

migration: dev ## a draft of the next migration from the models: make migration name=image_sizes
	@$(BIN)/python -m deploy.new_migration "$(name)"
