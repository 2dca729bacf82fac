# make demo: everything set up, the whole job on rendered roads, pictures and a table at the end.
# make test: everything set up, the tests. make check: what CI runs. make dist: a wheel in dist/.

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: install demo test test-slow check dist clean

install: $(VENV)/.installed

# A machine without an NVIDIA GPU takes torch's CPU build, a tenth of the size; any other the ordinary wheel, which on
# Linux is the CUDA build. Where no CPU build can be had, the ordinary wheel serves too.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
		$(BIN)/pip install --quiet "torch==$(TORCH)+cpu" 2>/dev/null \
		|| $(BIN)/pip install --quiet --index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH)+cpu" \
		|| echo "no CPU build of torch to be had; taking the ordinary wheel"; \
	fi
	$(BIN)/pip install --quiet -e ".[dev]" -c constraints.txt
	@touch $@

demo: install
	$(BIN)/drivable demo --out demo

test: install
	$(BIN)/python -m pytest -n auto -m "not slow and not gpu"

test-slow: install
	$(BIN)/python -m pytest -n auto -m "slow and not gpu"

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

# The wheel holds the shipped weights, the recipes and the templates.
dist: install
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV) demo dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
