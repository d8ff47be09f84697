# The checked configuration, and the plan that the rules name: src/unsee/jobs/plan.py.
import os
import sys
from pathlib import Path

# The library of this clone, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from unsee.jobs import config as configuration
from unsee.core import gpus
from unsee.jobs import config_checks, preflight, requests, snakemake_internals
from unsee.jobs.input_files import (
    LANGUAGE_MODEL,
    QUESTIONS,
    RAW,
    SPLIT_TABLES,
    STRANGERS,
    TABLES,
)
from unsee.jobs.input_functions import InputFunctions
from unsee.jobs.layout import FIGURES, REPORT_TABLES, figure_files
from unsee.jobs.plan import Plan
from unsee.jobs.runs import RUN
from unsee.unlearning import catalogue

snakemake_internals.quote_interpreter()
ROOT = Path(os.path.relpath(workflow.basedir))
CONFIG_FILES = snakemake_internals.config_files(workflow)
configuration.read_nested(config, snakemake_internals.config_of_command_line(workflow))
with snakemake_internals.refusal(configuration.ConfigError, catalogue.CatalogueError):
    config_checks.check_folders(workflow.basedir, os.getcwd())
    METHODS = catalogue.read(ROOT / "src/unsee/unlearning/methods")
    config_checks.check(config, METHODS, ROOT, CONFIG_FILES)

plan = Plan(
    config, configuration.resolve(config, METHODS, CONFIG_FILES), ROOT, CONFIG_FILES
)
inputs = InputFunctions(workflow, plan)
