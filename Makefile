# What people type. `make` alone tells. Everything is made below this folder and `make clean` takes it away again.
PYTHON ?= python3
PY := .venv/bin/python
NODE := .venv/bin/node
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Twice quiet: errors are shown, warnings about the caller's own pip settings are not.
PIP := $(PY) -m pip install -qq --disable-pip-version-check --no-input
# For every platform and Python from 3.11 on; what is pinned in the file that is there stays, unless its .in says other.
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock"
# Options of the stack, each only where it was given: make demo SECONDS=60 DEVICES=50 PORT_BASE=31883
STACK_OPTIONS = $(if $(DEVICES),--devices $(DEVICES)) $(if $(PORT_BASE),--port-base $(PORT_BASE))
# A line that a program wrote is seen at once, also through a pipe.
export PYTHONUNBUFFERED = 1

.PHONY: help setup demo up down env test check js-setup js-check js-vendor docs lock audit bench screenshots clean
.DEFAULT_GOAL := help

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: .venv/.runtime ## Python packages, and the servers: the machine's own or a private Debian 13
	@$(PY) -m stack setup

demo: .venv/.runtime ## everything on one live screen until Ctrl-C [SECONDS=60] [DEVICES=20] [PORT_BASE=21883]
	@$(PY) -m stack demo $(if $(SECONDS),--seconds $(SECONDS)) $(STACK_OPTIONS)

up: setup ## everything in the background [DEVICES=20] [PORT_BASE=21883]; then: .venv/bin/vitalflow dev --help
	@$(PY) -m stack up --detach $(STACK_OPTIONS)

down: ## end what `make up` started; the data stays
	@test ! -x $(PY) || $(PY) -m stack down

env: ## for Docker: write .env and the secrets that docker-compose.yml needs, once
	@$(PYTHON) -m stack.envfile

test: check setup ## every check and every test, on real servers and in a real browser
	@$(PY) -m tests.support.chromium
	@$(PY) -m pytest

check: .venv/.dev ## lint, format, types and dashboards only
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@env -u VITALFLOW_READER_URL -u VITALFLOW_READER_URL_FILE $(PY) -m grafana check

js-setup: station/node_modules/.installed ## JavaScript development tools (station/package-lock.json), by the Node.js in .venv

js-check: js-setup ## JavaScript only: lint, types, unit tests
	@$(NODE) station/node_modules/eslint/bin/eslint.js --config station/eslint.config.js station/static tests/js
	@$(NODE) station/node_modules/typescript/bin/tsc --project station/jsconfig.json
	@$(NODE) --test --test-reporter=dot tests/js/*.test.js

js-vendor: js-setup ## copy uPlot from the installed package into station/static/vendor
	@mkdir -p station/static/vendor/uplot
	@cd station/node_modules/uplot && cp LICENSE dist/uPlot.esm.js dist/uPlot.min.css ../../static/vendor/uplot
	@cp station/node_modules/uplot/dist/uPlot.d.ts station/static/vendor/uplot/uPlot.esm.d.ts

docs: .venv/.docs ## build the documentation site into .site/html; broken links and anchors fail
	@rm -rf .site && mkdir -p .site/pages
	@cp -r docs *.md .site/pages && cp --parents sql/README.md LICENSE .env.example tests/*/test_no_*_lost*.py \
	    tests/unit/test_alert_engine.py .site/pages
	@$(PY) -m zensical build --strict
	@cp .env.example .site/html

lock: .venv/.dev ## compile requirements*.txt, with hashes, from pyproject.toml and requirements-*.in
	@$(LOCK) pyproject.toml --group build --output-file requirements.txt
	@$(LOCK) pyproject.toml requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt
	@$(LOCK) requirements-docs.in --output-file requirements-docs.txt

audit: .venv/.dev ## is a vulnerability known of any package that is installed? asks the index of packages
	@.venv/bin/uv tool run --quiet --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
	    --progress-spinner off --requirement requirements.txt --requirement requirements-dev.txt \
	    --requirement requirements-docs.txt

bench: setup ## how fast a backlog reaches the table, beside mosquitto_sub
	@$(PY) -m bench drain

screenshots: setup .venv/.dev ## the station's pictures in docs/images, of a ward of its own; look at them before committing
	@$(PY) -m tests.support.chromium
	@$(PY) -m tests.browser.screenshots

clean: down ## delete the stored data, the private Debian and the Python packages
	$(SUDO) rm -rf .stack .venv .site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis station/node_modules

# Each install runs again only when its list has changed. The package is installed editable: it is this folder.
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
	@.venv/bin/npm ci --prefix station --loglevel=error
	@touch $@

.venv/.docs: requirements-docs.txt .venv/.dev
	@echo "python: installing the documentation site generator (requirements-docs.txt)"
	@$(PIP) --require-hashes -r requirements-docs.txt
	@touch $@

# Debian and Ubuntu keep the standard library's venv in a package of its own.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); VitalFlow needs Python 3.11 or newer"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: $$($(PYTHON) --version) is too old; VitalFlow needs 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    package="$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	    echo "python: installing the Debian package $$package"; \
	    $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null; }
	@echo "python: making .venv"
	@$(PYTHON) -m venv .venv
