# What the rules share: the checked configuration, the runs of the table, and the files of a run.
import os
import re
import sys
from pathlib import Path

# This clone's library, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from unsee.config import ConfigError, check, resolve
from unsee.unlearning.catalogue import CatalogueError
from unsee.unlearning.catalogue import read as read_catalogue

ROOT = Path(os.path.relpath(workflow.basedir))
TABLES = ["people", "images", "questions", "training_pairs", "splits"]
RUN = "results/models/{model}/forget{forget_percent}/{method}/seed{seed}"
JOB = "results/jobs/{{rule}}/{model}/forget{forget_percent}/{method}/seed{seed}"

try:
    CATALOGUE = read_catalogue(ROOT / "src/unsee/unlearning")
    check(config, CATALOGUE, ROOT, [Path(file) for file in workflow.configfiles])
except (ConfigError, CatalogueError) as error:
    raise WorkflowError(f"The configuration cannot be run, and nothing was.\n{error}") from None

ENTRIES = resolve(config, CATALOGUE)
