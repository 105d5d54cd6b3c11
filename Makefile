# Two commands do all the set-up: `make demo` and `make test`. Both are quick the second time.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# Every extra but [ros], which needs a sourced ROS 2.
EXTRAS := dev,train,sim,dds
# The others take data (sees.py, blind.py) or half an hour (soak.py).
BENCHES = $(filter-out $(addprefix benchmarks/,sees.py blind.py soak.py),$(wildcard benchmarks/*.py))

.PHONY: demo demo-world test test-all lint bench clean help

help:
	@echo "make demo      install, plan the bundled scenes, print a table, write a page"
	@echo "make test      install, lint, types, floors, tests (minutes)"
	@echo "make test-all  the same with everything slow"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make demo-world  make the worlds inside the wheel anew (minutes)"
	@echo "make train-tiny  worlds, trainings and weights, from seeds (hours; goes on where it stopped)"
	@echo "make bench     speed, as ratios taken in one run"

demo: $(VENV)/.run-ready
	$(BIN)/drivevlm eval

demo-world: $(VENV)/.test-ready
	$(BIN)/drivevlm sim make world=demo out=build/demo
	$(BIN)/python -m drivevlm_sim.bundle build/demo

test: lint
	$(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu and not ros"

test-all: lint
	$(BIN)/pytest -m "not gpu and not ros"

lint: $(VENV)/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=sim:benchmarks $(BIN)/mypy benchmarks
	$(BIN)/lint-imports

bench: $(VENV)/.test-ready
	set -e; for script in $(BENCHES); do $(BIN)/python $$script; done

$(VENV)/.run-ready: pyproject.toml constraints.txt
	.ci/install $(PYTHON) $(VENV) ""
	touch $@

$(VENV)/.test-ready: pyproject.toml constraints.txt
	.ci/install $(PYTHON) $(VENV) "[$(EXTRAS)]"
	touch $@ $(VENV)/.run-ready

include configs/train-tiny.mk

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
