PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint format clean

# Everything that the project needs, in .venv: torch first, by itself, so that nothing else pulls another build of it.
# Debian's Python comes without ensurepip; then the system's own pip fills the environment.
setup: .venv/ready

.venv/ready: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m graph_builders.install_wordnet
	touch $@

# The whole chain from clips of a made-up world: render, import, extract, graph, train, compare, report.
demo: setup
	$(BIN)/v2ht demo --out demo-output

test: setup lint
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv demo-output
