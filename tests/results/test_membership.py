"""The membership table: AUC and TPR against other implementations, intervals by recomputing and by simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, t

from unsee.membership.scores import SCORES
from unsee.results.statistics.membership import Pairs, auc, interval, tpr, tpr_interval
from unsee.results.tables import membership
from unsee.results.tables.membership_latex import to_latex


def draw(
    random: np.random.Generator, people: int, unmet: int, each: int, *, shift: float = 0, ties: bool = False
) -> Pairs:
    """Scores with an effect of the person; rounded, they tie."""

    def scores(n: int, by: float) -> np.ndarray:
        values = random.normal(by, 1, (n, 1)) + random.normal(0, 1, (n, each))
        return np.round(values).ravel() if ties else values.ravel()

    number = [np.repeat(np.arange(n), each) for n in (people, unmet)]
    return Pairs(scores(people, shift), scores(unmet, 0), *number)


def without(pairs: Pairs, person: int, stratum: int) -> Pairs:
    keep = [pairs.people != person, np.ones(len(pairs.unmet), bool)]
    if stratum:
        keep = [np.ones(len(pairs.people), bool), pairs.unmet != person]
    return Pairs(pairs.members[keep[0]], pairs.strangers[keep[1]], pairs.people[keep[0]], pairs.unmet[keep[1]])


def mann_whitney(pairs: Pairs) -> float:
    u = mannwhitneyu(pairs.members, pairs.strangers).statistic
    return float(u / len(pairs.members) / len(pairs.strangers))


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_mann_whitneys_with_everybody_and_without_each_person(ties: bool) -> None:
    pairs = draw(np.random.default_rng(0), 4, 7, 5, shift=0.7, ties=ties)
    values = auc(pairs)
    assert values[0] == pytest.approx(mann_whitney(pairs))
    left_out = [(i, 0) for i in range(4)] + [(i, 1) for i in range(7)]
    assert values[1:] == pytest.approx([mann_whitney(without(pairs, *person)) for person in left_out])
    assert pairs.strata.tolist() == [0] * 4 + [1] * 7


def test_the_interval_is_the_jackknifes() -> None:
    pairs = draw(np.random.default_rng(1), 5, 9, 3, shift=1)
    values, estimate = auc(pairs), interval(auc(pairs), pairs.strata)
    parts = values[1:6], values[6:]
    error = np.sqrt(sum((len(part) - 1) ** 2 / len(part) * part.var(ddof=1) for part in parts))
    assert estimate.standard_error == pytest.approx(error)
    assert (estimate.low, estimate.high) == pytest.approx(t.interval(0.95, 4, values[0], error))
    assert estimate.p_value == pytest.approx(2 * t.sf(values[0] / error, 4))


def test_one_forgotten_person_gives_no_interval() -> None:
    pairs = draw(np.random.default_rng(1), 1, 9, 30)
    estimate = interval(auc(pairs), pairs.strata)
    assert estimate.mean == pytest.approx(mann_whitney(pairs))
    assert np.isnan([estimate.low, estimate.high, estimate.p_value, *tpr_interval(pairs)]).all()


def test_the_interval_covers_half_where_members_are_no_different() -> None:
    """Naively, with 17 pairs of a person taken as independent, the interval covers in six of ten cases."""
    random, covered, n = np.random.default_rng(2), 0, 400
    for _ in range(n):
        pairs = draw(random, 10, 30, 17)
        estimate = interval(auc(pairs), pairs.strata)
        covered += estimate.low <= 0.5 <= estimate.high
    assert 0.92 <= covered / n <= 0.99


def brute_force_tpr(pairs: Pairs, false_positives: float) -> float:
    """The best of all thresholds."""
    thresholds = [np.inf, *pairs.members, *pairs.strangers, -np.inf]
    allowed = [at for at in thresholds if (pairs.strangers > at).mean() <= false_positives]
    return max(float((pairs.members > at).mean()) for at in allowed)


@pytest.mark.parametrize(("ties", "share"), [(False, 0.01), (True, 0.01), (False, 0.2), (True, 0.35)])
def test_tpr_is_that_of_the_best_threshold(ties: bool, share: float) -> None:
    pairs = draw(np.random.default_rng(3), 6, 20, 10, shift=2, ties=ties)
    assert tpr(pairs, share) == pytest.approx(brute_force_tpr(pairs, share))
    assert 0 < tpr(pairs, share) < 1


def test_tpr_needs_a_hundred_pairs_of_strangers() -> None:
    random = np.random.default_rng(4)
    assert np.isnan(tpr(draw(random, 5, 9, 11))) and np.isnan(tpr_interval(draw(random, 5, 9, 11))).all()
    assert tpr(draw(random, 5, 10, 10, shift=50)) == 1


def test_the_interval_of_tpr_draws_people() -> None:
    """All pairs of three of four people are above every stranger's: drawn anew, the share is k / 4 with binomial k."""
    members = np.repeat([9.0, 9.0, 9.0, -9.0], 10)
    pairs = Pairs(members, np.linspace(0, 1, 200), np.repeat(np.arange(4), 10), np.repeat(np.arange(20), 10))
    assert tpr(pairs) == 0.75
    assert tpr_interval(pairs) == (0.25, 1.0)


# The table


def run(shift: float, seed: int = 0, people: tuple[str, ...] = ("a", "b", "c", "d")) -> pd.DataFrame:
    """A run's membership.parquet: the forgotten people's pairs are higher by ``shift``."""
    random = np.random.default_rng(seed)
    rows = [
        {"pair_id": f"{person}/{i:02d}", "person_id": person, "stranger": person.startswith("s"), "n_tokens": 3}
        | {"modality": "image" if i % 2 else "text"}
        | {name: random.normal() + shift * (not person.startswith("s")) for name in SCORES}
        for person in [*people, *(f"s{i}" for i in range(12))]
        for i in range(10)
    ]
    return pd.DataFrame(rows)


RUNS = {
    (0, "vanilla", 0): run(3, 1, people=("a", "b", "c", "d", "e")),
    (0, "base", 0): run(0, 2, people=("a", "b", "c", "d", "e")),
    (10, "retain", 0): run(0, 3),
    (10, "npo", 0): run(3, 4),
    (10, "ga", 0): run(0, 5),
    (20, "retain", 0): run(0, 6, people=("d", "e")),
}
FORGOTTEN = {10: ["a", "b", "c", "d"], 20: ["d", "e"]}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return membership.membership(RUNS, FORGOTTEN, "tiny", ["ga", "npo"])


def test_the_rows_are_ratios_methods_selections_and_scores(table: pd.DataFrame) -> None:
    assert list(table.columns) == membership.COLUMNS
    at_ten = table[table["forget_percent"] == 10]
    assert at_ten["method"].drop_duplicates().tolist() == ["base", "vanilla", "retain", "ga", "npo"]
    assert len(at_ten) == 5 * 3 * len(SCORES) and set(table["model"]) == {"tiny"}
    assert table.loc[table["forget_percent"] == 20, "method"].drop_duplicates().tolist() == [
        "base",
        "vanilla",
        "retain",
    ]


def test_a_row_is_of_the_people_of_its_ratio_and_of_its_modality(table: pd.DataFrame) -> None:
    scored = RUNS[0, "vanilla", 0]
    for percent, modality in ((10, "both"), (20, "image"), (20, "text")):
        row = table.query(
            "forget_percent == @percent and method == 'vanilla' and modality == @modality and score == 'min_k'"
        ).iloc[0]
        part = scored if modality == "both" else scored[scored["modality"] == modality]
        members = part.loc[part["person_id"].isin(FORGOTTEN[percent]), "min_k"]
        strangers = part.loc[part["stranger"], "min_k"]
        u = mannwhitneyu(members, strangers).statistic
        assert row["auc"] == pytest.approx(u / len(members) / len(strangers))
        assert (row["mean_forgotten"], row["mean_strangers"]) == pytest.approx((members.mean(), strangers.mean()))
        assert (row["n_people"], row["n_strangers"]) == (len(FORGOTTEN[percent]), 12)
        assert (row["n_pairs"], row["n_stranger_pairs"]) == (len(members), len(strangers))


def test_differences_are_to_the_retain_only_model_and_to_vanilla(table: pd.DataFrame) -> None:
    rows = table.query("forget_percent == 10 and modality == 'both' and score == 'loss'").set_index("method")
    assert rows.loc["npo", "minus_retain"] == pytest.approx(rows.loc["npo", "auc"] - rows.loc["retain", "auc"])
    assert rows["minus_retain_verdict"].dropna().to_dict() == {
        "base": "unclear",
        "vanilla": "higher",
        "ga": "unclear",
        "npo": "higher",
    }
    assert rows.loc["ga", "minus_vanilla_verdict"] == "lower" and np.isnan(rows.loc["vanilla", "minus_vanilla"])
    # Two methods: the smaller p-value is doubled, the larger is not. The reference models are corrected alone.
    alone = membership.membership({k: v for k, v in RUNS.items() if k[1] != "ga"}, FORGOTTEN, "tiny")
    alone = alone.query("forget_percent == 10 and modality == 'both' and score == 'loss'").set_index("method")
    assert rows.loc["npo", "minus_retain_p_holm"] == pytest.approx(2 * alone.loc["npo", "minus_retain_p_holm"])
    assert rows.loc["base", "minus_retain_p_holm"] == pytest.approx(alone.loc["base", "minus_retain_p_holm"])


def test_seeds_are_averaged() -> None:
    runs = RUNS | {(10, "npo", 1): run(0, 9)}
    rows = membership.membership(runs, {10: FORGOTTEN[10]}, "tiny").query("method == 'npo' and modality == 'both'")
    row = rows[rows["score"] == "zlib"].iloc[0]
    each = [
        mannwhitneyu(part.loc[~part["stranger"], "zlib"], part.loc[part["stranger"], "zlib"]).statistic / 40 / 120
        for part in (runs[10, "npo", 0], runs[10, "npo", 1])
    ]
    assert row["auc"] == pytest.approx(np.mean(each)) and row["n_seeds"] == 2


def test_runs_of_other_pairs_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"\(10, 'ga', 0\) and \(0, 'vanilla', 0\) differ in 10 pairs, the first 'd/00'"
    ):
        membership.membership(RUNS | {(10, "ga", 0): run(0, people=("a", "b", "c"))}, FORGOTTEN, "tiny")


def test_the_sentences_and_the_files(table: pd.DataFrame, tmp_path: Path) -> None:
    lines = membership.sentences(table)
    assert lines[0].startswith(
        "At 10 %: 40 pairs of 4 forgotten people, 120 of 12 strangers. 1 % of these is 1 pair, so `tpr`"
    )
    assert any(line.startswith("vanilla at 10 %: LOSS ") and "in 6 of 6 scores" in line for line in lines)
    (loss,) = (line for line in lines if line.startswith("LOSS at 10 %"))
    npo = table.query("forget_percent == 10 and method == 'npo' and modality == 'both' and score == 'loss'").iloc[0]
    assert f"members still show, above the retain-only model: npo ({npo['auc']:.2f})" in loss
    assert "no difference is shown: ga" in loss
    few = {key: part.groupby("person_id").head(5) for key, part in RUNS.items()}
    few_lines = membership.sentences(membership.membership(few, FORGOTTEN, "tiny"))
    assert "1 % of these is less than one pair, so there is no `tpr`; it takes 20 strangers." in few_lines[0]
    sees = {"ga": {10: "forget"}, "npo": {10: "forget, retain-only", 20: "forget"}}
    for folder in (tmp_path / "one", tmp_path / "two"):
        arguments: Any = {"runs": RUNS, "forgotten": FORGOTTEN, "model": "tiny", "methods": ["ga", "npo"], "sees": sees}
        membership.write(folder, **arguments, people_note="Three people are held out." * (folder.name == "one"))
    assert (tmp_path / "one/membership.csv").read_bytes() == (tmp_path / "two/membership.csv").read_bytes()
    rows = pd.read_csv(tmp_path / "one/membership.csv").set_index(["forget_percent", "method"])
    assert (
        set(rows.loc[(10, "npo"), "sees"]) == {"forget, retain-only"} and rows.loc[(10, "retain"), "sees"].isna().all()
    )
    assert (
        (tmp_path / "one/membership.md").read_text().startswith("Three people are held out.\n\nCan the training pairs")
    )
    assert (tmp_path / "one/membership.tex").read_text().startswith("% Three people are held out.\n% Needs booktabs.")
    page = (tmp_path / "two/membership.md").read_text()
    assert page.startswith("Can the training pairs of the forgotten people") and "- vanilla at 10 %:" in page
    assert len(pd.read_csv(tmp_path / "one/membership.csv")) == len(table)


def test_latex(table: pd.DataFrame) -> None:
    """A row for each model of each ratio; bold above the retain-only model, a dagger below it, and none for the references."""
    text = to_latex(table)
    assert (
        r"\begin{tabular}{lrrrrrr}" in text and text.count(r"\multicolumn{7}{l}") == table["forget_percent"].nunique()
    )
    both = table[(table["modality"] == "both") & (table["score"] == "loss")]
    lines = [line for line in text.splitlines() if line.endswith(r" \\") and not line.startswith((r"\multi", "Method"))]
    assert len(lines) == len(both)
    for line, row in zip(lines, both.sort_values("forget_percent", kind="stable").to_dict("records"), strict=True):
        first = line.split(" & ")[1]
        assert f"{row['auc']:.2f}" in first and f"[{row['auc_low']:.2f}, {row['auc_high']:.2f}]" in first
        judged = row["method"] in ("ga", "npo")
        assert ("mathbf" in first) == (judged and row["minus_retain_verdict"] == "higher")
        assert ("dagger" in first) == (judged and row["minus_retain_verdict"] == "lower")
    assert "mathbf" in text
