# make table   the environment, then the table: results/table3.csv
# make report  the page with everything: results/report.html
# make test    the environment and the packages for testing, then every check and test
# make test-cluster  the same environment, then the workflow through a Slurm of its own (root installs that with apt-get)
# make chaos   the environment, then kills, damage and a full disk: does the table come out the same? (ten minutes)
# make bench   the environment, then how fast it is: a table, and results/bench.csv (ten minutes)
PYTHON ?= python3
# How many tests run at once: one per core, at least two.
WORKERS ?= 2
BIN := .venv/bin

.DEFAULT_GOAL := table
.PHONY: setup setup-dev table report test test-cluster chaos bench lock

# Looks at contents, so that neither a fresh clone's times nor a switch of branches makes it anew.
setup:
	@"$(PYTHON)" tools/environment.py

setup-dev:
	@"$(PYTHON)" tools/environment.py --dev

table: setup
	$(BIN)/snakemake --cores all results/table3.csv

report: setup
	$(BIN)/snakemake --cores all results/report.html

test: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

test-cluster: setup-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m cluster tests/cluster

chaos: setup
	$(BIN)/python -m tools.chaos

bench: setup
	$(BIN)/python -m bench

# New pins: the newest versions that pyproject.toml allows, into the two locks and envs/unsee.yaml.
lock:
	"$(PYTHON)" tools/lock.py
