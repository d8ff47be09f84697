"""One trial of a method's settings: train an unlearned model, ask it the benchmark's questions, keep the scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.files import atomic_write
from unsee.evaluation.predict import predict
from unsee.evaluation.scoring import score_task
from unsee.training import processes
from unsee.unlearning.run import unlearn


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
        scores = [
            score_task(task, pq.read_table(run / f"{task}.parquet"), questions, evaluation)
            for task in evaluation["tasks"]
        ]
    with atomic_write(output) as part:
        pq.write_table(pa.concat_tables(scores), part)
