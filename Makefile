# Two commands: `make demo` runs the main job on the embedded dataset, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PLUGINS = $(wildcard plugins/*)

.PHONY: demo test lint
demo: $(VENV)/installed
	$(BIN)/stbench run -m mean -m position -m ridge -m histogene -d simulated
	$(BIN)/stbench leaderboard -d simulated

# Commands that the tests start take one core each: as many threads as cores in every one of them wait for each other.
test: export OMP_NUM_THREADS = 1
test: export LOKY_MAX_CPU_COUNT = 1
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stbench needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e . $(PLUGINS:%=-e ./%)
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
