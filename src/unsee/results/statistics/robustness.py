"""Does it stay forgotten? What attacks bring back, beyond what they give a model that never met the people.

An attack changes the score of any model: training on a few facts teaches them to a model that never knew them, and a blurred picture
harms every model. So a method's gain is compared with the retain-only model's gain from the same attack, question by question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import MODALITIES, SETS
from unsee.results.columns import FORGOTTEN, SCORE, in_order, is_metric, metric_of, table_metrics
from unsee.results.statistics import alike
from unsee.results.statistics.attacked import STATE, AttackedRun, State, states_of
from unsee.results.statistics.differences import LEVEL, holm, one_column_per_method
from unsee.results.statistics.intervals import Interval, clustered_interval

COLUMNS = [
    *("model", "forget_percent", "method", "sees", *STATE, *SCORE, "before", "after", "gain", "gain_low", "gain_high"),
    *("excess", "excess_low", "excess_high", "p", "p_holm", "detectable", "verdict"),
    *("ahead_before", "ahead_before_low", "ahead_before_high", "ahead_after", "ahead_after_low", "ahead_after_high"),
    *("recovery", "utility_kept", "destroyed", "n_questions", "n_people"),
]
#: What stands in the columns of :data:`SCORE` in the rows of the combined score.
COMBINED = ("all", "all", "all", "combined")
#: Models that are shown as controls. They are not judged.
CONTROLS = ("vanilla", "retain")
#: What a verdict is made of besides p-values: whether vanilla is clear of the retain-only model without the attack, whether a model
#: is under it, the excess, above 0 for a model that knows more, and whether the model or its control has diverged.
_FINDINGS = ("_something", "_ahead", "_rise", "_diverged")


def robustness(
    items: pd.DataFrame,
    attacked: Mapping[AttackedRun, pd.DataFrame],
    summary: pd.DataFrame,
    share: float,
    *,
    methods: Sequence[str] = (),
    attacks: Sequence[str] = (),
    sees: alike.Sees | None = None,
) -> pd.DataFrame:
    """Compare each method's gain from each attack with the retain-only model's; :data:`unsee.results.tables.robustness.NOTE` defines
    the columns.

    Args:
        items: one row for each run, question and metric, not attacked, see :func:`unsee.results.tables.scores.gather`.
        attacked: the scores of each attacked model, see
            :func:`unsee.results.statistics.attacked.score_attacked`. Each has all models and seeds of its ratio.
        summary: ``method``, ``forget_percent`` and ``utility`` of each model, see :func:`unsee.results.tables.summary.summary`.
        share: of vanilla's utility, 0 to 1, below which a method is destroyed.
        methods: the entries of the configuration's ``methods``, in order.
        attacks: the entries of the configuration's ``attacks``, in order.
        sees: what each method sees.

    Returns:
        One row for each ratio, attack, state, model and score of the results table, the combined score first, with :data:`COLUMNS`.
        Numbers are in the metric's unit; the combined score is 0 to 1.

    Raises:
        ValueError: a model under an attack has not answered the questions that the other models answered, or one that was not
            asked without the attack.
    """
    items = items.astype({"method": str})
    items = items[items["set"].isin(FORGOTTEN) & (items["method"] != "base")]
    items = items[is_metric(items, [(metric.task, metric.name) for metric in table_metrics()])]
    rows: list[dict[str, object]] = []
    for model, percent, before in one_column_per_method(items):
        of_ratio = {run: scores for run, scores in attacked.items() if run.percent == percent}
        order = in_order([name for name in items["method"].unique() if name in before], methods)
        kept, seen = _utility_kept(summary, model, percent), alike.at_ratio(sees or {}, order, percent)
        names = {run.attack for run in of_ratio}
        for attack in [*(name for name in attacks if name in names), *sorted(names.difference(attacks))]:
            for state in states_of(attack, before, of_ratio, order):
                keys = {"model": model, "forget_percent": percent, **state.keys}
                rows += [
                    keys | row | {"utility_kept": kept[str(row["method"])], "sees": seen[str(row["method"])]}
                    for cell in _cells(state)
                    for row in _compare(cell)
                ]
    computed = ("p_holm", "verdict", "destroyed")
    table = pd.DataFrame(rows, columns=[*(name for name in COLUMNS if name not in computed), *_FINDINGS])
    table["destroyed"] = ~table["method"].isin(CONTROLS) & (table["utility_kept"] < share)
    return _with_verdicts(table)[COLUMNS]


def influence(values: np.ndarray, cells: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Values whose mean is the combined score, and whose spread over people is that of the combined score.

    The combined score m is the mean over tasks of the mean over a task's cells of the mean of a cell's values:
    m = sum_i w_i x_i with w_i = 1 / (tasks * cells of the task * values of the cell). Its linearisation gives value i the influence
    m + n w_i (x_i - mean of its cell), so that an interval of their mean is one of m.
    (Särndal, Swensson and Wretman, "Model Assisted Survey Sampling", 1992, section 5.5, on linearised statistics,
    https://doi.org/10.1007/978-1-4612-4378-6).

    Args:
        values: (n,) values.
        cells: (n,) the number of each value's cell, from 0, without gaps.
        tasks: (cells,) the number of each cell's task, from 0, without gaps.

    Returns:
        (n,) values.
    """
    counts = np.bincount(cells)
    means = np.bincount(cells, weights=values) / counts
    weights = 1 / (len(np.unique(tasks)) * np.bincount(tasks)[tasks])
    deviations = values - means[cells]
    deviations[np.abs(deviations) < 1e-12] = 0.0  # equal values, up to rounding of their mean
    total = float(weights @ means)
    return np.asarray(total + len(values) * (weights / counts)[cells] * deviations)


@dataclass(frozen=True)
class _Cell:
    """One score in one state.

    Attributes:
        score: the columns of :data:`SCORE`.
        sign: 1 if a model that knows more has a higher value, -1 if a lower one.
        questions: as in :class:`State`.
        before, after: by model, in the metric's unit; for the combined score see :func:`influence`.
        diverged: as in :class:`State`.
    """

    score: tuple[str, ...]
    sign: float
    questions: pd.DataFrame
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    diverged: frozenset[str]

    def interval(self, values: np.ndarray) -> Interval:
        return clustered_interval(values, self.questions["person"].to_numpy(), seeds=self.questions["seed"].to_numpy())


def _utility_kept(summary: pd.DataFrame, model: str, percent: int) -> dict[str, float]:
    """Each model's share of vanilla's utility, without an attack."""
    rows = summary[(summary["model"].astype(str) == model) & (summary["forget_percent"] == percent)]
    utility = rows.set_index("method")["utility"]
    of_vanilla = float(utility["vanilla"])
    return {str(name): value / of_vanilla if of_vanilla > 0 else float("nan") for name, value in utility.items()}


def _cells(state: State) -> Iterator[_Cell]:
    """The combined score and then every score of a state."""
    groups = {
        tuple(map(str, score)): part.index.to_numpy()
        for score, part in state.questions.groupby(list(SCORE), observed=True)
    }
    metrics = [(metric.task, metric.name) for metric in table_metrics()]

    def place(score: tuple[str, ...]) -> tuple[int, ...]:
        return SETS.index(score[0]), MODALITIES.index(score[1]), metrics.index((score[2], score[3]))

    scores = sorted(groups, key=place)
    cells = np.empty(len(state.questions), dtype=int)
    for i, score in enumerate(scores):
        cells[groups[score]] = i
    tasks = np.unique([score[2] for score in scores], return_inverse=True)[1]
    rises = np.array([metric_of(score[2], score[3]).higher_is_better for score in scores])[cells]

    def combined(values: pd.DataFrame) -> dict[str, np.ndarray]:
        return {str(name): influence(np.where(rises, values[name], 1 - values[name]), cells, tasks) for name in values}

    yield _Cell(COMBINED, 1.0, state.questions, combined(state.before), combined(state.after), state.diverged)
    for score in scores:
        metric, at = metric_of(score[2], score[3]), groups[score]
        before, after = (
            {str(name): values[name].to_numpy()[at] * metric.scale for name in values}
            for values in (state.before, state.after)
        )
        sign = 1.0 if metric.higher_is_better else -1.0
        yield _Cell(score, sign, state.questions.iloc[at], before, after, state.diverged)


def _compare(cell: _Cell) -> Iterator[dict[str, object]]:
    """The row of each model."""
    nothing = float("nan")
    gain_of_retain = cell.after["retain"] - cell.before["retain"]
    something = _clear(cell.interval(cell.before["vanilla"] - cell.before["retain"]), cell.sign)
    for method in cell.before:
        before, after = cell.before[method], cell.after[method]
        row: dict[str, object] = {
            "method": method,
            **dict(zip(SCORE, cell.score, strict=True)),
            "before": float(before.mean()),
            "n_questions": cell.questions["question_id"].nunique(),
            "n_people": cell.questions["person"].nunique(),
            "_something": something,
        }
        if method in cell.diverged:
            yield row | {"_diverged": "diverged"}
            continue
        row |= {"after": float(after.mean()), **_with_ends("gain", cell.interval(after - before))}
        if method == "retain" or "retain" in cell.diverged:
            yield row | {"_diverged": "" if method == "retain" else "control diverged"}
            continue
        excess = cell.interval(after - before - gain_of_retain)
        ahead_before, ahead_after = (
            cell.interval(values[method] - values["retain"]) for values in (cell.before, cell.after)
        )
        taken = cell.interval(cell.before["vanilla"] - before)
        row |= {
            **_with_ends("excess", excess),
            **{"p": excess.p_value, "detectable": excess.detectable()},
            **_with_ends("ahead_before", ahead_before),
            **_with_ends("ahead_after", ahead_after),
            "recovery": excess.mean / taken.mean if something and _clear(taken, cell.sign) else nothing,
            "_rise": cell.sign * excess.mean,
            "_ahead": _clear(ahead_after, cell.sign),
        }
        yield row


def _with_ends(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _clear(interval: Interval, sign: float) -> bool:
    """Whether the whole interval is on the side of a model that knows more."""
    return bool((interval.low if sign > 0 else -interval.high) > 0)


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``p_holm`` and ``verdict``."""
    control = table["method"].isin(CONTROLS)
    judged = ~control & ~table["destroyed"]
    # The last steps of all variants are one family, whatever their numbers.
    step = table["step"].where(~table["last"], -1)
    family = [table[name] for name in ("model", "forget_percent", "attack", *SCORE)]
    p = table["p"].astype(float).where(judged)
    table["p_holm"] = p.groupby([*family, step], sort=False).transform(lambda part: holm(part.to_numpy()))
    clear = table["p_holm"] < LEVEL
    rise, ahead = table["_rise"].astype(float), table["_ahead"].fillna(False).astype(bool)
    diverged = table["_diverged"].fillna("")
    table["verdict"] = np.select(
        [
            diverged == "diverged",
            control,
            diverged == "control diverged",
            ~table["_something"].astype(bool),
            table["destroyed"],
            clear & (rise > 0) & ahead,
            clear & (rise > 0),
            clear,
        ],
        ["diverged", "control", "control diverged", "nothing to forget", "destroyed", "recovers", "returns", "falls"],
        "unclear",
    )
    return table
