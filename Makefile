# make quickstart   install, then run the whole pipeline on the bundled example
# make setup        install what development needs
# make check        formatting, lint, types, import rules
# make test         all tests; `make test-fast` leaves the slow ones out
# make format       put the code into its standard form
# make docs         write the pages that are generated

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two files of tests at a time, one thread each: fixtures are shared within a file.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
SOURCES := src tests scripts benchmarks

.PHONY: quickstart setup check test test-fast format docs clean

quickstart: $(VENV)/.installed
	$(BIN)/pakar run recipes/quickstart.yaml

setup: $(VENV)/.installed-dev

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/recipe_reference.py --check

test: $(VENV)/.installed-dev
	$(PYTEST)

test-fast: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix --exit-zero $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(VENV)/.installed-dev
	$(BIN)/python scripts/recipe_reference.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Pakar needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed
