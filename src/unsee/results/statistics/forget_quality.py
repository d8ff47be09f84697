"""Forget quality: do the truth ratios look like those of a model that never met the people?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import permutation_test

#: Above 2 to the power of 13 people's arrangements a sample of this many is drawn.
RESAMPLES = 9999


def forget_quality(own: np.ndarray, retain: np.ndarray, people: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """The Kolmogorov-Smirnov statistic of two models' truth ratios, and its p-value.

    The statistic is the largest gap between the two cumulative distributions: 0 where they are the same, 1 where they
    do not overlap. TOFU's forget quality is the p-value of the two-sample test (Maini et al., 2024, section 2.2.2),
    which takes questions to be independent. They are not, within a person; here the p-value is that of a
    permutation test in which the two models change places person by person: exact with up to 13 people, else from
    9,999 arrangements. It lies above 0, up to 1; small says that the models differ, and large with few people says
    little (with 5 people it cannot be below 0.06).

    Args:
        own: (n,) truth ratios of a model, or any rising function of them.
        retain: (n,) those of the retain-only model to the same questions.
        people: (n,) the person of each question.
        seed: of the arrangements.

    Raises:
        ValueError: no values, or arrays of different lengths.
    """
    if not len(own) == len(retain) == len(people) or not len(own):
        raise ValueError(
            f"{len(own)} and {len(retain)} truth ratios of {len(people)} people's questions; expected as many of each, "
            "at least one"
        )
    index = np.unique(people, return_inverse=True)[1]
    n_people = int(index.max()) + 1
    # What each person adds to the gap at each value, when the models stand as they are.
    values = np.unique([own, retain])
    steps = np.zeros((n_people, len(values)))
    np.add.at(steps, index, 1.0 * (own[:, None] <= values))
    np.add.at(steps, index, -1.0 * (retain[:, None] <= values))
    steps /= len(own)

    def gap(first: np.ndarray, second: np.ndarray, axis: int = -1) -> Any:
        return np.abs(np.where(first < n_people, 1.0, -1.0) @ steps).max(axis=-1)

    if n_people < 2:  # nothing to permute
        return float(np.abs(steps.sum(axis=0)).max()), 1.0
    found = permutation_test(
        # Numbers stand for a person's answers: below n_people the model's, from there the retain-only model's.
        (np.arange(n_people), np.arange(n_people) + n_people),
        gap,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=500,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.statistic), float(found.pvalue)
