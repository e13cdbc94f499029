# Two commands on a fresh machine with Python and make: `make run` and `make test`. Then `make verify`, `make bench`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check format verify bench bench-check bench-docs clean

run: $(VENV)/ready
	$(BIN)/python -m aegis run $(ARGS)

test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

verify: $(VENV)/ready
	$(BIN)/python -m aegis verify $(ARGS)

# Every benchmark beside its peers, ten to fifteen minutes on a quiet machine; then the floors, and the document.
bench: $(VENV)/peers
	$(BIN)/python -m bench $(ARGS)

bench-check: $(VENV)/ready
	$(BIN)/python -m bench.check

bench-docs: $(VENV)/ready
	$(BIN)/python -m bench.document

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,dev]"
	touch $@

$(VENV)/peers: $(VENV)/ready
	$(BIN)/python -m bench.peers
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
