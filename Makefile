# Two commands: `make watch` shows coord at work, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUITES := tests/conformance/node_modules/.ready
CLIENTS := .clients
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup watch test lint types layers unit test-clients bench torment docs clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make the environment that everything else uses

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "coord needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv: on Debian and Ubuntu install python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # its scripts start in half the time
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

watch: $(READY) ## run coord watch over REPO=path; without it, over a demonstration
	@if [ -n "$(REPO)" ]; then $(BIN)/coord --repo "$(REPO)" init && exec $(BIN)/coord --repo "$(REPO)" watch; \
	else exec $(BIN)/python -m demo; fi

test: lint types layers unit ## everything that must hold

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

# `npm install` with its lock file, not `npm ci`, which insists on packages for other systems that a mirror may lack.
$(SUITES): tests/conformance/package-lock.json | $(READY)
	@cd tests/conformance && ../../$(BIN)/npm install --no-save --ignore-scripts --no-audit --no-fund --silent \
	&& touch node_modules/.ready \
	|| echo "npm could not install tests/conformance: its tests are skipped, but in CI they fail"

unit: $(READY) $(SUITES)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-clients: $(READY) $(CLIENTS)/.ready ## the real assistants inside, offline; large downloads; ONLY=name picks tests
	COORD_CLIENTS="$(CURDIR)/$(CLIENTS)" tests/clients/offline $(BIN)/pytest tests/clients --basetemp "$${TMPDIR:-/tmp}/coord-clients" --timeout 600 -vv $(if $(ONLY),-k "$(ONLY)")

$(CLIENTS)/.ready: tests/clients/package.json tests/clients/package-lock.json
	@mkdir -p $(CLIENTS)
	@cp $^ $(CLIENTS)
	@echo "installing three assistants into $(CLIENTS) (once, about 900 MB) ..."
	@cd $(CLIENTS) && ../$(BIN)/npm install --no-save --no-audit --no-fund --loglevel error
	@touch $@

docs: $(READY) ## make docs/commands.md, docs/pictures/ and plugin/ again
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_plugin.py

torment: $(READY) ## the long tier of tests/torment: hours; ONLY=name picks tests, COORD_SEED=n replays
	COORD_TORMENT=long $(BIN)/pytest tests/torment -n $(WORKERS) --timeout 0 -rA $(if $(ONLY),-k "$(ONLY)")

bench: $(READY) ## measure against floors of the same run; ONLY="a b" picks some, GROWTH=1 draws how costs grow
	@$(BIN)/python -m bench $(if $(GROWTH),growth,$(ONLY))

clean: ## remove what make made here
	rm -rf $(VENV) $(CLIENTS) tests/conformance/node_modules .demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
