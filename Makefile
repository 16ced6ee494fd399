# One command a thing; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help prepare cluster-programs lab test check format lock manifests man dist screenshots bench mutants molecule clean
BIN := .venv/bin

help: ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

prepare: ## install what the lab and the tests need (Debian packages, .venv)
	@.ci/prepare

cluster-programs: prepare ## find or build kube-apiserver, etcd, kubectl and helm for tests/cluster (a quarter of an hour, once)
	@$(BIN)/python -m tests.cluster.programs

lab: prepare ## build a small site in network namespaces and run the story on it; KUBERNETES=1: on a real API server
	@$(BIN)/$(if $(KUBERNETES),python -m tests.cluster.site,pierhead lab demo)

check: prepare ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## everything `check` does, then all tests
	$(BIN)/pytest

format: prepare ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: prepare ## write the lock files anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock
	printf 'hatchling\npip\n' | $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --constraints requirements-dev.lock - -o requirements-build.lock

manifests: prepare ## write what is made from the code and the chart: CRDs, manifests/, the table of values
	@$(BIN)/pierhead crds --folder charts/pierhead/files/crds
	@$(BIN)/python -m tests.cluster.chart

man: prepare ## write the manual pages to dist/man, and docs/commands.md
	@$(BIN)/pierhead man --folder dist/man
	@$(BIN)/pierhead man --markdown >docs/commands.md

roles: prepare ## write the README of each role from what its argument_specs.yml says
	@$(BIN)/python -m tests.ansible.readme

dist: ## what hosts are installed from without a network: dist/pierhead-VERSION-pyX.Y-ARCHITECTURE.tar (VERSION=, PYTHONS=, ARCHITECTURE=)
	@.ci/dist

screenshots: prepare ## take the pictures of the dashboard in docs/images anew, from a lab
	@$(BIN)/python -m tests.tui.screenshots

bench: prepare ## measure; figures as JSON on standard output
	@$(BIN)/python -m tests.bench

mutants: prepare ## put small mistakes into a copy of the tree: a named test must find each
	@$(BIN)/python -m tests.policy.mutants

molecule: prepare ## boot machines and try the roles and playbooks on them; SCENARIO=default: one scenario
	@molecule/shared/test $(SCENARIO)

clean: ## remove the virtual environment and caches
	rm -rf .venv .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
