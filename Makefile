# Two commands for a fresh machine: `make demo` and `make test`. Needed before: Python ≥ 3.11 with venv, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test gpu-check lint coverage lock clean

help:
	@echo "make demo      install into $(VENV) and train a CNN on 1,797 real handwritten digits"
	@echo "make test      install the test extras and run the whole suite"
	@echo "make gpu-check the tests that need a CUDA device, then the throughput of training on it"
	@echo "make lint      ruff and mypy"
	@echo "make coverage  the suite with coverage, child processes included"
	@echo "make lock      write constraints.txt anew from the newest versions that pyproject.toml admits"
	@echo "make clean     remove $(VENV) and caches; runs/ stays"

demo: $(VENV)/.installed
	$(BIN)/konvoi train digits-cnn

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Without a GPU the tests are skipped, with a reason, and the benchmark says so.
gpu-check: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python benchmarks/gpu_throughput.py

lint: $(VENV)/.installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

coverage: $(VENV)/.installed-test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Konvoi needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`. Name another: make PYTHON=python3.12 demo"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.installed

# torch stays pinned by hand, without a local version such as +cpu, so that whichever build a machine offers is taken.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet -e '.[test,dev]' torch==2.13.0
	{ echo "# Versions that 'make demo' and 'make test' install; written by 'make lock'."; \
	  build/lock/bin/python -m pip freeze --exclude-editable --exclude konvoi | \
	  sed 's/+cpu$$//' | grep -vE '^(nvidia-|triton|cuda-)'; } > constraints.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
