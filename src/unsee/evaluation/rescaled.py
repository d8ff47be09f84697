"""The answers of one unlearned model with its update scaled by several factors; the base model is loaded once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from unsee.benchmarks.tables import person_ids, read_images
from unsee.core.files import atomic_write
from unsee.evaluation.predict import PREDICTIONS, answer_batches, lay_out
from unsee.evaluation.questions import read_questions
from unsee.evaluation.settings import TASKS, task_of
from unsee.models.model import load, merge
from unsee.models.pictures import Pictures, feature_cache

RESCALED = pa.schema([("scale", pa.float64()), *PREDICTIONS])


def predict_rescaled(
    model: dict[str, Any],
    benchmark: Path,
    *,
    vanilla: Path,
    adapter: Path,
    scales: Sequence[float],
    forget_percent: int,
    others: int | None,
    tasks_of_others: Collection[str] = TASKS,
    settings: dict[str, Any],
    threads: int,
    output: Path,
    cache: Path | None = None,
) -> None:
    """Answer questions with vanilla plus ``adapter`` times each scale; write the columns of predictions behind ``scale``.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        vanilla: the adapter of vanilla.
        adapter: the adapter of an unlearned model, trained on vanilla.
        scales: factors of its update, up to 1; 0 is vanilla, 1 is the unlearned model.
        forget_percent: the ratio of the unlearned model; all questions about its forgotten people are asked.
        others: the number of other people, and of celebrities, whose questions are asked; ``None`` for all.
        tasks_of_others: the tasks of the questions about them.
        settings: as for :func:`unsee.evaluation.predict.predict`.
        threads: the number of threads of this job.
        output: the parquet file.
        cache: the folder of the cache that jobs share, see :mod:`unsee.core.cache`.
    """
    torch.set_num_threads(threads)
    questions = sample(
        read_questions(benchmark, [forget_percent]),
        person_ids(benchmark, forget_percent, "forget"),
        others,
        tasks_of_others,
    )
    images = read_images(benchmark, {row["image_id"] for row in questions if row["image_id"]})
    vlm = load(model, [vanilla])
    features = feature_cache(cache, vlm.family, [vanilla, adapter])
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=features)
    # Tokens and packs do not depend on the weights.
    batches = list(lay_out(vlm, pictures, questions, settings))
    rows: list[dict[str, Any]] = []
    before = 0.0
    for scale in sorted(scales):
        # The missing part of the update is added in place, without a second copy of the weights.
        vlm.model = merge(vlm.model, adapter, scale, done=before)
        before = scale
        if not features.keeps:  # the update may change the tower
            pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        rows += [{"scale": scale} | row for row in answer_batches(vlm, pictures, questions, batches, settings)]
    with atomic_write(output) as part:
        pq.write_table(pa.Table.from_pylist(rows, RESCALED), part)


def sample(
    questions: Sequence[dict[str, Any]],
    forgotten: Sequence[str],
    others: int | None,
    tasks_of_others: Collection[str] = TASKS,
) -> list[dict[str, Any]]:
    """All questions about the forgotten people; those of some tasks about ``others`` retained people and as many celebrities.

    The people are the same for all methods, scales and seeds, so that all are compared on the same questions.
    """
    people = gone = set(forgotten)
    for origin in ("profile", "celebrity"):
        left = sorted({row["person_id"] for row in questions if row["origin"] == origin} - people)
        people = people.union(
            left if others is None else Random(f"trade-off:{origin}").sample(left, min(others, len(left)))
        )
    return [
        row
        for row in questions
        if row["person_id"] in people and (row["person_id"] in gone or task_of(row["task"]) in tasks_of_others)
    ]
