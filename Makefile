# `make` lists the targets. Everything is created below this folder, and `make clean` deletes it.
PYTHON ?= python3
PY := .venv/bin/python
NODE := .venv/bin/node
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# -qq: show errors, but no warnings about the caller's pip settings.
PIP := $(PY) -m pip install -qq --disable-pip-version-check --no-input
# For every platform and Python from 3.11 on. Existing pins stay, unless the input file requires another version.
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock"
# Integration tests wait for servers most of their time: one worker for each third of a core.
WORKERS = 6
# Options of the stack, passed on if they are set: make demo SECONDS=60 DEVICES=50 PORT_BASE=31883 LISTEN=0.0.0.0
STACK_OPTIONS = $(if $(DEVICES),--devices $(DEVICES)) $(if $(PORT_BASE),--port-base $(PORT_BASE)) \
    $(if $(LISTEN),--listen $(LISTEN))
# Show each line of output at once, even through a pipe.
export PYTHONUNBUFFERED = 1
# Images of Python often set it. Without a cache each worker of pytest rewrites the assertions of all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up down env test test-fast test-integration check js-setup js-check js-vendor docs lock audit bench \
    screenshots clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: .venv/.runtime ## install Python packages and servers: the machine's, or a private Debian 13 below .stack
	@$(PY) -m stack setup

demo: .venv/.runtime ## run everything in the foreground until Ctrl-C [SECONDS=60] [DEVICES=20] [PORT_BASE=21883]
	@$(PY) -m stack demo $(if $(SECONDS),--seconds $(SECONDS)) $(STACK_OPTIONS)

up: setup ## run everything in the background [DEVICES=20] [PORT_BASE=21883] [LISTEN=0.0.0.0]; then: .venv/bin/vitalflow dev --help
	@$(PY) -m stack up --detach $(STACK_OPTIONS)

down: ## stop what `make up` started; the data stays
	@test ! -x $(PY) || $(PY) -m stack down

env: ## for Docker: write .env and the secrets that docker-compose.yml needs
	@$(PYTHON) -m stack.envfile

test: setup ## every check and every test, on real servers and in a real browser; prints the coverage
	@$(MAKE) --no-print-directory --jobs=2 --output-sync check js-check docs
	@$(PY) -m tests.support.chromium
	@$(PY) -m tests.support.prometheus
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(PY) -m coverage run -m pytest -n $(WORKERS) tests/unit tests/integration
	@$(PY) -m coverage combine --quiet && $(PY) -m coverage report
	@$(PY) -m pytest -n $(WORKERS) tests/community tests/browser tests/acceptance

test-fast: check js-check ## lint, types and unit tests, Python and JavaScript; starts no server
	@$(PY) -m pytest tests/unit

test-integration: setup .venv/.dev ## the tests of services on real servers
	@$(PY) -m tests.support.prometheus
	@$(PY) -m pytest -n $(WORKERS) tests/integration

check: .venv/.dev ## lint, format, types, import layers and dashboards only
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@mkdir -p .cache && .venv/bin/lint-imports --no-logo --cache-dir .cache/import-linter >.cache/layers || { cat .cache/layers; exit 1; }
	@env -u VITALFLOW_READER_URL -u VITALFLOW_READER_URL_FILE $(PY) -m grafana check

js-setup: station/node_modules/.installed ## install the JavaScript tools (station/package-lock.json)

js-check: js-setup ## lint, type-check and unit-test the JavaScript
	@$(NODE) station/node_modules/eslint/bin/eslint.js --config station/eslint.config.js station/static tests/js
	@$(NODE) station/node_modules/typescript/bin/tsc --project station/jsconfig.json
	@$(NODE) --test --test-reporter=dot tests/js/*.test.js

js-vendor: js-setup ## copy uPlot from the installed package into station/static/vendor
	@mkdir -p station/static/vendor/uplot
	@cd station/node_modules/uplot && cp LICENSE dist/uPlot.esm.js dist/uPlot.min.css ../../static/vendor/uplot
	@cp station/node_modules/uplot/dist/uPlot.d.ts station/static/vendor/uplot/uPlot.esm.d.ts

docs: .venv/.docs ## build the documentation site into .site/html; a broken link or anchor fails
	@rm -rf .site && mkdir -p .site/pages
	@cp -r docs *.md .site/pages && cp --parents sql/README.md LICENSE .env.example tests/*/test_no_*_lost*.py \
	    tests/unit/test_alert_engine.py .site/pages
	@$(PY) -m zensical build --strict
	@cp .env.example .site/html

lock: .venv/.dev ## compile requirements*.txt, with hashes, from pyproject.toml and requirements-*.in
	@$(LOCK) pyproject.toml --group build --output-file requirements.txt
	@$(LOCK) pyproject.toml --extra plot --extra export --extra wfdb requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt
	@$(LOCK) requirements-docs.in --output-file requirements-docs.txt
	@$(LOCK) deploy/compose-ha/patroni/requirements.in --output-file deploy/compose-ha/patroni/requirements.txt

audit: .venv/.dev ## check dependencies for known vulnerabilities (pip-audit)
	@.venv/bin/uv tool run --quiet --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
	    --progress-spinner off --requirement requirements.txt --requirement requirements-dev.txt \
	    --requirement requirements-docs.txt

bench: setup ## measure how fast a backlog reaches the table, next to mosquitto_sub
	@$(PY) -m bench drain

screenshots: setup .venv/.dev ## take the station's pictures in docs/images; look at them before committing
	@$(PY) -m tests.support.chromium
	@$(PY) -m tests.browser.screenshots

clean: down ## delete the stored data, the private Debian and the Python packages
	$(SUDO) rm -rf .stack .venv .site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis station/node_modules

# Each install runs again only when its list has changed. VitalFlow itself is installed editable.
.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "python: installing VitalFlow and its dependencies (requirements.txt)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	@echo "python: installing the development tools (requirements-dev.txt)"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

station/node_modules/.installed: station/package-lock.json station/package.json station/.npmrc | .venv/.dev
	@echo "node: installing the JavaScript development tools (station/package-lock.json)"
	@.venv/bin/npm ci --prefix station --loglevel=error >/dev/null
	@touch $@

.venv/.docs: requirements-docs.txt .venv/.dev
	@echo "python: installing the documentation site generator (requirements-docs.txt)"
	@$(PIP) --require-hashes -r requirements-docs.txt
	@touch $@

# On Debian and Ubuntu the standard library's venv is a separate package.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; VitalFlow needs Python 3.11 or newer"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: $$($(PYTHON) --version) is too old; VitalFlow needs 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    package="$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	    echo "python: installing the Debian package $$package"; \
	    $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null; }
	@echo "python: creating .venv"
	@$(PYTHON) -m venv .venv
