"""What every script of a rule starts with: this clone's library, and the job's output in the job's log."""

import gc
import json
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


def done(snakemake: Any, **more: Any) -> None:
    """Leave the job's receipt beside its log, and a manifest beside what it made where its rule has one.

    Args:
        snakemake: the job.
        more: for the manifest.
    """
    from unsee import provenance

    kept = {"identity", "receipts", "method_sources", "configuration"}
    made = provenance.describe(
        rule=snakemake.rule,
        identity=snakemake.params.identity,
        parameters={key: value for key, value in snakemake.params.items() if key not in kept},
        inputs=map(str, snakemake.input),
        project=Path(__file__).resolve().parents[2],
    )
    if "manifest" in snakemake.output.keys():  # noqa: SIM118
        manifest = Path(snakemake.output.manifest)
        known = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
        provenance.write(manifest, known | more | {"made": made})
    receipt = Path(snakemake.log[0]).with_suffix(".json")
    provenance.write(receipt, made | {"outputs": provenance.outputs(map(str, snakemake.output))})
