# make table   the environment, then the table: results/table3.csv
# make report  the page with everything: results/report.html
# make test    the environment, then every check and test
# make test-cluster  the environment, then the workflow through a Slurm of its own (root installs that with apt-get)
# make chaos   the environment, then kills, damage and a full disk: does the table come out the same? (ten minutes)
# make bench   the environment, then how fast it is: a table, and results/bench.csv (ten minutes)
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := table
.PHONY: setup table report test test-cluster chaos bench lock

setup: $(READY)

# The stamp is written last, so that a set-up that broke off is done again; the environment is made anew.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "Python %d.%d: expected 3.11 or later, say make PYTHON=..." % v)'
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

table: $(READY)
	$(BIN)/snakemake --cores all results/table3.csv

report: $(READY)
	$(BIN)/snakemake --cores all results/report.html

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest

test-cluster: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m cluster tests/cluster

chaos: $(READY)
	$(BIN)/python tools/chaos.py

bench: $(READY)
	$(BIN)/python -m bench

# New pins: the newest versions that pyproject.toml allows, into requirements.lock and envs/unsee.yaml.
lock:
	$(PYTHON) tools/lock.py
