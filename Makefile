# `make` alone says what there is. Needed: Python >= 3.11, make, git, and the package registries.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# In the order of tests/conftest.py: xdist's own begins with the files that have most tests, and ends with one process in
# a file of few long ones.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
# Four processes for two cores, as tests with servers wait for about half of their time; three for those without, who
# wait for a sixth of it.
PYTEST_SERVERS := $(PYTEST) --numprocesses 4
PYTEST_QUICK := $(PYTEST) --numprocesses 3 -m quick
# Else each worker and each command that a test starts compiles all of ours anew, and each run all tests.
unexport PYTHONDONTWRITEBYTECODE
# What another system lacks shows in the standard library alone. Other packages' types are looked at once, for Linux: three
# times would take three times as long.
SYSTEMS := --follow-imports skip --disable-error-code valid-type --disable-error-code misc --disable-error-code return \
	--disable-error-code redundant-cast --allow-subclassing-any --allow-untyped-decorators --no-warn-return-any \
	--no-warn-unused-ignores producer agents

.DEFAULT_GOAL := help
.PHONY: help install demo services worker test test-quick test-system test-containers test-watch test-search test-agents test-oldest test-release torture bench aof check audit format constraints

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

install: $(STAMP) ## everything into .venv (the other targets call it)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'history-sink needs Python 3.11 or newer: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -m stack.install
	@touch $@

demo: $(STAMP) ## a transcript through queue and worker into MinIO and back (TRANSCRIPT=path: your own)
	@$(BIN)/python -m stack.demo $(if $(TRANSCRIPT),"$(TRANSCRIPT)")

services: $(STAMP) ## MinIO and Redis in the foreground, with the lines that a producer needs (DATA=dir: keep the data)
	@$(BIN)/python -m stack.services $(if $(DATA),--data "$(DATA)")

worker: $(STAMP) ## a worker for the services that run in another terminal; any number of them
	@$(BIN)/python -m stack.services_worker

test: $(STAMP) ## the suite on real servers; the first run builds MinIO and versitygw, about five minutes
	@$(BIN)/python -m stack.go_programs
	@$(PYTEST_SERVERS)

test-quick: $(STAMP) ## the tests that need no server, with fewer simulations than `make test`: a minute and a half
	@PROTOCOL_QUICK=1 $(PYTEST_QUICK)

test-system: $(STAMP) ## what wants Debian's Redis, RabbitMQ, promtool, Chromium (installs them), or Docker Compose (builds it)
	@$(BIN)/python -m stack.packages
	@$(BIN)/python -m stack.go_programs minio versitygw docker-compose
	@$(PYTEST) --numprocesses 2 -m system

test-release: $(STAMP) ## dist/ anew, and the quick tests on its wheel, about three minutes (PYTHON=python3.13: with that one)
	@$(BIN)/python -m stack.release --python $(PYTHON)

test-watch: $(STAMP) ## the watch, killed 120 times (KILLS=500: as often), and 2,000 files, on a real queue, worker and store: eight minutes
	@$(BIN)/python -m stack.go_programs minio
	@HISTORY_SINK_WATCH_KILLS=$(or $(KILLS),120) $(BIN)/python -m pytest -p no:xdist tests/test_watch_servers.py

test-oldest: $(STAMP) ## tests on the oldest dependencies, the library's, the worker's and the stores' (PYTHON=python3.13: with that one)
	@$(BIN)/python -m stack.go_programs
	@$(BIN)/python -m stack.oldest --python $(PYTHON)

test-containers: $(STAMP) ## compose.yaml by Docker Compose, on Debian's podman (installs it, as root) and images made here: ten minutes
	@$(BIN)/python -m stack.packages containers
	@$(BIN)/python -m stack.go_programs minio docker-compose
	@$(BIN)/python -m pytest -m containers -p no:xdist tests/test_containers.py

test-search: $(STAMP) ## two search workers, killed 100 times (KILLS=500: as often), whose indexes are then compared: five minutes
	@$(BIN)/python -m stack.go_programs minio
	@SEARCH_KILLS=$(or $(KILLS),100) $(BIN)/python -m pytest -p no:xdist tests/test_search_killed.py

test-agents: $(STAMP) ## real agents from npm, by a scripted model: archived, lost, restored, gone on with (as root); ten minutes, not in CI (CODETETHER=1: builds that one, too)
	@$(BIN)/python -m stack.go_programs
	@$(BIN)/python -m stack.agents.programs
	@$(if $(CODETETHER),$(BIN)/python -m stack.agents.programs codetether)
	@$(BIN)/python -m pytest -m agents -p no:xdist tests/test_real_agents.py

torture: $(STAMP) ## everything killed, stopped, cut and filled; then each byte compared (SECONDS=60 SEED=1 TRANSPORT=stock or rabbitmq)
	@$(BIN)/python -m torture $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(TRANSPORT),--transport $(TRANSPORT))

aof: $(STAMP) ## what Redis's appendfsync costs, and what it loses at a kill and without power
	@$(BIN)/python -m torture.aof

bench: $(STAMP) ## ours beside naive and the floor, about six minutes (FULL=1: all, below twenty; ONLY=store,resolve: some; AGAINST=commit: an older build)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@$(BIN)/python -m bench $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST))

check: $(STAMP) ## ruff and mypy, for Linux; and what is installed beside agents for macOS and Windows, too
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin $(SYSTEMS)
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 $(SYSTEMS)

audit: $(STAMP) ## whether a pinned version has a known vulnerability; fails, too, where the database is not reached
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group audit
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

format: $(STAMP) ## let ruff put right what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

constraints: ## constraints.txt anew, from the newest releases
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	$(PYTHON) -m venv "$$directory" && \
	"$$directory/bin/pip" install --quiet 'pip>=25.1' && \
	"$$directory/bin/pip" install --group dev --group bench --group audit --group release --editable '.[$(shell $(PYTHON) -c 'from stack.install import EXTRAS; print(EXTRAS)')]' && \
	{ sed -n '/^#/p' constraints.txt; "$$directory/bin/pip" freeze --exclude-editable; \
	  sed -n '/;/p' constraints.txt; } > "$$directory/new" && cp "$$directory/new" constraints.txt
