# `make` prints what there is. Every target makes .venv from requirements.lock when it is missing or out of date.
# Settings: PYTHON (3.11 to 3.13), CORES, ARGS (more options for snakemake or pytest).
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3 python3.13 python3.12 python3.11 python
CORES ?= all
VENV := .venv
READY := $(VENV)/.installed
# What tests compare results with.
ORACLES := $(VENV)/.oracles
# The libraries that the bank is measured beside have a place of their own.
BENCH := .venv-bench
IN := . $(VENV)/bin/activate &&
export DVC_NO_ANALYTICS := 1
.PHONY: help atlas report repro touch test test-system test-long lint bench bench-tasks docs site lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

atlas: $(READY) ## the main job: config/embedded.yaml, all of it, into results/embedded/
	@$(IN) snakemake --cores $(CORES)
	@$(call settle,atlas@embedded)

report: $(READY) ## results/<run>/report.html (ARGS="--configfile config/smoke.yaml" for another run)
	@$(IN) snakemake report --cores $(CORES) $(ARGS)

repro: $(READY) ## the runs of params.yaml by way of DVC
	@$(IN) dvc repro
	@$(call settle,)

touch: $(READY) ## after `dvc pull`: tell Snakemake that the files are up to date
	@# Of files from the future, by a clock that went wrong, Snakemake would delete what they make.
	@now=$$(mktemp); for d in data results; do [ ! -d $$d ] || find $$d -newer $$now -exec touch {} +; done; rm $$now
	@$(IN) snakemake --cores 1 --touch $(ARGS)

test: $(READY) $(ORACLES) ## the quick tests, minutes
	@$(IN) pytest $(ARGS)

test-system: $(READY) $(ORACLES) ## whole runs, Slurm, DVC, kills, a browser, the site
	@$(IN) pytest -m system $(ARGS)

test-long: $(READY) $(ORACLES) ## the tests that take hours
	@$(IN) pytest -m long $(ARGS)

bench: $(READY) ## the benchmarks, on a quiet machine
	@$(IN) pytest -s benchmarks/bench_*.py $(ARGS)

bench-tasks: $(BENCH)/.installed ## docs/benchmarks/tasks.md: the task bank beside its peers, on a quiet machine
	@$(BENCH)/bin/python benchmarks/bench_tasks.py --out docs/benchmarks/tasks.md $(ARGS)

lint: $(READY) ## ruff, mypy, import-linter, snakefmt, snakemake --lint
	@$(IN) ruff check
	@$(IN) ruff format --check
	@$(IN) mypy
	@$(IN) lint-imports --no-logo
	@$(IN) snakefmt --check Snakefile workflow/rules
	@$(IN) snakemake --lint

docs: $(READY) ## the pages that are made from the code
	@$(IN) python -m medtaskatlas.site.pages
	@$(IN) python -m medtaskatlas.site.gallery

site: $(READY) ## the documentation as a site: site/index.html, readable without a network
	@$(IN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# What Python to use: the first of $(PYTHON) that runs, is of the right version and can make a venv.
define find_python
for python in $(PYTHON); do \
  "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    2>/dev/null && break; \
  python=; \
done; \
if [ -z "$$python" ]; then \
  echo "medtaskatlas needs Python 3.11, 3.12 or 3.13 with its venv module; tried: $(PYTHON)." >&2; \
  echo "Install one (Debian, Ubuntu: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
  exit 1; \
fi
endef

$(READY): requirements.lock pyproject.toml
	@$(find_python); \
	[ -x $(VENV)/bin/python ] || "$$python" -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Without it tests skip and say so: it is no reason to have no tests at all.
$(ORACLES): requirements-oracles.txt $(READY)
	@if $(VENV)/bin/python -m pip install --disable-pip-version-check --no-deps -r requirements-oracles.txt; then touch $@; \
	else echo "requirements-oracles.txt cannot be installed: the tests that compare with it skip" >&2; fi

$(BENCH)/.installed: requirements-bench.txt requirements.lock pyproject.toml
	@$(find_python); \
	[ -x $(BENCH)/bin/python ] || "$$python" -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --disable-pip-version-check -r requirements-bench.txt
	$(BENCH)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Made with the oldest Python, so that nothing is chosen that it cannot use.
lock: ## requirements.lock anew from pyproject.toml (Python 3.11)
	@$(find_python); new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && set -e; \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "make lock needs Python 3.11: make lock PYTHON=python3.11")'; \
	"$$python" -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); d = p["project"]; \
print(*p["build-system"]["requires"], *d["dependencies"], *sum(d["optional-dependencies"].values(), []), sep="\n")' > "$$new/in"; \
	"$$python" -m venv "$$new/venv"; \
	"$$new/venv/bin/python" -m pip install --disable-pip-version-check -q -r "$$new/in"; \
	"$$new/venv/bin/python" -m pip check; \
	{ echo '# Every package of the environment, Python 3.11 to 3.13. Made by `make lock`: edit pyproject.toml, not this.'; \
	  echo '# No hashes: the builds of torch differ by platform.'; \
	  "$$new/venv/bin/python" -m pip freeze --all --exclude pip --exclude wheel \
	    | sed -E 's/^(torch==[0-9.]+)[+].*/\1/' | LC_ALL=C sort -f; } > "$$new/out"; \
	mv "$$new/out" requirements.lock

# After a run: data must be what data.dvc says, on every machine; then DVC is told of the results.
# Results of training may differ in their last digits between CPUs, so they are recorded, not compared.
define settle
$(IN) set -e; \
state=$$(dvc status --json data.dvc); \
case "$$state" in *modified*) \
  if grep -q 'md5:' data.dvc; then \
    echo "data/embedded differs from data.dvc, which says what it must be." >&2; \
    echo "Either remove data/embedded and run this again, or, where the change is meant" >&2; \
    echo "(another catalogue, other package versions): dvc commit -f data.dvc, and commit data.dvc to git." >&2; \
    exit 1; \
  fi;; \
esac; \
[ ! -d data/embedded ] || dvc commit --quiet --force --no-relink data.dvc $(1)
endef
