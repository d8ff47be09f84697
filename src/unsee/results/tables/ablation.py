"""The ablation table (ablation.csv): what each part of a method contributes, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unsee.results.columns import TABLE_ROW
from unsee.results.tables.table3 import table3

#: The columns of the ablation in VL-Eraser's paper: forgetting, and what is lost on the retained people.
SHOWN = ["forget_classification", "retain_classification", "retain_rouge_l", "retain_cloze"]


def ablation(scores: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation over seeds of some columns of the results table.

    Args:
        scores, methods: as for :func:`unsee.results.tables.table3.table3`.

    Returns:
        One row for each model, ratio, modality and method: :data:`SHOWN`, in the units of the results table; the same with ``_sd``, the
        standard deviation over seeds (NaN with one seed); ``n_seeds``.
    """
    keys = list(TABLE_ROW)
    seeds = scores["seed"].unique()
    tables = pd.concat([table3(scores[scores["seed"] == seed], methods) for seed in seeds])
    spread = tables.groupby(keys)[SHOWN].std(ddof=1).add_suffix("_sd")
    means = table3(scores, methods)[[*keys, *SHOWN]]
    return means.merge(spread.reset_index(), on=keys).assign(n_seeds=len(seeds))
