# The same verbs for a person and for CI; each sets up what it needs. CONTRIBUTING.md says more.
BIN := .venv/bin
CENTER ?=
GATEWAY ?=
BENCH ?=
SEEDS ?=
FAULT ?=
MINUTES ?=

.PHONY: help install run test bench chaos lint clean lock floors

help:
	@echo 'make run       everything on this machine: center, gateway, simulated devices (CENTER= GATEWAY= host:port)'
	@echo 'make test      lint, the whole suite with coverage, the SDK on Python 3.10'
	@echo 'make bench     how fast, beside the limit and beside etcd on this machine (BENCH="push --json": a part, for a program)'
	@echo 'make chaos     every fault with the intervals of production (SEEDS=3 FAULT=F11,F13 MINUTES=60); writes chaos.txt'
	@echo 'make install   .venv with the locked packages for running, testing and checking'
	@echo 'make lint      format, style, types, import contracts'
	@echo 'make clean     removes what was built and installed; never data/'
	@echo 'make lock      resolves pyproject.toml into the locks        make floors   SDK tests on the lowest versions'

install:
	@tools/install.sh dev

run:
	@tools/install.sh run
	@exec $(BIN)/config-center up $(if $(CENTER),--center $(CENTER)) $(if $(GATEWAY),--gateway $(GATEWAY))

test: install
	@tools/system_packages.sh
	@$(MAKE) --no-print-directory lint
	@tools/sdk_on_310.sh
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term
	@$(BIN)/python tools/pure_coverage.py

bench: install
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: install
	@$(BIN)/python -m tests.faults $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FAULT),--faults $(FAULT)) $(if $(MINUTES),--minutes $(MINUTES))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 -p client_sdk
	$(BIN)/lint-imports

lock: install
	@tools/lock.sh

floors: install
	@tools/floors.sh

clean:
	rm -rf .venv .venv310 .venv-uv dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	    .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +
