# Everything that is done with this tree, by name. `make` alone lists it.
#
# Each environment is made from a hashed lock in requirements/ when it is first needed, and again when what it was
# made of has changed; tools/venv.sh does that and says what is missing. Nothing is installed outside this folder.

# The interpreter; without it, the first Python >= 3.11 that is found.
PYTHON ?=
# The environments' common name: `make test PYTHON=python3.13 VENV=.venv-3.13` leaves the others alone.
VENV ?= .venv
# What `run` runs with, and where the examples drop to and load from.
CONFIG ?= config.yaml
INBOX ?= inbox
MODELS ?= models
# Further arguments of pytest: `make test PYTEST_ARGS='-k journal -x'`.
PYTEST_ARGS ?=
# How `test` measures; `COVERAGE_ARGS=` leaves it out. The bound is on lines and branches together.
COVERAGE_ARGS ?= --cov --cov-report=term --cov-fail-under=90

export PYTHON
MAKE_VENV = @sh tools/venv.sh
TORCH = torch==2.13.0
FXMODELS = ./examples/lstm_fx/fxmodels

# Further arguments of the storm: `--drops`, `--seed`, `--seconds`.
STORM_ARGS ?=

.PHONY: help run test test-system storm transfer-programs test-frameworks test-examples lint format types docs-check check example example-lstm \
	lock dist clean env env-test env-frameworks env-example env-example-lstm libgomp

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: env ## start the daemon in the foreground on inbox/ and models/ with config.yaml; Ctrl-C ends it
	@$(VENV)/bin/model-inbox --config $(CONFIG) run

# --- examples: in another terminal, while `make run` runs -----------------------------------------------------------

example: env-example ## train LightGBM models on real rates, drop them, load one in a new process
	$(VENV)-example/bin/python examples/lightgbm_fx/train.py --inbox $(INBOX)
	$(VENV)-example/bin/python examples/lightgbm_fx/forecast.py USD/EUR \
		--registry $(MODELS)/prediction_registry.json --storage-dir $(MODELS)/prediction

example-lstm: env-example-lstm ## the same with a PyTorch LSTM (needs a line in config.yaml: examples/lstm_fx/README.md)
	$(VENV)-example-lstm/bin/python examples/lstm_fx/train.py --inbox $(INBOX)
	$(VENV)-example-lstm/bin/python examples/lstm_fx/forecast.py \
		--registry $(MODELS)/prediction_registry.json --storage-dir $(MODELS)/prediction

# --- checks ---------------------------------------------------------------------------------------------------------

check: lint types test test-system test-frameworks test-examples ## everything that must hold: rules, types, every test

lint: env-test ## ruff: rules and format
	$(VENV)-test/bin/ruff check
	$(VENV)-test/bin/ruff format --check

format: env-test ## put the sources into ruff's format, and mend what ruff can mend
	$(VENV)-test/bin/ruff check --fix
	$(VENV)-test/bin/ruff format

types: env-test ## mypy --strict: the package, and a program that uses it
	$(VENV)-test/bin/mypy
	$(VENV)-test/bin/mypy tests/typing/api.py

# One process: the tests start daemons and wait for the clock of the kernel (leases, quiet times), and share two
# cores with them; more processes would make the suite a race without making it much shorter.
test: env-test ## the tests, with at least 90 % of lines and branches covered
	$(VENV)-test/bin/python -m pytest tests --ignore=tests/frameworks --ignore=tests/system \
		$(COVERAGE_ARGS) $(PYTEST_ARGS)

test-system: env-test transfer-programs ## the tests that need programs of the system: rsync, scp, sftp and curl
	$(VENV)-test/bin/python -m pytest tests/system $(PYTEST_ARGS)

storm: env-test transfer-programs ## thousands of drops in every way at once, some killed half-way: STORM_ARGS='--seed 7'
	$(VENV)-test/bin/python tests/storm.py $(STORM_ARGS)

transfer-programs:
	@for program in rsync scp sftp curl; do command -v $$program >/dev/null || { \
		echo "cannot run these tests: there is no $$program here." >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install rsync curl openssh-client openssh-sftp-server' >&2; exit 1; }; done

docs-check: env-test ## only the tests that hold the documents to the code
	$(VENV)-test/bin/python -m pytest $(wildcard tests/test_docs*.py tests/docs) $(PYTEST_ARGS)

test-frameworks: env-frameworks ## scan and load real models of scikit-learn, LightGBM, PyTorch and others
	$(VENV)-frameworks/bin/python -m pytest tests/frameworks $(PYTEST_ARGS)

test-examples: env-example env-example-lstm ## the tests of the examples
	$(VENV)-example/bin/python -m pytest examples/tests/lightgbm_fx $(PYTEST_ARGS)
	$(VENV)-example-lstm/bin/python -m pytest examples/tests/lstm_fx $(PYTEST_ARGS)

# --- environments ---------------------------------------------------------------------------------------------------

env: ## only make .venv, with the command .venv/bin/model-inbox
	$(MAKE_VENV) $(VENV) requirements/run.txt

env-test:
	$(MAKE_VENV) $(VENV)-test requirements/test.txt

env-frameworks: libgomp
	$(MAKE_VENV) $(VENV)-frameworks requirements/frameworks.txt $(TORCH)

env-example: libgomp
	$(MAKE_VENV) $(VENV)-example requirements/example.txt

env-example-lstm:
	$(MAKE_VENV) $(VENV)-example-lstm requirements/example-lstm.txt $(TORCH) $(FXMODELS)

libgomp:
	@ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1' || { \
		echo 'cannot run LightGBM: the OpenMP library libgomp.so.1 is missing.' >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install libgomp1' >&2; exit 1; }

# --- for maintainers ------------------------------------------------------------------------------------------------

# torch is left out of every lock: see requirements/torch.in. LOCK_ARGS= keeps the versions that still fit.
LOCK_ARGS ?= --upgrade
LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --excludes requirements/excludes.txt \
	--custom-compile-command 'make lock' $(LOCK_ARGS) pyproject.toml requirements/build.in

lock: ## resolve the locks in requirements/ anew (the only thing that needs uv)
	@test -x $(VENV)-lock/bin/uv || { $${PYTHON:-python3} -m venv $(VENV)-lock && $(VENV)-lock/bin/pip -q install uv; }
	$(LOCK) -o requirements/run.txt
	$(LOCK) -c requirements/run.txt --group dev -o requirements/test.txt
	$(LOCK) -c requirements/test.txt --group dev requirements/frameworks.in requirements/torch.in \
		-o requirements/frameworks.txt
	$(LOCK) -c requirements/frameworks.txt examples/requirements.in -o requirements/example.txt
	$(LOCK) -c requirements/frameworks.txt examples/requirements-lstm.in requirements/torch.in \
		-o requirements/example-lstm.txt

dist: env-test ## build sdist and wheel into dist/
	$(VENV)-test/bin/python -m hatchling build

clean: ## remove environments, caches and builds; never inbox/ or models/
	rm -rf .venv .venv-* build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find daemon tests examples benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
