"""The job that scores the training pairs of forgotten people and of strangers with one model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from tqdm import tqdm

from unsee.benchmarks.tables import Pair, person_ids, read_images, read_pairs
from unsee.core.failures import DivergedError
from unsee.core.files import atomic_write
from unsee.membership.scores import SCORES, AnswerTokens, score_answer
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import collate, pack
from unsee.models.pictures import Pictures, feature_cache

#: One row a training pair.
PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("person_id", pa.string()),
        ("stranger", pa.bool_()),
        ("modality", pa.string()),
        ("n_tokens", pa.int32()),
        *((name, pa.float64()) for name in SCORES),
    ]
)


def score_pairs(
    model: dict[str, Any],
    benchmark: Path,
    strangers: Path,
    *,
    adapters: Sequence[Path],
    forget_percents: Sequence[int],
    k_percent: int,
    threads: int,
    output: Path,
    cache: Path | None = None,
) -> None:
    """Score the training pairs of the forgotten people and of the strangers; write one row a pair, with the columns of :data:`PAIRS`.

    All pairs of a person share one sequence behind their picture, and people are scored one at a time, so that no score depends on
    who else is scored.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        strangers: folder of the strangers' tables, see :mod:`unsee.benchmarks.strangers`.
        adapters: PEFT adapter folders on the base model, in order.
        forget_percents: the people forgotten at any of these ratios are scored.
        k_percent: see :func:`unsee.membership.scores.min_k`.
        threads: the number of threads of this job.
        output: the parquet file.
        cache: the folder of the cache that jobs share, see :mod:`unsee.core.cache`.

    Raises:
        BenchmarkError: a table is missing, or a person has no training pairs.
        ValueError, DivergedError: a pair is longer than the model's context; a score is not a number.
    """
    torch.set_num_threads(threads)
    forgotten = sorted({person for percent in forget_percents for person in person_ids(benchmark, percent, "forget")})
    groups = {False: read_pairs(benchmark, forgotten), True: read_pairs(strangers, person_ids(strangers, 0, "all"))}
    images = [
        image
        for folder, pairs in zip((benchmark, strangers), groups.values(), strict=True)
        for image in read_images(folder, {pair.image_id for pair in pairs if pair.image_id})
    ]
    vlm = load(model, adapters)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=feature_cache(cache, vlm.family, adapters))
    rows = []
    for stranger, pairs in groups.items():
        for person in tqdm(sorted({pair.person_id for pair in pairs}), unit="person", mininterval=5):
            of_person = [pair for pair in pairs if pair.person_id == person]
            for pair, tokens in zip(of_person, answer_tokens(vlm, pictures, of_person), strict=True):
                _check_numbers(tokens, pair)
                rows.append(
                    {
                        "pair_id": pair.pair_id,
                        "person_id": person,
                        "stranger": stranger,
                        "modality": "image" if pair.image_id else "text",
                        "n_tokens": len(tokens.log_probs),
                        **score_answer(tokens, pair.answer, k_percent),
                    }
                )
    with atomic_write(output) as part:
        pq.write_table(pa.Table.from_pylist(rows, PAIRS), part)


def _check_numbers(tokens: AnswerTokens, pair: Pair) -> None:
    """Refuse a model that has diverged: its scores would all tie, and its AUC would be 0.5, as if it had forgotten."""
    if np.isnan(tokens.log_probs).any():
        raise DivergedError(
            f"training pair {pair.pair_id!r}: a log-probability is nan; expected a number: the model has diverged",
            "train it again with a lower learning rate",
        )


@torch.inference_mode()
def answer_tokens(vlm: VisionLanguageModel, pictures: Pictures, pairs: Sequence[Pair]) -> Iterator[AnswerTokens]:
    """What a model says about the answers of one person's pairs, in their order; they are read as one packed sequence.

    Raises:
        ValueError: a pair is longer than the model's context.
    """
    requests = []
    for pair in pairs:
        prompt = vlm.prompt(pair.question, with_image=pair.image_id is not None)
        image_ids = [pair.image_id] if pair.image_id else []
        vlm.check_length(f"training pair {pair.pair_id!r}", prompt, [pair.answer], pictures, image_ids)
        requests += vlm.requests(prompt, [pair.answer], pictures, image_ids, end=False)
    batch = collate([pack(requests, vlm.image_token)], pad_token=vlm.pad_token)
    scores = score(vlm, batch, pictures, vocabulary=True)
    assert scores.log_probs is not None
    targets = batch.targets.to(scores.log_probs.device)
    for i in range(len(pairs)):
        at = scores.example == i
        yield token_statistics(scores.log_probs[at], targets[at])


def token_statistics(log_probs: Tensor, targets: Tensor) -> AnswerTokens:
    """What :class:`~unsee.membership.scores.AnswerTokens` holds, from the log-probabilities of the vocabulary.

    Moments are computed in double precision, from deviations: the difference of two squares is negative for a model that is sure.

    Args:
        log_probs: (t, vocabulary); -infinity is a token that the model excludes.
        targets: (t,) token ids.
    """
    exact = log_probs.double().log_softmax(-1)  # in single precision the probabilities do not quite add up to 1
    probabilities = exact.exp()
    finite = exact.masked_fill(probabilities == 0, 0.0)  # 0 log 0 is 0
    means = (probabilities * finite).sum(-1)
    gaps = finite - means[:, None]
    deviations = (probabilities * gaps**2).sum(-1).sqrt()
    target = exact.gather(-1, targets[:, None])[:, 0]
    greedy = exact.argmax(-1) == targets
    return AnswerTokens(*(np.asarray(part.cpu()) for part in (target, means, deviations, greedy)))
