"""A few numbers a method: how well it forgot, what it kept, and both in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unsee.results.statistics import jackknife
from unsee.results.statistics.differences import BASELINES, FORGOTTEN, one_column_per_method
from unsee.results.statistics.forget_quality import forget_quality

COLUMNS = [
    *("model", "forget_percent", "method"),
    *("combined", "combined_low", "combined_high", "p_against_best"),
    *("forgetting", "forgetting_low", "forgetting_high"),
    *("utility", "utility_low", "utility_high", "utility_kept"),
    *("still_known", "over_unlearned", "truth_ratio", "ks", "ks_p"),
]
NOTE = """\
`combined` (0 to 1) is the harmonic mean of `forgetting` and `utility_kept`: 1 for a model that cannot be told from the
retain-only one, 0 for one that forgot nothing or kept nothing. `p_against_best`: p-value of being as good as the best method,
Holm-corrected over methods.
`forgetting` (0 to 1): 1 - sum |method - retain| / sum |vanilla - retain|, over classification, ROUGE-L and cloze in image and
text, of `forget` and `test`. Falling below the retain-only model counts against a method as much as staying above.
`utility` (0 to 1): harmonic mean, over `retain` and `celebrity` in image and text, of the right option's probability, of
1 - truth ratio R (0 where R > 1) and of ROUGE-L; 0 if any part collapses. `utility_kept` is its share of the retain-only
model's, at most 1.
`still_known` and `over_unlearned`: in how many of those cells of `forget` and `test` the method is above, or below, the retain-only
model by the paired test (Holm-corrected over methods); none of either is the aim, though few people show few differences.
`truth_ratio` (0 to 1) is R / (1 + R) on `forget`: 0 sure of the truth, 0.5 as sure of falsehoods. `ks` (0 to 1): largest gap between the
distributions of truth ratios of method and retain-only model; `ks_p` its p-value by permuting people: small says that they differ.
Intervals are 95 %, by leaving out one person at a time (jackknife); they know nothing of the spread between seeds.
"""


def summary(items: pd.DataFrame, differences: pd.DataFrame, methods: Sequence[str] = ()) -> pd.DataFrame:
    """summary.csv: one row a ratio and method; what the columns are is said in ``NOTE``.

    Args:
        items: as :func:`unsee.results.tables.scores.gather` gives them, with ``vanilla`` and ``retain``.
        differences: as :func:`unsee.results.statistics.differences.differences` gives them.
        methods: in the order of the rows, after ``vanilla`` and ``retain``; others stand behind.

    Raises:
        ValueError: a method that was not asked what another was.
    """
    order = list(dict.fromkeys([*BASELINES, *methods, *items["method"].unique()]))
    rows = [row for place in one_column_per_method(items) for row in _place(*place, differences, order)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"still_known": "Int64", "over_unlearned": "Int64"})


def to_markdown(table: pd.DataFrame) -> str:
    """The table to read, with its definitions."""
    shown = table[[name for name in COLUMNS if not name.endswith(("_low", "_high"))]].copy()
    for name in ("combined", "forgetting", "utility"):
        ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        shown[name] = [f"{v:.2f}" if np.isnan(low) else f"{v:.2f} ({low:.2f} to {high:.2f})" for v, low, high in ends]
    shown = shown.astype(object).where(shown.notna(), None)
    return f"{NOTE}\n{shown.to_markdown(index=False, floatfmt='.3f', missingval='–')}\n"


def _place(
    model: str, percent: int, table: pd.DataFrame, differences: pd.DataFrame, order: Sequence[str]
) -> Iterator[dict[str, object]]:
    methods = [name for name in order if name in table]
    found = jackknife.measure(table, methods)
    kept = found.utility[:, [methods.index("retain")]]
    utility_kept = np.minimum(1.0, jackknife.ratio(found.utility, kept))
    combined = jackknife.harmonic(np.stack([found.forgetting, utility_kept], axis=1))

    own = [i for i, name in enumerate(methods) if name not in BASELINES]
    p_against_best = jackknife.p_against_best(combined, own, found.groups)
    here = differences[
        (differences["model"].astype(str) == model)
        & (differences["forget_percent"] == percent)
        & (differences["against"] == "retain")
        & jackknife.chosen(differences, FORGOTTEN, jackknife.SHOWN)
    ]
    ratios = table[(table["set"] == "forget") & (table["metric"] == "truth_ratio")]
    for i, method in enumerate(methods):
        row: dict[str, object] = {"model": model, "forget_percent": percent, "method": method}
        for name, values in (("combined", combined), ("forgetting", found.forgetting), ("utility", found.utility)):
            ends = jackknife.interval(values[:, i], found.groups)
            row[name], (row[f"{name}_low"], row[f"{name}_high"]) = values[0, i], ends
        verdicts = here.loc[here["method"] == method, "verdict"]
        known = method not in BASELINES
        ks, ks_p = forget_quality(ratios[method].to_numpy(), ratios["retain"].to_numpy(), ratios["person"].to_numpy())
        yield row | {
            "p_against_best": p_against_best.get(i, np.nan),
            "utility_kept": utility_kept[0, i],
            "still_known": int((verdicts == "higher").sum()) if known else None,
            "over_unlearned": int((verdicts == "lower").sum()) if known else None,
            "truth_ratio": ratios[method].mean(),
            "ks": ks,
            "ks_p": ks_p,
        }
