# All that a developer does here; `make help` lists it. Needs Python 3.11 to 3.14 and nothing else.

PYTHON ?= python3
POETRY ?= poetry
# Further arguments for pytest, such as PYTEST_ARGS="tests/api", or PYTEST_ARGS="-n 0" for one process.
PYTEST_ARGS ?=
# Further arguments of benchmarks: parts of names, "--rounds 5", "--against REV".
ARGS ?=

# What test-fast does not even collect; schemathesis needs seconds to collect what documents promise.
BESIDE_CODE := $(foreach folder,benchmarks cloudigrade deployment docs e2e soak,--ignore=tests/$(folder)) \
  --ignore-glob='*/test_document.py'

VENV_BIN := .venv/bin
RUN := $(VENV_BIN)/python
MANAGE := CLOUDIGRADE_ENVIRONMENT=local DJANGO_SETTINGS_MODULE=cloudigrade.settings.local $(RUN) manage.py

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-24s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## install the locked packages into .venv
	@$(PYTHON) deployment/local/bootstrap.py

.PHONY: setup-demo
setup-demo:  ## install only what running needs, a quarter of it; nothing where the rest is there
	@$(PYTHON) deployment/local/bootstrap.py demo

.PHONY: demo
demo: setup-demo  ## start everything, play the story of some customers, serve; ONCE=1 checks it and ends
	@$(RUN) -m deployment.local.demo $(if $(ONCE),--once)

.PHONY: up
up: setup-demo  ## start everything without the story and serve until Ctrl-C
	@$(RUN) -m deployment.local

.PHONY: test
test: setup  ## run all tests, on embedded services
	@$(RUN) -m pytest -n auto $(PYTEST_ARGS)

.PHONY: unittest
unittest: test  ## same as test

.PHONY: test-fast
test-fast: setup  ## run only the quick tests of code alone: no services, processes, manifests, tools
	@$(RUN) -m pytest -n auto -m "not services and not e2e and not slow" $(BESIDE_CODE) $(PYTEST_ARGS)

.PHONY: lint
lint: setup  ## check style, format, types, who imports whom, what nothing uses, and the playbook
	$(VENV_BIN)/ruff check .
	$(VENV_BIN)/ruff format --check .
	$(VENV_BIN)/mypy .
	$(VENV_BIN)/lint-imports
	$(RUN) -m tests.unused_code
	ANSIBLE_HOME=.venv/ansible PATH="$(CURDIR)/$(VENV_BIN):$$PATH" ansible-lint --offline --profile production \
	  deployment/playbooks/manage-cloudigrade.yml

.PHONY: format
format: setup  ## format the code and sort its imports
	$(VENV_BIN)/ruff check --fix --show-fixes .
	$(VENV_BIN)/ruff format .

.PHONY: shell
shell: setup-demo  ## open a Python shell with the models, on the services of `make up`
	@$(MANAGE) shell

.PHONY: coverage
coverage: setup  ## run all tests and report which lines they reach; fails below the promise of CONTRIBUTING
	@$(RUN) -m pytest -n auto --cov --cov-report=term:skip-covered --cov-report=html:build/coverage $(PYTEST_ARGS)

.PHONY: bench
bench: setup  ## measure, print a table, write build/bench.json; ARGS="--against REV" compares two revisions
	@$(RUN) -m tests.benchmarks $(ARGS)

.PHONY: bench-scale
bench-scale: setup  ## measure how work grows with what is stored, up to SCALE (1, 5, 20); write build/bench-scale.json
	@SCALE=$(or $(SCALE),1) $(RUN) -m tests.benchmarks.scale

.PHONY: soak
soak: setup  ## break everything at random for SOAK_MINUTES (20), then judge; write build/soak.json; SOAK_SEED repeats one
	@$(RUN) -m tests.soak

.PHONY: docs
docs: openapi docs-api-examples config-docs  ## write all generated documents

.PHONY: docs-api-examples
docs-api-examples: setup  ## write docs/rest-api-examples.rst from real responses
	@$(RUN) -m docs.api_examples

.PHONY: docs-api-examples-test
docs-api-examples-test: setup  ## fail if docs/rest-api-examples.rst is stale
	@$(RUN) -m docs.api_examples --check

.PHONY: docs-console
docs-console: setup  ## make the console's screenshots of the demo's data (needs Chromium)
	@$(RUN) -m docs.console

.PHONY: vendor
vendor: setup  ## renew the console's vendored scripts from their npm packages (needs npm)
	@$(RUN) -m deployment.vendor

.PHONY: config-docs
config-docs: setup  ## write docs/configuration.rst from the table of variables
	@$(RUN) -m docs.configuration

.PHONY: openapi
openapi: setup  ## write openapi.json and openapi-internal.json
	@$(RUN) -m docs.openapi

.PHONY: openapi-test
openapi-test: setup  ## fail if openapi.json or openapi-internal.json is stale
	@$(RUN) -m docs.openapi --check

.PHONY: checkceleryconfigs
checkceleryconfigs: setup  ## compare tasks, routes, schedule and the deployment's queues
	@$(MANAGE) checkceleryconfigs

.PHONY: user
user: setup-demo  ## create a user who may enter the admin site of a running environment
	@$(MANAGE) create_operator

.PHONY: migrations
migrations: setup  ## write migrations for changes of the models
	@$(MANAGE) makemigrations api

.PHONY: lock
lock:  ## renew poetry.lock and the files exported from it (needs Poetry and its export plugin)
	$(POETRY) lock
	$(POETRY) export --format requirements.txt --with demo,dev,inspector --output requirements.lock
	$(POETRY) export --format requirements.txt --with demo,inspector --output requirements-demo.lock
	$(POETRY) export --format requirements.txt --with inspector --output requirements-release.lock
	$(POETRY) export --format requirements.txt --only inspector --output deployment/inspector/requirements.lock

.PHONY: clean
clean:  ## remove what is generated, .venv included
	rm -rf .venv build static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
