PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint format clean bench-peers

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

# Peers in one run, in .venv-peers: the project's requirements and the peers' own. Without DATA a small made-up world;
# with DATA=FOLDER (the real tables) and OUT=RUNS the study of experiments/real, which goes on where it was stopped.
PEERS := .venv-peers/bin
OUT ?= runs/peers

bench-peers: .venv-peers/ready
ifdef DATA
	$(PEERS)/python -m experiments.real.run --data $(DATA) --out $(OUT) --workers 2
	$(PEERS)/python -m experiments.real.compare --out $(OUT)
	$(PEERS)/python -m experiments.real.tables
else
	$(PEERS)/python -m benchmarks.peers.run --world --out $(OUT)
endif

# lightfm's setup.py only works without an isolated build, an option that later versions of pip lack.
.venv-peers/ready: requirements.txt benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers || { $(PYTHON) -m venv --without-pip .venv-peers && $(PYTHON) -m pip --python $(PEERS)/python install --quiet pip; }
	$(PEERS)/pip install --quiet --disable-pip-version-check pip==23.2.1 setuptools==84.2.1 wheel==0.48.0
	$(PEERS)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/pip install --quiet --disable-pip-version-check -r requirements.txt -r benchmarks/peers/requirements.txt
	$(PEERS)/pip install --quiet --disable-pip-version-check --no-use-pep517 --no-build-isolation lightfm==1.17
	$(PEERS)/python -m graph_builders.install_wordnet
	touch $@

# The whole chain from clips of a made-up world: render, import, extract, graph, train, compare, report.
demo: setup
	$(BIN)/v2ht demo --out demo-output

# Two processes share the files of tests, each on one thread, which two cores bear better than one process on two.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-peers demo-output
