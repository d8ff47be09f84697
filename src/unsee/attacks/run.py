"""Attack one model, and ask it about the people that it was to forget."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from unsee.attacks.answers import ATTACKED, attacked_row, without_answer
from unsee.attacks.attack import State, Weights, get
from unsee.attacks.inputs import Changed, attacked_images, attacked_questions
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.failures import DivergedError
from unsee.core.files import atomic_write
from unsee.evaluation.predict import answer_questions
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, feature_cache

log = logging.getLogger(__name__)


def attack_model(
    model: dict[str, Any],
    benchmark: Path,
    *,
    adapters: Sequence[Path],
    attack: str,
    options: Mapping[str, Any],
    forget_percent: int,
    seed: int,
    settings: Mapping[str, Any],
    division: Mapping[str, Any],
    threads: int,
    output: Path,
    cache: Path | None = None,
) -> None:
    """Attack a model, ask it the questions about the forgotten people that the attack concerns, and write the answers.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        adapters: PEFT adapter folders on the base model, as for :func:`unsee.evaluation.predict.predict`.
        attack, options: the name of the attack, and its options.
        forget_percent: the ratio whose forgotten people are asked about.
        seed: decides all random numbers.
        settings, cache: as for :func:`unsee.evaluation.predict.predict`.
        division: how an attack that trains divides a step, see :class:`~unsee.attacks.attack.Weights`.
        threads: the number of threads of this job.
        output: the parquet file, with the columns of :data:`~unsee.attacks.answers.ATTACKED`.

    Raises:
        ValueError: there is no such attack; it concerns no question, changes an option's text, or yields a state twice.
    """
    torch.set_num_threads(threads)
    declared = get(attack)
    versions = attacked_questions(
        declared, options, benchmark, forget_percent=forget_percent, tasks=settings["tasks"], seed=seed
    )
    images = attacked_images(declared, options, benchmark, versions, seed)
    vlm = load(model, adapters)
    features = feature_cache(cache, vlm.family, adapters)
    states: Iterable[State] = [State()]
    if declared.kind == "weights":
        forgotten = read_pairs(benchmark, person_ids(benchmark, forget_percent, "forget"))
        others = read_pairs(benchmark, person_ids(benchmark, forget_percent, "retain"))
        shown = read_images(benchmark, {pair.image_id for pair in [*forgotten, *others] if pair.image_id})
        training = Pictures(vlm.family, vlm.base, vlm.processor, shown, cache=features)
        weights = Weights(vlm, training, forgotten, others, seed, lambda: load(model, to_gpu=False), division)
        states = declared.apply(weights, **options)
    rows: dict[State, list[dict[str, Any]]] = {}
    for state in states:
        named = state._replace(diverged=False)
        if named in rows:
            raise ValueError(f"attack {attack!r} yields {named} twice; expected another variant or step")
        log.info("%s: %s", attack, state)
        # Attacked weights may encode a picture otherwise, and no other job needs the features of an attacked picture.
        kept = features if declared.kind == "question" else None
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=kept)
        rows[named] = _answers_or_none(vlm, pictures, versions, state, settings)
    with atomic_write(output) as part:
        pq.write_table(pa.Table.from_pylist([row for some in rows.values() for row in some], ATTACKED), part)


def _answers_or_none(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    versions: Sequence[Sequence[Changed]],
    state: State,
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The answers to all versions; rows without one if the model has diverged: the attack tells nothing of it then, only of others."""
    if not state.diverged:
        try:
            return _answers(vlm, pictures, versions, state, settings)
        except DivergedError as error:
            log.warning("%s: %s", state, error.cause)
    return [without_answer(state, i, changed.original) for i, changes in enumerate(versions) for changed in changes]


def _answers(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    versions: Sequence[Sequence[Changed]],
    state: State,
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The answers to all versions, one version after another: a batch is then no larger than in an ordinary evaluation."""
    rows = []
    for version, changes in enumerate(versions):
        by_id = {changed.original["question_id"]: changed for changed in changes}
        for prediction in answer_questions(vlm, pictures, [changed.question for changed in changes], settings):
            rows.append(attacked_row(prediction, state, version, *by_id[prediction["question_id"]]))
    return rows
