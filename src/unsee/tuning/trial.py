"""One trial of a method's settings: train an unlearned model, ask it the benchmark's questions, keep the scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.failures import DivergedError
from unsee.core.files import atomic_write
from unsee.evaluation.predict import predict
from unsee.evaluation.scoring import SCORES, score_task
from unsee.training import processes
from unsee.unlearning.run import unlearn

log = logging.getLogger(__name__)

#: The key of a trial's file that says why it has no scores.
DIVERGED = b"diverged"


def run_trial(
    model: dict[str, Any],
    benchmark: Path,
    *,
    forget_percent: int,
    threads: int,
    output: Path,
    evaluation: Mapping[str, Any],
    cache: Path | None = None,
    **training: Any,
) -> None:
    """Write the scores of one trial; the trained adapter is deleted.

    A trial that diverges is a result: there are settings with which a method does not train. Its file has no scores, and says why.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables, of people who are not reported.
        forget_percent: the ratio in percent.
        threads: the number of threads of this job.
        output: the parquet file, with the columns of :data:`unsee.evaluation.scoring.SCORES` for all tasks.
        evaluation: the protocol's settings, ``tasks`` and ``batch_size``, see :func:`unsee.evaluation.predict.predict`.
        cache: the folder that jobs share, see :mod:`unsee.core.cache`.
        training: the other arguments of :func:`unsee.unlearning.run.unlearn`.
    """
    common = {"forget_percent": forget_percent, "threads": threads, "cache": cache}
    questions = pq.read_table(benchmark / "questions.parquet")
    with TemporaryDirectory() as folder:
        run = Path(folder)
        arguments = {"model": model, "benchmark": benchmark, "output": run, **common, **training}
        try:
            processes.launch(unlearn, arguments, training["settings"].get("num_processes", 1))
            predict(
                model,
                benchmark,
                adapters=[training["vanilla"], run / "adapter"],
                forget_percents=[forget_percent],
                settings=evaluation,
                threads=threads,
                output=run,
                cache=cache,
            )
        except DivergedError as error:
            log.warning("the trial has diverged: %s", error.cause)
            if checkpoints := training.get("checkpoint_dir"):
                checkpoints.clear()
            table = SCORES.empty_table().replace_schema_metadata({DIVERGED: error.cause})
        else:
            table = pa.concat_tables(
                score_task(task, pq.read_table(run / f"{task}.parquet"), questions, evaluation)
                for task in evaluation["tasks"]
            )
    with atomic_write(output) as part:
        pq.write_table(table, part)


def has_diverged(file: Path) -> bool:
    """Whether a trial has diverged, by its file."""
    return DIVERGED in (pq.read_schema(file).metadata or {})
