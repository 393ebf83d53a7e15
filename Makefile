# Each of the targets below does all of its set-up; nothing has to be done first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.lock

.PHONY: demo test test-all lint fast lock audit clean help

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

demo: $(VENV)/run.ok  ## play a small tournament of simulated debaters, no key needed
	@$(BIN)/arena run experiment=demo

test: lint fast  ## lint, types, floors, tests (under 5 minutes)

test-all: lint  ## everything, slow tests too
	$(BIN)/python -m pytest -n auto -m ""

lint: $(VENV)/dev.ok
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-logo

fast: $(VENV)/dev.ok
	$(BIN)/python -m pytest -n auto

lock: $(VENV)/dev.ok  ## renew the lock file
	$(BIN)/pip install uv && $(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --no-header --upgrade -o $(LOCK)

# Strict, because an audit that could look up nothing would otherwise end well.
audit: $(VENV)/audit.ok  ## look the locked dependencies up in the advisory database (needs the network)
	$(VENV)/audit/bin/pip-audit --requirement $(LOCK) --no-deps --disable-pip --strict --progress-spinner off

clean:
	rm -rf $(VENV) dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "arena needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "this Python cannot make a virtual environment; on Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }

# In an environment of its own: what audits is none of what is audited.
$(VENV)/audit.ok: | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@touch $@

$(VENV)/run.ok: pyproject.toml $(LOCK) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e .
	@touch $@

$(VENV)/dev.ok: pyproject.toml $(LOCK) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/run.ok
