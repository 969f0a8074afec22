# Everything is installed into .venv: the runtime lock for what runs, the rest for what tests. PYTHON: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Whether the version that was released last can be unpacked: a shallow clone lacks its commit.
RELEASED := $(shell sed -n 's/^RELEASED = "\([0-9a-f]*\)".*/\1/p' tests/chaos/older.py)
HISTORY := $(shell git cat-file -e '$(RELEASED)^{commit}' 2>/dev/null && echo yes)
# Which tests `make test` runs; nothing: all of them.
TESTS ?=
# How many it runs at a time. They wait as much as they work: five use two cores.
WORKERS ?= 5
# How they are handed out: by file, each collected where it runs (tests/late.py), unless single tests are named.
DEALT := $(if $(findstring ::,$(TESTS)),--dist loadfile --no-loadscope-reorder,\
	-p tests.late -o console_output_style=classic --dist load --maxschedchunk 1)
# Named on the command line or in the environment: then a .venv of another Python is made anew.
CHOSEN := $(if $(filter file,$(origin PYTHON)),,chosen)

# Where Python may not keep what it has compiled, every process compiles all of ours anew: half a second of each start.
unexport PYTHONDONTWRITEBYTECODE
# What runs is what is in .venv and here, whatever the user's other Pythons need.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONOPTIMIZE

.PHONY: help install runtime dev demo test test-upgrade test-node test-sdk-js sdk-types test-go packages test-packages test-console screenshots chromium run bench chaos chaos-short check deploy-check test-cluster supply-check release-notes lock migration
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

# The official OpenAI SDK for Node, and our package packed and installed anew, against a running stack.
test-node: dev tests/node/node_modules/.package-lock.json producer/client/js/node_modules/.package-lock.json ## the official OpenAI SDK for Node, and our own, against a running system
	$(BIN)/python -m tests.node

test-sdk-js: dev producer/client/js/node_modules/.package-lock.json ## our SDK for JavaScript alone: packed, installed anew, type-checked and run
	$(BIN)/python -m tests.node.sdk

sdk-types: dev producer/client/js/node_modules/.package-lock.json ## the types of our SDK for JavaScript anew, from the OpenAPI document
	$(BIN)/python -m tests.node.document
	npm --prefix producer/client/js run --silent types -- document.json
	@rm producer/client/js/document.json

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@command -v npm >/dev/null || \
		{ echo "Node 20 or newer and npm are missing: apt-get install npm (Debian 13), or see https://nodejs.org"; exit 1; }
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || \
		{ echo "Node 20 or newer is needed, and this is $$(node --version): see https://nodejs.org"; exit 1; }
	npm --prefix $* ci --silent
	@touch $@

test-go: dev ## the Go client: its own tests, the table of behaviours, its quick start and calls of a running system
	@command -v go >/dev/null || \
		{ echo "Go 1.19 or newer is missing: Debian: apt-get install golang; or see https://go.dev/doc/install"; exit 1; }
	$(BIN)/python -m tests.sdk.go

packages: dev ## the Python SDK and command, built into dist/: a wheel and an sdist
	$(BIN)/python -m deploy.packages

test-packages: dev ## the wheel, installed as by a user: the command, the README's quick start on a running system, its types
	$(BIN)/python -m tests.packages

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
	$(BIN)/mypy --strict --explicit-package-bases \
		deploy/audit.py deploy/check_lock.py deploy/new_migration.py deploy/release_notes.py deploy/capacity
	$(BIN)/lint-imports
	$(BIN)/python deploy/check_lock.py

deploy-check: dev ## the image, compose, chart, units, proxies, rules of deploy/, by linters, schemas and real processes
	@deploy/install.sh checks "$(PYTHON)"
	@$(BIN)/python -m tests.deploy.tools
	DEPLOY_CHECK=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/deploy

test-cluster: dev ## a cluster on this machine: three nodes of RabbitMQ, Redis, TLS and passwords, PostgreSQL; what goes away and comes back
	@$(BIN)/python -m tests.cluster.programs
	CLUSTER_CHECK=1 $(BIN)/python -m pytest -q $(if $(HISTORY),,-m "not history") -n 0 tests/cluster

supply-check: dev ## licences of what is shipped, its bill of materials (build/sbom.cdx.json), and known vulnerabilities
	@deploy/install.sh checks "$(PYTHON)"
	$(BIN)/mypy --strict --explicit-package-bases deploy/supply_chain.py
	$(BIN)/python -m deploy.supply_chain
	$(BIN)/python -m deploy.audit

release-notes: ## a version's section of the changelog: make release-notes version=0.1.0
	@$(PYTHON) -m deploy.release_notes $(version)

bench: dev ## the figures of BENCHMARKS.md
	$(BIN)/python -m tests.bench

chaos: dev ## kills processes of a running system for as long as it takes: the long crash tests
	$(BIN)/python -m pytest -q -s -m chaos tests

# Every crash point once, at its latest passing; each process killed, stopped and replaced; and a rough world, in which a
# worker of an earlier version is where the history has one.
chaos-short: dev ## every crash point, kills of each kind, a rolling update and a rough world, in a few minutes
	$(BIN)/python -m pytest -q -m "chaos_short$(if $(HISTORY),, and not history)" -n $(WORKERS) --dist loadgroup \
		tests/chaos tests/acceptance/test_rolling.py tests/acceptance/test_batch_providers.py

test-upgrade: dev ## a rolling upgrade under load from the version that was released last, back, and there again
	@[ -n "$(HISTORY)" ] || { echo "The released version ($(RELEASED)) is not in this clone: git fetch --unshallow"; exit 1; }
	$(BIN)/python -m pytest -q -s -m history tests/upgrade

migration: dev ## a draft of the next migration from the models: make migration name=image_sizes
	@$(BIN)/python -m deploy.new_migration "$(name)"
