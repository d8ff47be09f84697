"""What each part of a method is worth: the paper's ablation table, with its spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unsee.results.tables.table3 import table3

_KEYS = ["model", "forget_percent", "modality", "method"]
#: The columns of VL-Eraser's ablation: does it forget, and what do the others' answers lose.
SHOWN = ["forget_classification", "retain_classification", "retain_rouge_l", "retain_cloze"]


def ablation(scores: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row a model, ratio, modality and method, ``vanilla`` and ``retain`` first, then ``methods`` in their order.

    Columns: :data:`SHOWN`, means over seeds in table 3's units, then the same with ``_sd``, the standard deviation over
    seeds (missing with one seed), and ``n_seeds``.

    Args:
        scores: as :func:`unsee.results.tables.scores.collect` gives them.
        methods: the entries of the configuration, in order.
    """
    seeds = scores["seed"].unique()
    each = pd.concat([table3(scores[scores["seed"] == seed], methods) for seed in seeds])
    spread = each.groupby(_KEYS)[SHOWN].std(ddof=1).add_suffix("_sd")
    means = table3(scores, methods)[[*_KEYS, *SHOWN]]
    return means.merge(spread.reset_index(), on=_KEYS).assign(n_seeds=len(seeds))
