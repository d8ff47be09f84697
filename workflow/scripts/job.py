"""What every script of a rule starts with: this clone's library, and the job's output in the job's log."""

import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

# A script imports its libraries next: a second in five of that is the collector looking at what is there to stay.
gc.disable()

# First, so that a job in a conda environment or on a cluster's node finds it, and finds this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from unsee import gpus  # noqa: E402

#: What jobs share, by content; not an output of any: it may be deleted at any time, and changes no result.
CACHE = Path("results/cache")


def bind(snakemake: Any) -> None:
    """Give the process its own GPUs, and no more threads than its job has.

    Snakemake bounds the threads of OpenMP, MKL and OpenBLAS, and the library those of torch; this is for the tokenizers.
    """
    os.environ["RAYON_NUM_THREADS"] = str(snakemake.threads)
    gpus.claim(snakemake.resources.gpu)


# Here, before the script imports anything that looks for GPUs or counts cores.
bind(sys.modules["__main__"].snakemake)


def start(snakemake: Any) -> None:
    """Send all output, that of compiled libraries too, to the rule's log."""
    gc.freeze()
    gc.enable()
    sys.stdout.flush()
    with open(snakemake.log[0], "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unsee").setLevel(logging.INFO)
