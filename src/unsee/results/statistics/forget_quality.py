"""Forget quality: how far the truth ratios are from those of a model that never met the people."""

from __future__ import annotations

from typing import Any

import numpy as np

#: With more than 13 people (2 to the power of 13 arrangements) this many random arrangements are drawn.
RESAMPLES = 9999


def forget_quality(method: np.ndarray, retain: np.ndarray, people: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Compare two models' truth ratios by the two-sample Kolmogorov-Smirnov statistic.

    The statistic is the largest gap between the two cumulative distributions: 0 where they are equal, 1 where they do not overlap.
    TOFU's forget quality is the p-value of this test (Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024, section
    2.2.2, https://arxiv.org/abs/2401.06121), which assumes independent questions. Questions about one person are not independent, so
    the p-value here is that of a permutation test in which the two models change places person by person: exact with up to 13
    people, from 9,999 random arrangements with more. A small p-value says that the models differ. With few people a large one says
    little: with 5 people it cannot be below 0.06.

    Args:
        method: (n,) truth ratios of an unlearned model, or any rising function of them.
        retain: (n,) those of the retain-only model, for the same questions.
        people: (n,) the person of each question.
        seed: of the random arrangements.

    Returns:
        The statistic, 0 to 1, and its p-value, above 0 and at most 1; NaN with one person.

    Raises:
        ValueError: there are no values, or the arrays differ in length.
    """
    if not len(method) == len(retain) == len(people) or not len(method):
        raise ValueError(
            f"{len(method)} and {len(retain)} truth ratios of {len(people)} people's questions; expected as many of each, "
            "at least one"
        )
    index = np.unique(people, return_inverse=True)[1]
    n_people = int(index.max()) + 1
    # The part of each person in the gap at each value, before any change of places.
    values = np.unique([method, retain])
    steps = np.zeros((n_people, len(values)))
    np.add.at(steps, index, 1.0 * (method[:, None] <= values))
    np.add.at(steps, index, -1.0 * (retain[:, None] <= values))
    steps /= len(method)

    def gap(first: np.ndarray, second: np.ndarray, axis: int = -1) -> Any:
        return np.abs(np.where(first < n_people, 1.0, -1.0) @ steps).max(axis=-1)

    if n_people < 2:  # there is nothing to permute
        return float(np.abs(steps.sum(axis=0)).max()), float("nan")

    from scipy.stats import permutation_test  # takes most of a second to import, and few tables come here

    result = permutation_test(
        # Person i is number i for the unlearned model and n_people + i for the retain-only model.
        (np.arange(n_people), np.arange(n_people) + n_people),
        gap,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=500,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(result.statistic), float(result.pvalue)
