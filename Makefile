# make table         create the environment, compute every table in results/ and show the main one (the default)
# make report        the same, and results/report.html: one page with figures and every answer
# make show          show the main table again
# make reference     create the environment, run every method with three seeds, and write docs/reference and README's table (two hours)
# make test          create the environment with the packages for development, and run every check and test
# make test-cluster  create the same environment and run the workflow on a Slurm that the tests start (needs root: apt-get installs it)
# make chaos         create the environment, kill jobs, damage files and fill the disk: the table must stay the same (ten minutes)
# make bench         create the environment, measure the speed, print a table and write results/bench.csv (a quarter of an hour)
# make lock          resolve pyproject.toml into the two locks and envs/unsee.yaml
PYTHON ?= python3
# Number of tests that run at once.
WORKERS ?= 2
BIN := .venv/bin

.DEFAULT_GOAL := table
.PHONY: setup setup-dev table report show reference test types style test-cluster chaos bench lock

# Compares contents, not times: a fresh clone or a switch of branches does not create the environment again.
setup:
	@"$(PYTHON)" tools/environment.py

setup-dev:
	@"$(PYTHON)" tools/environment.py --dev

# One line a job; snakemake's own output: the same command without --logger unsee.
table: setup
	$(BIN)/snakemake --cores all --logger unsee
	@$(MAKE) --no-print-directory show

report: setup
	$(BIN)/snakemake all results/report.html --cores all --logger unsee
	@$(MAKE) --no-print-directory show

show:
	@$(BIN)/python -m unsee.results.show

reference: setup
	$(BIN)/python -m tools.reference

test: setup-dev
	@$(MAKE) --no-print-directory --jobs 2 types style
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

types:
	$(BIN)/mypy

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint

test-cluster: setup-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m cluster tests/cluster

chaos: setup
	$(BIN)/python -m tools.chaos

bench: setup
	$(BIN)/python -m bench

# Pins the newest versions that pyproject.toml allows.
lock:
	"$(PYTHON)" tools/lock.py
