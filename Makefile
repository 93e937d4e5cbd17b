# Developers' commands. They need python3 >= 3.11 and, the first time, a package index: no venv, no pip.
# The tools of requirements-dev.lock go into .cache/, prepared by the same code that prepares the program's runtime.

.DEFAULT_GOAL := help
.PHONY: help test test-slow e2e e2e-repair chaos fuzz lint types dashboards reference picture format lock pins bench clean
SHELL := /bin/sh

root := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
cache := $(root)/.cache
# More arguments for pytest: make test ARGS='-k launcher'
ARGS ?=

# Recursive on purpose: found when a target needs it, so that `make help` works without Python.
python = $(shell sh '$(root)/scripts/find-python.sh')
prepare = PYTHONPATH='$(root)/src' PYTHONDONTWRITEBYTECODE=1 '$(python)' -S -m contextcore_install.system.packages.runtime
# with_tools(LOCK, COMMANDS). -S: what else this interpreter has installed (plugins of pytest, say) takes no part.
# Bytecode is kept in the cache whatever the surroundings say: without it each process compiles all that it imports.
define with_tools
	python='$(python)' && [ -n "$$python" ] && \
	cd '$(root)' && tools=$$($(prepare) $(1) '$(cache)/tools') && \
	export PYTHONPATH="$$tools" PYTHONPYCACHEPREFIX='$(cache)/pycache' PYTHONNOUSERSITE=1 && \
	unset PYTHONDONTWRITEBYTECODE && \
	run() { "$$python" -S "$$@"; } && $(2)
endef

help: ## show these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' '$(root)/Makefile' | expand -t 14

# Three for each core, as the tests wait half of their time: for processes, stores and clocks.
workers = $$((3 * $$(getconf _NPROCESSORS_ONLN)))
spread = -n $(workers) --dist worksteal
test: ## run the tests that need no container engine, but for the slow ones
	@$(call with_tools,requirements-dev.lock,run -m pytest $(spread) --ignore tests/e2e -m 'not slow' $(ARGS))

# Only the files in which there are any: to collect all in each process takes seconds. A file stays with its process, as
# most of them prepare something once.
slow = $(if $(findstring tests/,$(ARGS)),,$$(grep -rl --include='test_*.py' 'pytest[.]mark[.]slow' tests))
test-slow: ## run those that take long: damaged files and packages, kills, hostile input, the page in a browser
	@$(call with_tools,requirements-dev.lock,run -m pytest -n $(workers) --dist loadfile -m slow $(slow) $(ARGS))

# Which of them: make e2e E2E=tests/e2e/test_installation.py, or by paths in ARGS.
E2E ?= $(if $(findstring tests/,$(ARGS)),,tests/e2e)
e2e: ## run the tests that make clusters: need a container engine, kind and kubectl
	@$(call with_tools,requirements-dev.lock,run -m pytest -m e2e $(E2E) $(ARGS))

chaos: ## end runs at every boundary and at random moments, and write docs/reliability.md
	@$(call with_tools,requirements-dev.lock,CHAOS_SHARE=1 CHAOS_MOMENTS=1000 CHAOS_ROUNDS=30 CHAOS_PAIRS=200 \
	  CHAOS_FAULTS=1 CHAOS_RUNS=1000 CHAOS_REPORT='$(root)/docs/reliability.md' \
	  run -m pytest tests/chaos $(spread) --timeout 3600 $(ARGS))

fuzz: ## 1,000 examples of every hostile input and of every property, where the tests try some
	@$(call with_tools,requirements-dev.lock,export FUZZ_EXAMPLES=1000 && \
	  run -m pytest tests/fuzz $(spread) --timeout 3600 $(ARGS) && \
	  run -m pytest tests/unit tests/contract tests/integration -m hypothesis $(spread) --timeout 3600 $(ARGS))

e2e-repair: ## break a cluster of three nodes in every way that is known, and have it repaired
	@$(call with_tools,requirements-dev.lock,E2E_EVERYTHING=1 \
	  E2E_REPAIR_REPORT='$(root)/docs/reference/repair.md' run -m pytest -m e2e tests/e2e/test_repair_table.py $(ARGS))

# Keywords are ruff's to find (S105 to S107); ids of recorded installations are no secrets. Findings are sent nowhere.
scan_secrets = run -m detect_secrets.pre_commit_hook --no-verify --disable-plugin KeywordDetector
lint: ## check style, types, sizes, import contracts, shell scripts, secrets in files, and known flaws of what is pinned
	@$(call with_tools,requirements-dev.lock, \
	  run -m ruff check . && run -m ruff format --check . && run -m mypy && run dev/size_limits.py && \
	  PYTHONPATH="$$tools:src" run -c 'from importlinter.cli import lint_imports_command as main; main()' \
	    --cache-dir '$(cache)/import_linter' && \
	  "$$tools/bin/shellcheck" $$(find . -name .cache -prune -o -name '*.sh' -print) .ci/run && \
  $(scan_secrets) --exclude-secrets '^PASSWORD$$' $$(git ls-files ':!*.lock' ':!*/digests.toml' ':!tests') && \
  $(scan_secrets) --disable-plugin BasicAuthDetector --exclude-lines MARKER $$(git ls-files tests ':!*.lock' ':!tests/golden/home') && \
  run scripts/audit.py requirements.lock requirements-dev.lock requirements-benchmarks.lock)

types: ## check types only
	@$(call with_tools,requirements-dev.lock,run -m mypy)

dashboards: ## write the dashboard and the alert rules that Grafana is provisioned with
	@$(call with_tools,requirements-dev.lock,PYTHONPATH="$$tools:src:." run -m dev.dashboards)

reference: ## write the pages of docs/reference that are generated: command line, diagnosis, rights in a cluster
	@$(call with_tools,requirements-dev.lock,for page in command_line diagnosis rights; do \
	  PYTHONPATH="$$tools:src:." run -m dev.$${page}_reference || exit; done)

picture: ## draw docs/installation.svg from a real installation: make picture ARGS='--provider kind'
	@$(call with_tools,requirements-dev.lock,unset PYTHONPATH && PYTHONPATH="$$tools:src:." run -m dev.picture $(ARGS))

format: ## rewrite the sources in the project's style
	@$(call with_tools,requirements-dev.lock,run -m ruff check --fix . && run -m ruff format .)

bench: ## measure, beside what is comparable
	@$(call with_tools,requirements-benchmarks.lock,PYTHONPATH="$$tools:src" run benchmarks/run.py $(ARGS))

# Without index addresses or paths: each machine's own configuration says where packages come from.
compile = "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links $(ARGS) pyproject.toml
lock: ## pin the dependencies (ARGS=--upgrade for the newest that pyproject.toml allows)
	@$(call with_tools,requirements-dev.lock,unset PYTHONPATH && \
	  $(compile) -o requirements.lock && \
	  $(compile) -c requirements.lock --group dev -o requirements-dev.lock && \
	  $(compile) -c requirements-dev.lock --group benchmarks -o requirements-benchmarks.lock)

pins: ## write the sha256 of the pinned releases from what upstream publishes (ARGS=--check: only say which are missing)
	@$(call with_tools,requirements-dev.lock,PYTHONPATH="$$tools:src:." run -m dev.pins $(ARGS))

clean: ## remove what these targets made
	rm -rf '$(cache)' '$(root)/dist'
