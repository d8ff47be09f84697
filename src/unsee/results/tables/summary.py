"""The summary (summary.csv): a few numbers for each method. How well did it forget, what did it keep, and both in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unsee.results.columns import FORGOTTEN, REFERENCES, in_order, is_metric
from unsee.results.statistics import alike, jackknife
from unsee.results.statistics.differences import one_column_per_method
from unsee.results.statistics.forget_quality import forget_quality
from unsee.results.tables import extremes

COLUMNS = [
    *("model", "forget_percent", "method", "sees", "destroyed", "hardly_begun"),
    *("combined", "combined_low", "combined_high", "p_against_best", "best_alike", "p_against_best_alike"),
    *("forgetting", "forgetting_low", "forgetting_high"),
    *("utility", "utility_low", "utility_high", "utility_kept", "utility_of_vanilla"),
    "points_below_vanilla",
    *("still_known", "over_unlearned", "truth_ratio", "ks", "ks_p"),
]
NOTE = """\
`combined` (0 to 1) is the harmonic mean of `forgetting` and `utility_kept`: 1 for a model that scores like the retain-only model, 0
for one that forgot nothing or kept nothing. `p_against_best` is the p-value of being as good as the best method, Holm-corrected over
methods.
`forgetting` (0 to 1) is 1 - sum |method - retain| / sum |vanilla - retain|, over classification, ROUGE-L and cloze with image and
with text, in `forget` and `test`. Scores below the retain-only model's count against a method as much as scores above.
`utility` (0 to 1) is a harmonic mean, over `retain` and `celebrity` with image and with text, of the right option's probability, of
1 - truth ratio R (0 where R > 1) and of ROUGE-L; it is 0 if one of them is 0. `utility_kept` is its share of the retain-only model's
utility, at most 1.
`destroyed` marks a model with less than {destroyed:g} % of vanilla's utility (`utility_of_vanilla`, 0 to 1). It is never the best and has
no p-value. `hardly_begun` marks one whose classification in `forget` (mean of image and text) is less than {hardly_begun:g} points below
vanilla's (`points_below_vanilla`).
`still_known` and `over_unlearned` count the scores in `forget` and `test` in which the method is above, or below, the retain-only
model by the paired test (Holm-corrected over methods). The aim is 0 of both, though few people show few differences, and one none.
`truth_ratio` (0 to 1) is R / (1 + R) on `forget`: 0 where the model is sure of the truth, 0.5 where it is as sure of falsehoods. `ks`
(0 to 1) is the largest gap between the distributions of truth ratios of the method and of the retain-only model, `ks_p` its p-value
by permuting people: a small one says that they differ.
"""


def note(seeds: int) -> str:
    """What the columns mean, with this number of training seeds."""
    words = NOTE.format(destroyed=100 * extremes.DESTROYED, hardly_begun=extremes.HARDLY_BEGUN)
    return words + alike.NOTE + jackknife.interval_note(seeds)


def summary(
    items: pd.DataFrame, differences: pd.DataFrame, methods: Sequence[str] = (), sees: alike.Sees | None = None
) -> pd.DataFrame:
    """Sum each method up; :func:`note` defines the columns.

    Args:
        items: one row for each run, question and metric, ``vanilla`` and ``retain`` among the methods, see
            :func:`unsee.results.tables.scores.gather`.
        differences: the table of :func:`unsee.results.statistics.differences.differences`.
        methods: the entries of the configuration, in order.
        sees: what each of them sees.

    Returns:
        One row for each ratio and method, with :data:`COLUMNS`. The reference models have no p-value against the best method,
        are not marked, and count neither as still knowing nor as over-unlearned.

    Raises:
        ValueError: a method lacks a question that another one answered.
    """
    order = in_order(items["method"].unique().tolist(), methods)
    rows = [row for place in one_column_per_method(items) for row in _summarise(*place, differences, order, sees or {})]
    types = {"still_known": "Int64", "over_unlearned": "Int64", "destroyed": "boolean", "hardly_begun": "boolean"}
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def compared_scores() -> int:
    """The number of scores that ``still_known`` and ``over_unlearned`` count: metrics, sets and two modalities."""
    return len(jackknife.forgetting_metrics()) * len(FORGOTTEN) * 2


def combine(measured: jackknife.Measured, retain: int) -> tuple[np.ndarray, np.ndarray]:
    """``utility_kept`` and ``combined`` of :data:`NOTE`, each (rows, methods), see :class:`~unsee.results.statistics.jackknife.Measured`.

    Args:
        measured: forgetting and utility.
        retain: the column of the retain-only model.
    """
    kept = np.minimum(1.0, jackknife.ratio(measured.utility, measured.utility[:, [retain]]))
    return kept, jackknife.harmonic_mean(np.stack([measured.forgetting, kept], axis=1))


def _summarise(
    model: str, percent: int, table: pd.DataFrame, differences: pd.DataFrame, order: Sequence[str], sees: alike.Sees
) -> Iterator[dict[str, object]]:
    """The rows of one ratio."""
    methods = [name for name in order if name in table]
    measured = jackknife.measure(table, methods)
    utility_kept, combined = combine(measured, methods.index("retain"))
    unlearned = [i for i, name in enumerate(methods) if name not in REFERENCES]
    reached = extremes.of_ratio(table, methods)
    compared = [i for i in unlearned if not reached[methods[i]].destroyed]
    p_values = jackknife.p_against_best(combined, compared, measured.groups)
    columns = {methods[i]: i for i in compared}
    seen = alike.at_ratio(sees, methods, percent)
    best_alike = alike.against_best_alike(combined, columns, seen, measured.groups)
    against_retain = differences[
        (differences["model"].astype(str) == model)
        & (differences["forget_percent"] == percent)
        & (differences["against"] == "retain")
        & differences["set"].isin(FORGOTTEN)
        & is_metric(differences, jackknife.forgetting_metrics())
    ]
    ratios = table[(table["set"] == "forget") & (table["metric"] == "truth_ratio")]
    for i, method in enumerate(methods):
        row: dict[str, object] = {"model": model, "forget_percent": percent, "method": method}
        row |= {"sees": seen[method], **best_alike.get(method, {})}
        for name, values in (
            ("combined", combined),
            ("forgetting", measured.forgetting),
            ("utility", measured.utility),
        ):
            low, high = jackknife.interval(values[:, i], measured.groups)
            row |= {name: values[0, i], f"{name}_low": low, f"{name}_high": high}
        verdicts = against_retain.loc[against_retain["method"] == method, "verdict"]
        tested = against_retain.loc[against_retain["method"] == method, "p"].notna().any()
        is_unlearned = i in unlearned and tested  # a single person has no p-values
        extent = reached.get(method)
        ks, ks_p = forget_quality(ratios[method].to_numpy(), ratios["retain"].to_numpy(), ratios["person"].to_numpy())
        yield row | {
            "p_against_best": p_values.get(i, np.nan),
            "utility_kept": utility_kept[0, i],
            "destroyed": extent.destroyed if extent else None,
            "hardly_begun": extent.hardly_begun if extent else None,
            "utility_of_vanilla": extent.utility_of_vanilla if extent else np.nan,
            "points_below_vanilla": extent.points_below_vanilla if extent else np.nan,
            "still_known": int((verdicts == "higher").sum()) if is_unlearned else None,
            "over_unlearned": int((verdicts == "lower").sum()) if is_unlearned else None,
            "truth_ratio": ratios[method].mean(),
            "ks": ks,
            "ks_p": ks_p,
        }
