PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow campaigns lint bench bench-schemas bench-calls bench-policies bench-projection bench-batches bench-recall bench-ledger bench-valid-calls bench-formats bench-gpu bench-monitor pictures train eval ablation soak snapshots load storm test-postgres clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## file six receipts with the bundled model, and show what it cost
	$(BIN)/gesso demo

test: $(VENV)/.installed-dev  ## the fast suite, a process for each core
	$(BIN)/pytest -n auto --dist worksteal

test-postgres: $(VENV)/.installed-dev  ## the suites of the store and of the runtime, on PostgreSQL
	GESSO_TEST_DATABASE=postgresql $(BIN)/pytest -n auto --dist worksteal tests/memory tests/agent/test_*.py tests/agent/control

test-slow: $(VENV)/.installed-dev  ## the marked slow suites
	$(BIN)/pytest -m slow

campaigns: $(VENV)/.installed-dev  ## the attacks: thousands of drawn cases against an independent judge
	$(BIN)/pytest -m slow tests/campaigns

MINUTES ?= 180
soak: $(VENV)/.installed-dev  ## twenty agents on the bundled model for hours: is memory level, is nothing lost?
	$(BIN)/python tests/campaigns/soak.py --minutes $(MINUTES)

storm: $(VENV)/.installed-dev  ## ten thousand requests that come and are given up: is one lost, mixed up, or left in memory?
	OMP_NUM_THREADS=1 $(BIN)/python tests/campaigns/storm.py

load: $(VENV)/.installed-dev  ## sixty-four clients on the served model for a minute: is a request lost or mixed up?
	OMP_NUM_THREADS=1 $(BIN)/python tests/campaigns/serve_load.py

lint: $(VENV)/.installed-dev
	mkdir -p $(VENV)/typing/gesso
	for room in agent engine memory tools; do ln -sfn $(CURDIR)/$$room $(VENV)/typing/gesso/$$room; done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/.installed-dev  ## our engine beside transformers' generate
	$(BIN)/gesso bench

bench-schemas: $(VENV)/.installed-dev  ## our constraints beside other engines', on real schemas
	$(BIN)/python -m gesso.engine.benchmarks.maskbench

bench-calls: $(VENV)/.installed-dev  ## tool declarations and calls of the Berkeley leaderboard
	$(BIN)/python -m gesso.engine.benchmarks.bfcl

train: $(VENV)/.installed  ## train the bundled model from scratch, resumable, in runs/sketch
	$(PIP) --editable '.[training]'
	$(BIN)/python -m gesso.engine.training.train --out runs/sketch
	$(BIN)/python -m gesso.engine.training.curve runs/sketch

eval: $(VENV)/.installed-dev  ## measure the bundled model on held-out documents and receipts
	$(BIN)/python -m gesso.engine.training.evaluate --write

ablation: $(VENV)/.installed-dev  ## other shapes of the bundled model on small equal budgets, resumable, in runs/ablation
	$(BIN)/python -m gesso.engine.training.ablation --write

bench-policies: $(VENV)/.installed  ## steps, seconds and exactness of each way to hold a constraint
	$(BIN)/python -m gesso.engine.benchmarks.policies --records 500

bench-projection: $(VENV)/.installed-dev  ## what a constraint of twenty tools costs to compile and to project on
	$(BIN)/python -m gesso.engine.benchmarks.projection

bench-batches: $(VENV)/.installed-dev  ## documents a second: one at a time, in batches, and with transformers
	$(BIN)/python -m gesso.engine.benchmarks.batches

bench-valid-calls: $(VENV)/.installed-dev  ## valid tool calls a second: held to the tools, and freely again until valid
	$(BIN)/python -m gesso.engine.benchmarks.valid_calls

bench-formats: $(VENV)/.installed-dev  ## what FP8, NVFP4, int8 and int4 weights cost in logits, size and time
	$(BIN)/python -m gesso.engine.benchmarks.formats

bench-gpu: $(VENV)/.installed-dev  ## every figure of a GPU in under ten minutes, beside transformers on the same weights
	$(BIN)/python -m gesso.engine.benchmarks.gpu

bench-monitor: $(VENV)/.installed-dev  ## keys, processor and memory of the monitor over a busy runtime
	$(BIN)/python -m gesso.agent.benchmarks.monitor

pictures: $(VENV)/.installed-dev  ## the monitor's panes as the README shows them
	$(BIN)/python -m gesso.agent.screens.pictures agent/screens/shots

snapshots: $(VENV)/.installed-dev  ## keep what the monitor's screens show now, for the tests and for a review
	GESSO_SNAPSHOTS=write $(BIN)/pytest -n 0 tests/agent/screens/test_snapshots.py

bench-ledger: $(VENV)/.installed  ## a month's cost over ten million generations, and what one more takes
	$(BIN)/python -m gesso.agent.benchmarks.ledger

bench-recall: $(VENV)/.installed-dev  ## how much of a long conversation memory finds again, beside rank-bm25
	$(BIN)/python -m gesso.memory.benchmarks.recall --parts

clean:
	rm -rf $(VENV) build *.egg-info
