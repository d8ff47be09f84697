"""A few numbers a method: how well it forgot, what it kept, and both in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from unsee.results.differences import BASELINES, FORGOTTEN, holm, wide
from unsee.results.forget_quality import forget_quality

KEPT = ("retain", "celebrity")
#: What the table shows: (task, metric).
SHOWN = (("classification", "accuracy"), ("generation", "rouge_l"), ("cloze", "accuracy"))
#: What utility is made of.
UTILITY = (("classification", "probability"), ("classification", "truth"), ("generation", "rouge_l"))
COLUMNS = [
    *("model", "forget_percent", "method"),
    *("combined", "combined_low", "combined_high", "p_to_best"),
    *("forgetting", "forgetting_low", "forgetting_high"),
    *("utility", "utility_low", "utility_high", "utility_kept"),
    *("still_known", "over_unlearned", "truth_ratio", "ks", "ks_p"),
]
NOTE = """\
`combined` (0 to 1) is the harmonic mean of `forgetting` and `utility_kept`: 1 for a model that cannot be told from the
retain-only one, 0 for one that forgot nothing or kept nothing. `p_to_best`: p-value of being as good as the best method,
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
        items: as :func:`unsee.results.scores.gather` gives them, with ``vanilla`` and ``retain``.
        differences: as :func:`unsee.results.differences.differences` gives them.
        methods: in the order of the rows, after ``vanilla`` and ``retain``; others stand behind.

    Raises:
        ValueError: a method that was not asked what another was.
    """
    order = list(dict.fromkeys([*BASELINES, *methods, *items["method"].unique()]))
    rows = [row for place in wide(items) for row in _place(*place, differences, order)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"still_known": "Int64", "over_unlearned": "Int64"})


def to_markdown(table: pd.DataFrame) -> str:
    """The table to read, with its definitions."""
    shown = table[[name for name in COLUMNS if not name.endswith(("_low", "_high"))]].copy()
    for name in ("combined", "forgetting", "utility"):
        ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        shown[name] = [f"{v:.2f}" if np.isnan(low) else f"{v:.2f} ({low:.2f} to {high:.2f})" for v, low, high in ends]
    shown = shown.astype(object).where(shown.notna(), None)
    return f"{NOTE}\n{shown.to_markdown(index=False, floatfmt='.3f', missingval='–')}\n"


@dataclass(frozen=True)
class _Sums:
    """Sums and counts of values by person, so that a person can be left out: (people, cells, methods), (people, cells)."""

    sums: np.ndarray
    counts: np.ndarray

    def means(self) -> np.ndarray:
        """(1 + people, cells, methods): of everybody, then without each person in turn."""
        sums, counts = self.sums.sum(axis=0), self.counts.sum(axis=0)[:, None]
        with np.errstate(invalid="ignore"):  # a cell of a single person
            without = (sums - self.sums) / (counts - self.counts[:, :, None])
        return np.concatenate([(sums / counts)[None], without])


def _sums(table: pd.DataFrame, methods: Sequence[str], n_people: int) -> _Sums:
    cells = table.groupby(["set", "modality", "task", "metric"], observed=True).ngroup().to_numpy()
    people = table["person"].to_numpy()
    values = table[list(methods)].to_numpy(dtype=float)
    sums = np.zeros((n_people, cells.max() + 1, len(methods)))
    counts = np.zeros((n_people, cells.max() + 1))
    np.add.at(sums, (people, cells), values)
    np.add.at(counts, (people, cells), 1)
    return _Sums(sums, counts)


def _place(
    model: str, percent: int, table: pd.DataFrame, differences: pd.DataFrame, order: Sequence[str]
) -> Iterator[dict[str, object]]:
    methods = [name for name in order if name in table]
    table = _with_truth(table, methods)
    n_people = int(table["person"].max()) + 1
    of_forgotten = table[_is(table, FORGOTTEN, SHOWN)]
    forget = _sums(of_forgotten, methods, n_people)
    kept = _sums(table[_is(table, KEPT, UTILITY)], methods, n_people)
    groups = np.select(
        [
            np.isin(np.arange(n_people), of_forgotten["person"]),
            np.isin(np.arange(n_people), table.loc[table["set"] == "celebrity", "person"]),
        ],
        [0, 1],
        2,
    )
    retain, vanilla = methods.index("retain"), methods.index("vanilla")
    forgetting = _forgetting(forget.means(), vanilla, retain)
    utility = _harmonic(kept.means())
    utility_kept = np.minimum(1.0, _ratio(utility, utility[:, [retain]]))
    combined = _harmonic(np.stack([forgetting, utility_kept], axis=1))

    own = [i for i, name in enumerate(methods) if name not in BASELINES]
    to_best = _to_best(combined, own, groups)
    here = differences[
        (differences["model"].astype(str) == model)
        & (differences["forget_percent"] == percent)
        & (differences["against"] == "retain")
        & _is(differences, FORGOTTEN, SHOWN)
    ]
    ratios = table[(table["set"] == "forget") & (table["metric"] == "truth_ratio")]
    for i, method in enumerate(methods):
        row: dict[str, object] = {"model": model, "forget_percent": percent, "method": method}
        for name, values in (("combined", combined), ("forgetting", forgetting), ("utility", utility)):
            row[name], (row[f"{name}_low"], row[f"{name}_high"]) = values[0, i], _interval(values[:, i], groups)
        verdicts = here.loc[here["method"] == method, "verdict"]
        known = method not in BASELINES
        ks, ks_p = forget_quality(ratios[method].to_numpy(), ratios["retain"].to_numpy(), ratios["person"].to_numpy())
        yield row | {
            "p_to_best": to_best.get(i, np.nan),
            "utility_kept": utility_kept[0, i],
            "still_known": int((verdicts == "higher").sum()) if known else None,
            "over_unlearned": int((verdicts == "lower").sum()) if known else None,
            "truth_ratio": ratios[method].mean(),
            "ks": ks,
            "ks_p": ks_p,
        }


def _is(table: pd.DataFrame, sets: Sequence[str], kinds: Sequence[tuple[str, str]]) -> pd.Series:
    chosen = table["task"].astype(str) + "/" + table["metric"].astype(str)
    return table["set"].isin(sets) & chosen.isin([f"{task}/{metric}" for task, metric in kinds])


def _with_truth(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The table and, as metric ``truth``, max(0, 1 - R) of every truth ratio R / (1 + R)."""
    ratios = table[table["metric"] == "truth_ratio"].astype({"metric": str})
    values = ratios[list(methods)].to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        ratios[list(methods)] = np.maximum(0.0, 1 - values / (1 - values))
    return pd.concat([table.astype({"metric": str}), ratios.assign(metric="truth")], ignore_index=True)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Their ratio; 0 where there is nothing to compare with."""
    out = np.zeros(np.broadcast(above, below).shape)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _forgetting(means: np.ndarray, vanilla: int, retain: int) -> np.ndarray:
    """(1 + people, methods), from cell means (1 + people, cells, methods)."""
    distance = np.abs(means - means[:, :, [retain]]).sum(axis=1)
    return np.asarray(np.maximum(0.0, 1 - _ratio(distance, distance[:, [vanilla]])))


def _harmonic(parts: np.ndarray) -> np.ndarray:
    """Harmonic mean over axis 1; 0 where a part is."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (1 / parts).mean(axis=1))


def _jackknife(values: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Standard error of a statistic, and degrees of freedom: those of the smallest group, who are those to forget.

    Args:
        values: (1 + people,) the statistic of everybody, then without each person.
        groups: (people,) the stratum of each: to forget, celebrity, others.
    """
    variance, sizes = 0.0, []
    for group in np.unique(groups):
        part = values[1:][groups == group]
        sizes.append(len(part))
        variance += (len(part) - 1) / len(part) * float(((part - part.mean()) ** 2).sum())
    return float(np.sqrt(variance)), min(sizes) - 1


def _interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    error, degrees = _jackknife(values, groups)
    if degrees < 1 or np.isnan(error):
        return float("nan"), float("nan")
    half = float(stdtrit(degrees, 0.975)) * error
    return float(values[0]) - half, float(values[0]) + half


def _to_best(combined: np.ndarray, own: Sequence[int], groups: np.ndarray) -> dict[int, float]:
    """Holm-corrected p-value of each method's combined score against the best method's."""
    if len(own) < 2:
        return {}
    best = max(own, key=lambda i: combined[0, i])
    others = [i for i in own if i != best]
    p = []
    for i in others:
        gap = combined[:, best] - combined[:, i]
        error, degrees = _jackknife(gap, groups)
        if degrees < 1 or not error > 0:
            p.append(1.0 if degrees >= 1 and gap[0] == 0 else float("nan"))
        else:
            p.append(float(2 * stdtr(degrees, -gap[0] / error)))
    return dict(zip(others, holm(np.array(p)).tolist(), strict=True))
