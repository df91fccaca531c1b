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
SYSTEM_PROGRAMS = curl groff jq perl promtool rsync scp sftp sshd
SYSTEM_PACKAGES = curl groff-base jq openssh-client openssh-server openssh-sftp-server perl prometheus rsync

# Further arguments of the storm: `--drops`, `--seed`, `--timeout`.
STORM_ARGS ?=

# No target is the name of a file that it makes.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: env ## start the daemon on inbox/ and models/ with config.yaml, and the pages that show them; Ctrl-C ends both
	@sh $(dir $(firstword $(MAKEFILE_LIST)))tools/run.sh $(VENV)/bin/python $(CONFIG)

# --- installation: docs/operations/systemd.md -----------------------------------------------------------------------------------

# Where the program goes, and a folder to put it into as if that were / (for packages).
PREFIX ?= /opt/model-inbox
DESTDIR ?=
export PREFIX DESTDIR

install: ## install the systemd service: program in /opt/model-inbox, config in /etc/model-inbox (as root, or DESTDIR)
	@sh tools/install.sh install

uninstall: ## take it away again, but for /var/lib/model-inbox and a config.yaml that was edited
	@sh tools/install.sh uninstall

# --- examples: in another terminal, while `make run` runs -----------------------------------------------------------

example: env-example ## train LightGBM models on real rates, drop them, load one in a new process
	$(VENV)-example/bin/python examples/lightgbm_fx/train.py --inbox $(INBOX)
	$(VENV)-example/bin/python examples/lightgbm_fx/forecast.py USD/EUR \
		--registry $(MODELS)/prediction_registry.json --storage-dir $(MODELS)/prediction

example-lstm: env-example-lstm ## the same with a PyTorch LSTM (needs a line in config.yaml: examples/lstm_fx/README.md)
	$(VENV)-example-lstm/bin/python examples/lstm_fx/train.py --inbox $(INBOX)
	$(VENV)-example-lstm/bin/python examples/lstm_fx/forecast.py \
		--registry $(MODELS)/prediction_registry.json --storage-dir $(MODELS)/prediction

example-server: env-example-server ## serve forecasts with the models of the registry, with two workers
	MODEL_INBOX_REGISTRY=$(MODELS)/prediction_registry.json $(VENV)-example-server/bin/uvicorn \
		--app-dir examples/server --workers 2 serve:app

# --- checks ---------------------------------------------------------------------------------------------------------

check: lint types docs test test-exhaustive test-tasks test-system test-systemd test-page test-frameworks test-frameworks-older test-classics-older test-mlflow test-mlflow-older test-mlflow-stack test-examples ## everything that must hold

lint: env-test ## ruff: rules and format
	$(VENV)-test/bin/ruff check
	$(VENV)-test/bin/ruff format --check

format: env-test ## put the sources into ruff's format, and fix what ruff can fix
	$(VENV)-test/bin/ruff check --fix
	$(VENV)-test/bin/ruff format

types: env-test ## mypy --strict: the package, and a program that uses it
	$(VENV)-test/bin/mypy
	$(VENV)-test/bin/mypy tests/typing/api.py

# In how many processes `test` runs. A file's tests stay together, so that what they share is made once.
TEST_PROCESSES ?= 2
test: env-test ## the tests but the exhaustive ones, with at least 90 % of lines and branches covered
	$(VENV)-test/bin/python -m pytest tests --ignore=tests/frameworks --ignore=tests/mlflow --ignore=tests/page \
		--ignore=tests/system --ignore=tests/systemd --ignore=tests/tasks \
		-m 'not exhaustive' -n $(TEST_PROCESSES) --dist loadfile $(COVERAGE_ARGS) $(PYTEST_ARGS)

# The files with tests that are marked as exhaustive. Each test takes long, so they are shared out one by one.
EXHAUSTIVE_TESTS = tests/crash/test_crash.py tests/crash/test_every_function.py \
	tests/integration/test_large_sidecars.py \
	tests/unit/backup/test_backup.py tests/unit/inbox/test_pipeline.py tests/unit/model/test_sidecar.py tests/unit/registry/test_rebuild.py
test-exhaustive: env-test ## the tests that try every step, every function or the largest, which `test` leaves out
	$(VENV)-test/bin/python -m pytest $(EXHAUSTIVE_TESTS) -m exhaustive -n $(TEST_PROCESSES) --dist load $(PYTEST_ARGS)

test-system: env-test system-programs ## the tests that need programs of the system (SYSTEM_PACKAGES)
	$(VENV)-test/bin/python -m pytest tests/system $(PYTEST_ARGS)

storm: env-test system-programs ## thousands of drops in every way at once, some killed half-way: STORM_ARGS='--seed 7'
	$(VENV)-test/bin/python tests/storm.py $(STORM_ARGS)

system-programs:
	@PATH=$$PATH:/usr/sbin; for program in $(SYSTEM_PROGRAMS); do command -v $$program >/dev/null || { \
		echo "cannot run these tests: there is no $$program here." >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install $(SYSTEM_PACKAGES)' >&2; exit 1; }; done
	@perl -MJSON::PP -e 1 || { echo 'cannot run these tests: sudo apt-get install perl' >&2; exit 1; }

test-systemd: env-test ## the tests that boot a real systemd in namespaces (root; systemd, iproute2, logrotate)
	@for program in systemctl ip logrotate; do command -v $$program >/dev/null || { \
		echo "cannot run these tests: there is no $$program here." >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install systemd iproute2 logrotate' >&2; exit 1; }; done
	$(VENV)-test/bin/python -m pytest tests/systemd $(PYTEST_ARGS)

test-page: env-page ## open the page in a real Chromium: layout, keyboard, contrast, print, and the server (chromium)
	@command -v chromium >/dev/null || { echo 'cannot run these tests: there is no chromium here.' >&2; \
		echo 'On Debian: sudo apt-get install chromium' >&2; exit 1; }
	AXE=$(VENV)-page/npm/node_modules/axe-core/axe.min.js \
		$(VENV)-page/bin/python -m pytest tests/page $(PYTEST_ARGS)

# Where `bench-registry` measures: a folder on the disk in question.
BENCH_FOLDER ?= .
bench-registry: env-test ## time the registry against its floor, up to 100,000 models; fails when a target is missed
	@command -v strace >/dev/null || echo 'strace is missing, so fsyncs are not counted: sudo apt-get install strace' >&2
	$(VENV)-test/bin/python benchmarks/registry.py --folder $(BENCH_FOLDER)

bench-commands: env-test ## time the commands that only read; fails when one uses more CPU than is wanted
	$(VENV)-test/bin/python benchmarks/commands.py

# The long campaigns against the registry. SEED names a run: the same seed makes the same choices.
SEED ?= 1
MINUTES ?= 5
test-registry: env-test campaign-registry ## the registry at length: MINUTES under fire, games, every bit, power cuts (SEED)
	HYPOTHESIS_EXAMPLES=1000 DAMAGE_BITS=8 $(VENV)-test/bin/python -m pytest tests/properties \
		--hypothesis-seed=$(SEED) $(PYTEST_ARGS)
	CRASH_STATES=60 CRASH_SEED=$(SEED) SIMULATION_SEEDS=300 KILL_SHARES=8 \
		$(VENV)-test/bin/python -m pytest tests/crash $(PYTEST_ARGS)

campaign-registry: env-test ## four writers, killed again and again, and two readers, for MINUTES (SEED)
	$(VENV)-test/bin/python tests/campaign/registry.py --seed $(SEED) --minutes $(MINUTES)

# A build from nothing: Sphinx does not notice every change of the navigation. It fetches nothing, and a warning is an
# error: also a page that the navigation lacks, and a link into a page that leads nowhere.
docs: env-docs ## build the documents as a site that can be searched, in site/: open site/index.html
	$(VENV)-docs/bin/python docs/generate.py --check
	rm -rf site
	$(VENV)-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs/site --builder html \
		--doctree-dir site/.doctrees . site
	rm -rf site/.doctrees
	@! grep -rE '(src|srcset|rel="stylesheet" href)="(https?:)?//|url\(["'"'"']?(https?:)?//' site --include='*.html' --include='*.css' \
		|| { echo 'cannot use site/: a page loads something from another host, see above' >&2; exit 1; }
	@echo 'Open site/index.html'

test-tasks: env-test ## the commands in docs/tasks, against a real daemon
	$(VENV)-test/bin/python -m pytest tests/tasks -n $(TEST_PROCESSES) $(PYTEST_ARGS)

docs-check: env-test ## only the tests that hold the documents to the code
	$(VENV)-test/bin/python -m pytest $(wildcard tests/repository/test_docs*.py) $(PYTEST_ARGS)

test-frameworks: env-frameworks ## scan and load real models of scikit-learn, LightGBM, PyTorch and others
	$(VENV)-frameworks/bin/python -m pytest tests/frameworks $(PYTEST_ARGS)

# torch's one version and statsmodels are tested beside the newest of the others, whose code is the reviewed one.
test-frameworks-older: env-frameworks-older ## the same with an earlier minor version of each framework
	$(VENV)-frameworks-older/bin/python -m pytest tests/frameworks --ignore=tests/frameworks/test_torch_models.py \
		--ignore=tests/frameworks/test_real_tensors.py --ignore=tests/frameworks/test_hooks.py \
		--ignore=tests/frameworks/test_formulas.py \
		--deselect=tests/frameworks/test_lists.py::test_code_behind_the_names_is_the_reviewed_code $(PYTEST_ARGS)

# Their code differs from the reviewed code: only whether their models are accepted, and answer the same.
test-classics-older: env-classics-older ## the same with earlier versions of statsmodels, arch, ngboost and others
	$(VENV)-classics-older/bin/python -m pytest tests/frameworks/test_classics.py $(PYTEST_ARGS)

# On SQLite in one folder, as one person has it; each environment starts a server once.
test-mlflow: env-mlflow ## the mirror against a real MLflow server, the newest 3.x
	$(VENV)-mlflow/bin/python -m pytest tests/mlflow --ignore=tests/mlflow/test_company.py $(PYTEST_ARGS)

test-mlflow-older: env-mlflow-older ## the same with the newest 2.x
	$(VENV)-mlflow-older/bin/python -m pytest tests/mlflow --ignore=tests/mlflow/test_company.py $(PYTEST_ARGS)

test-mlflow-stack: env-mlflow postgresql ## the mirror against MLflow on PostgreSQL with an S3 store, as a company has it
	$(VENV)-mlflow/bin/python -m pytest tests/mlflow/test_company.py $(PYTEST_ARGS)

campaign-mlflow: env-mlflow ## a mirror through a failing network, both sides killed again and again, for MINUTES (SEED)
	$(VENV)-mlflow/bin/python tests/mlflow/campaign.py --seed $(SEED) --minutes $(MINUTES)

mirror-demo: env-mlflow postgresql ## drop a model on one side and load it from MLflow on PostgreSQL and S3, from nothing
	@$(VENV)-mlflow/bin/python tools/mirror_demo.py

# For as long as you like; the seed makes a run repeatable. What it finds is written to fuzz-<seed>-<number>.pkl.
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 1
fuzz: env-frameworks ## scan damaged and recombined real models, and load in a child what is accepted
	$(VENV)-frameworks/bin/python tools/fuzz_pickles.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

fuzz-boosters: env-frameworks ## change numbers in real boosters, and use in a child what is still accepted
	$(VENV)-frameworks/bin/python tools/fuzz_boosters.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

fuzz-states: env-frameworks ## change one array or number in real models, and use in a child what is still accepted
	$(VENV)-frameworks/bin/python tools/fuzz_states.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

test-examples: env env-example env-example-lstm env-example-server ## the tests of the examples, and README.md from top to bottom
	$(VENV)-example/bin/python -m pytest examples/tests/lightgbm_fx examples/tests/readme $(PYTEST_ARGS)
	$(VENV)-example-lstm/bin/python -m pytest examples/tests/lstm_fx $(PYTEST_ARGS)
	$(VENV)-example-server/bin/python -m pytest examples/tests/server $(PYTEST_ARGS)

# --- environments ---------------------------------------------------------------------------------------------------

env: ## only make .venv, with the command .venv/bin/model-inbox
	$(MAKE_VENV) $(VENV) requirements/run.txt

env-test:
	$(MAKE_VENV) $(VENV)-test requirements/test.txt

env-docs:
	$(MAKE_VENV) $(VENV)-docs requirements/docs.txt

# axe-core is one file of JavaScript. npm checks it against the digest in the lock.
env-page:
	$(MAKE_VENV) $(VENV)-page requirements/page.txt
	@command -v npm >/dev/null || { echo 'cannot make $(VENV)-page: there is no npm here.' >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install npm' >&2; exit 1; }
	@mkdir -p $(VENV)-page/npm && cd $(VENV)-page/npm && { cmp -s $(CURDIR)/tests/page/package-lock.json made-of || { \
		cp $(CURDIR)/tests/page/package.json $(CURDIR)/tests/page/package-lock.json . && \
		npm ci --silent --ignore-scripts --no-audit --no-fund && cp package-lock.json made-of; }; }

env-frameworks: libgomp
	$(MAKE_VENV) $(VENV)-frameworks requirements/frameworks.txt $(TORCH)

env-frameworks-older: libgomp
	$(MAKE_VENV) $(VENV)-frameworks-older requirements/older.txt

env-classics-older: libgomp
	$(MAKE_VENV) $(VENV)-classics-older requirements/classics.txt

env-mlflow: libgomp
	$(MAKE_VENV) $(VENV)-mlflow requirements/mlflow.txt

env-mlflow-older: libgomp
	$(MAKE_VENV) $(VENV)-mlflow-older requirements/mlflow-older.txt

env-example: libgomp
	$(MAKE_VENV) $(VENV)-example requirements/example.txt

env-example-server:
	$(MAKE_VENV) $(VENV)-example-server requirements/example-server.txt

env-example-lstm:
	$(MAKE_VENV) $(VENV)-example-lstm requirements/example-lstm.txt $(TORCH) $(FXMODELS)

postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
		echo 'cannot run these tests: there is no PostgreSQL here.' >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install postgresql' >&2; exit 1; }

libgomp:
	@ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1' || { \
		echo 'cannot run LightGBM: the OpenMP library libgomp.so.1 is missing.' >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install libgomp1' >&2; exit 1; }

# --- for maintainers ------------------------------------------------------------------------------------------------

# torch is left out of every lock: see the group `torch` in pyproject.toml. LOCK_ARGS= keeps the versions that still fit.
LOCK_ARGS ?= --upgrade
LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --excludes requirements/excludes.txt \
	--custom-compile-command 'make lock' $(LOCK_ARGS) pyproject.toml requirements/build.in

lock: ## resolve the locks in requirements/ again (the only thing that needs uv)
	@test -x $(VENV)-lock/bin/uv || { $${PYTHON:-python3} -m venv $(VENV)-lock && $(VENV)-lock/bin/pip -q install uv; }
	$(LOCK) -o requirements/run.txt
	$(LOCK) -c requirements/run.txt --group dev -o requirements/test.txt
	$(LOCK) -c requirements/test.txt --group docs -o requirements/docs.txt
	$(LOCK) -c requirements/test.txt --group dev --group frameworks --group torch -o requirements/frameworks.txt
	$(LOCK) -c requirements/test.txt --group dev --group frameworks-older -o requirements/older.txt
	$(LOCK) -c requirements/test.txt --group dev --group classics-older -o requirements/classics.txt
	$(LOCK) -c requirements/test.txt --group dev --group mlflow -o requirements/mlflow.txt
	$(LOCK) -c requirements/test.txt --group dev --group mlflow-older \
		--overrides requirements/mlflow-older-overrides.in -o requirements/mlflow-older.txt
	$(LOCK) -c requirements/mlflow.txt --extra mlflow -o requirements/mlflow-client.txt
	$(LOCK) -c requirements/test.txt --group dev --group page -o requirements/page.txt
	$(LOCK) -c requirements/frameworks.txt --group example -o requirements/example.txt
	$(LOCK) -c requirements/frameworks.txt --group example-lstm --group torch -o requirements/example-lstm.txt
	$(LOCK) -c requirements/frameworks.txt --group example-server -o requirements/example-server.txt

screenshots: env-page ## take the pictures of the page in README.md again (chromium)
	$(VENV)-page/bin/python tools/screenshots.py

dist: env-test ## build sdist and wheel into dist/
	$(VENV)-test/bin/python -m hatchling build

clean: ## remove environments, caches and builds; never inbox/ or models/
	rm -rf .venv .venv-* build dist site .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find daemon tests examples benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
