# From a bare Python >= 3.11 with pip to a running system. Every target installs what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More workers than cores, each with servers of its own; by file, so that what a file starts is started once.
WORKERS ?= 4

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
# Some environments keep no bytecode; here a process starts a thousand times and is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-long up bench check format lock claims clean

install: $(STAMP)  ## .venv/ with the commands booking, projector and loadtest

# uv is installed by pip from the same lock, by hash; it then installs the rest several times faster.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements.lock > $(VENV)/uv.lock.txt
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(VENV)/uv.lock.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## from nothing to a shown oversell, guard off and on
	@$(BIN)/booking demo

test: $(STAMP)  ## the specification, against real Postgres and NATS
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-long: $(STAMP)  ## what takes minutes: kills at random, mutations, long stories
	@$(BIN)/python -m pytest -m long

up: $(STAMP)  ## the whole system on one port, until ctrl-C
	@$(BIN)/booking up

bench: $(STAMP)  ## how fast, against what
	@$(BIN)/loadtest bench

check: $(STAMP)  ## format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP)
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

lock: $(STAMP)  ## after a change of dependencies in pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-emit-index-url --quiet \
	  --python-version 3.11 --all-extras --group test --group lint --group build -o requirements.lock

claims: $(STAMP)  ## measures every row of docs/claims.md
	@$(BIN)/python docs/claims.py

clean:
	@rm -rf $(VENV) .booking .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
