# The checked configuration, and the plan that the rules name: src/unsee/jobs/plan.py.
import os
import sys
from pathlib import Path

# The library of this clone, whatever else is installed.
sys.path.insert(0, str(Path(PROJECT) / "src"))

import unsee

if not (Path(PROJECT) / "src/unsee").samefile(Path(unsee.__file__).parent):
    raise WorkflowError(
        f"Nothing was run.\nThe library of {Path(unsee.__file__).parent} is in use already; expected that of {PROJECT}: "
        "run one clone at a time, and without another one's snakemake_logger_plugin_unsee"
    )

from unsee.jobs import config as configuration
from unsee.core import gpus
from unsee.core.declarations import DeclarationError
from unsee.jobs import config_checks, forget_request, preflight, requests
from unsee.jobs import snakemake_internals
from unsee.jobs.input_files import LANGUAGE_MODEL, STRANGERS
from unsee.jobs.input_functions import InputFunctions
from unsee.jobs.layout import FIGURES, ROBUSTNESS_FIGURES, figure_files
from unsee.jobs.plan import Plan
from unsee.jobs.runs import RUN
from unsee.attacks import catalogue as attack_catalogue
from unsee.jobs.tuning import TuningPlan
from unsee.unlearning import catalogue

snakemake_internals.quote_interpreter()
ROOT = Path(os.path.relpath(PROJECT))
CONFIG_FILES = snakemake_internals.config_files(workflow, Path(PROJECT), config)
if snakemake_internals.is_module_with_config(workflow):
    snakemake_internals.refuse_prefix(workflow)
    config = configuration.over_defaults(config, Path(PROJECT) / "config.yaml")
OVERRIDES = snakemake_internals.config_of_command_line(workflow)
configuration.read_nested(config, OVERRIDES)
configuration.replace_wholes(config, OVERRIDES, CONFIG_FILES)
with snakemake_internals.refusal(configuration.ConfigError, DeclarationError):
    config_checks.check_folders(PROJECT, os.getcwd())
    METHODS = catalogue.read(ROOT / "src/unsee/unlearning/methods")
    ATTACKS = attack_catalogue.read(ROOT / "src/unsee/attacks/methods")
    forget_request.apply(config, ROOT, CONFIG_FILES)
    config_checks.check(config, METHODS, ROOT, CONFIG_FILES, attacks=ATTACKS)

entries = configuration.resolve(config, METHODS, CONFIG_FILES)
# The same rules for people who are not reported, on whom the methods' settings are tried.
tuning_plan = TuningPlan.of(config, entries, ROOT, CONFIG_FILES)
tuning_inputs = InputFunctions(workflow, tuning_plan)
attacks = configuration.resolve_attacks(config, ATTACKS, CONFIG_FILES)
plan = Plan(config, entries, ROOT, CONFIG_FILES, attacks, tuning_plan)
inputs = InputFunctions(workflow, plan)

TABLES = plan.benchmark.tables
QUESTIONS = plan.benchmark.questions


def in_report(figures):
    """The figures of `snakemake --report`: each once, though it is written in three formats."""
    flags = {"caption": "../report/figure.rst", "category": "Figures"}
    return [report(f, **flags) if f.endswith(".svg") else f for f in figures]
