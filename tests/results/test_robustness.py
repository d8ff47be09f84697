"""Gain, excess and verdicts: by hand, against other formulas, and by simulation where nothing was hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formulas
from statsmodels.stats.multitest import multipletests

from tests.results.attacked import Values, joined, scored, summary_of
from unsee.results.statistics.attacked import AttackedRun, score_attacked
from unsee.results.statistics.intervals import clustered_interval
from unsee.results.statistics.robustness import COLUMNS, COMBINED, influence, robustness

PEOPLE = list("abcdefgh")
EQUAL = summary_of(vanilla=0.5, retain=0.5, ga=0.5, npo=0.5, hides=0.5)
KNOWS: Values = {person: ([1, 1], [1, 1]) for person in PEOPLE}
NEVER_MET: Values = {person: ([0, 0], [0, 0]) for person in PEOPLE}


def row_of(table: pd.DataFrame, method: str, metric: str = "accuracy", **values: Any) -> dict[str, Any]:
    """The only row with these values."""
    here = (table["method"] == method) & (table["metric"] == metric)
    for name, value in values.items():
        here &= table[name] == value
    (row,) = table[here].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_gain_and_excess_by_hand() -> None:
    """Gains by person (1, 1), (1, 0), (1, 1) against none: mean 5/6, standard error 1/6; 4.302653 and 1.060660 with 2 degrees."""
    people = "abc"
    models = {
        "vanilla": {p: ([1, 1], [1, 1]) for p in people},
        "retain": {p: ([0, 0], [0, 0]) for p in people},
        "ga": {"a": ([0, 0], [1, 1]), "b": ([0, 0], [1, 0]), "c": ([0, 0], [1, 1])},
    }
    table = robustness(*scored(models), EQUAL, 0.8)
    assert table.columns.tolist() == COLUMNS
    row = row_of(table, "ga")
    ends = ((5 - 4.302653) * 100 / 6, (5 + 4.302653) * 100 / 6)
    assert (row["before"], row["after"], row["gain"], row["excess"]) == pytest.approx((0, 500 / 6, 500 / 6, 500 / 6))
    assert (row["gain_low"], row["gain_high"]) == pytest.approx(ends, abs=1e-4)
    assert (row["excess_low"], row["excess_high"]) == pytest.approx(ends, abs=1e-4)
    assert row["detectable"] == pytest.approx((4.302653 + 1.060660) * 100 / 6, abs=1e-4)
    # t = 5 with 2 degrees of freedom: p = 1 - 5 / sqrt(27).
    assert row["p"] == row["p_holm"] == pytest.approx(1 - 5 / np.sqrt(27))
    assert row["recovery"] == pytest.approx(5 / 6)
    assert (row["verdict"], row["n_questions"], row["n_people"]) == ("recovers", 6, 3)
    # One score is its own mean: the combined row is the same, 0 to 1.
    whole = row_of(table, "ga", "combined")
    assert (whole["excess"], whole["excess_low"]) == pytest.approx((5 / 6, ends[0] / 100), abs=1e-6)
    assert (whole["p"], whole["verdict"]) == (pytest.approx(row["p"]), "recovers")


def test_what_the_retain_only_model_gains_is_not_excess() -> None:
    """Both learn four of six questions from the attack, the method two more."""
    after = {"a": [1, 1], "b": [1, 0], "c": [1, 0], "d": [0, 0]}
    more = {"a": [1, 1], "b": [1, 1], "c": [1, 1], "d": [0, 0]}
    models = {
        "vanilla": {p: ([1, 1], [1, 1]) for p in after},
        "retain": {p: ([0, 0], values) for p, values in after.items()},
        "ga": {p: ([0, 0], values) for p, values in more.items()},
    }
    table = robustness(*scored(models), EQUAL, 0.8)
    ga, retain, vanilla = (row_of(table, name) for name in ("ga", "retain", "vanilla"))
    assert (ga["gain"], retain["gain"], ga["excess"]) == pytest.approx((75, 50, 25))
    # Excess by person 0, 1, 1, 0 of two questions each: sums of deviations -1/2, 1/2, 1/2, -1/2.
    error = 100 * np.sqrt(4 / 3 * 4 * 0.25) / 8
    assert ga["excess_high"] == pytest.approx(25 + 3.182446 * error, abs=1e-4)
    assert (ga["ahead_before"], ga["ahead_after"]) == pytest.approx((0, 25))
    assert ga["verdict"] == "unclear"
    assert np.isnan([retain["excess"], retain["p"], retain["ahead_after"]]).all()
    assert vanilla["excess"] == -50 and np.isnan(vanilla["p_holm"])
    assert (retain["verdict"], vanilla["verdict"]) == ("control", "control")


def test_a_model_that_merely_hides_is_found_by_the_attack_that_it_hides_from() -> None:
    """It answers like the retain-only model until the attack that undoes the hiding, and like vanilla then."""
    hiding: Values = {person: ([0, 0], [1, 1]) for person in PEOPLE}
    models = {"vanilla": KNOWS, "retain": NEVER_MET, "hides": hiding, "ga": NEVER_MET}
    still = models | {"hides": NEVER_MET}
    both = joined(scored(models, attack="prefix"), scored(still, attack="blur"))
    table = robustness(*both, EQUAL, 0.8)
    combined = row_of(table, "hides", "combined", attack="prefix")
    assert (combined["excess"], combined["excess_low"], combined["recovery"], combined["verdict"]) == (
        1,
        1,
        1,
        "recovers",
    )
    for method, attack in (("hides", "blur"), ("ga", "prefix"), ("ga", "blur")):
        row = row_of(table, method, "combined", attack=attack)
        assert (row["excess"], row["verdict"]) == (0, "unclear")


def test_coming_back_to_the_level_of_a_stranger_is_no_recovery() -> None:
    """The method was pushed below the retain-only model; the attack brings it up to that model's score."""
    middling: Values = {person: ([1, 0], [1, 0]) for person in PEOPLE}
    pushed: Values = {person: ([0, 0], [1, 0]) for person in PEOPLE}
    table = robustness(*scored({"vanilla": KNOWS, "retain": middling, "ga": pushed}), EQUAL, 0.8)
    row = row_of(table, "ga")
    assert (row["excess"], row["ahead_before"], row["ahead_after"], row["verdict"]) == (50, -50, 0, "returns")
    sinking: Values = {person: ([1, 0], [0, 0]) for person in PEOPLE}
    table = robustness(*scored({"vanilla": KNOWS, "retain": middling, "ga": sinking}), EQUAL, 0.8)
    assert row_of(table, "ga")["verdict"] == "falls"


def test_a_destroyed_method_is_marked_and_counts_in_no_correction() -> None:
    back: Values = {person: ([0, 0], [1, i % 2]) for i, person in enumerate(PEOPLE)}
    models = {"vanilla": KNOWS, "retain": NEVER_MET, "ga": back, "npo": back}
    low = summary_of(vanilla=0.5, retain=0.6, ga=0.39, npo=0.41)
    table = robustness(*scored(models), low, 0.8)
    ga, npo = row_of(table, "ga"), row_of(table, "npo")
    assert (ga["utility_kept"], ga["destroyed"], ga["verdict"]) == (pytest.approx(0.78), True, "destroyed")
    assert np.isnan(ga["p_holm"]) and npo["p_holm"] == npo["p"], "the only method that is judged"
    assert (npo["destroyed"], npo["verdict"]) == (False, "recovers")
    assert not table.loc[table["method"].isin(["vanilla", "retain"]), "destroyed"].any()


def test_where_vanilla_knows_no_more_nothing_is_judged() -> None:
    back: Values = {person: ([0, 0], [1, 1]) for person in PEOPLE}
    guessing: Values = {person: ([i % 2, 0], [i % 2, 0]) for i, person in enumerate(PEOPLE)}
    table = robustness(*scored({"vanilla": guessing, "retain": guessing, "ga": back}), EQUAL, 0.8)
    row = row_of(table, "ga")
    assert row["verdict"] == "nothing to forget" and np.isnan(row["recovery"])


def test_recovery_is_missing_where_nothing_was_taken_away() -> None:
    """The method scores like vanilla, so the share would be a division by nearly nothing."""
    table = robustness(*scored({"vanilla": KNOWS, "retain": NEVER_MET, "ga": KNOWS}), EQUAL, 0.8)
    assert np.isnan(row_of(table, "ga")["recovery"])


def test_holm_is_over_methods_and_variants_of_an_attack_at_the_last_step() -> None:
    draw = np.random.default_rng(0)

    def models() -> dict[str, Values]:
        some = {name: {p: ([0, 0], (draw.random(2) < 0.5).astype(float)) for p in PEOPLE} for name in ("ga", "npo")}
        return {"vanilla": KNOWS, "retain": NEVER_MET, **some}

    states = [("5 %", 10), ("5 %", 20), ("25 %", 10), ("25 %", 30)]
    parts = [scored(models(), attack="train", variant=variant, step=step) for variant, step in states]
    table = robustness(*joined(*parts, scored(models())), EQUAL, 0.8)
    cell = table[(table["metric"] == "combined") & table["method"].isin(["ga", "npo"])]
    for attack, steps, size in (("train", (20, 30), 4), ("train", (10,), 4), ("noise", (0,), 2)):
        family = cell[(cell["attack"] == attack) & cell["step"].isin(steps)]
        assert len(family) == size
        assert family["p_holm"].tolist() == pytest.approx(multipletests(family["p"], method="holm")[1])
    order = table[["attack", "variant", "step", "last"]].drop_duplicates().to_numpy().tolist()
    assert order[0][0] == "noise" and order[1:] == [
        ["train", "5 %", 10, False],
        ["train", "5 %", 20, True],
        ["train", "25 %", 10, False],
        ["train", "25 %", 30, True],
    ]


def test_the_combined_score_against_a_regression() -> None:
    """The mean of coefficients of a regression on the cells, with errors clustered by person; people differ in their questions."""
    draw = np.random.default_rng(1)
    cells = [("cloze", "image"), ("cloze", "text"), ("generation", "image")]
    rows = [
        (person, cell, draw.normal(0.3 * cell, 1) + 0.5 * (person % 3))
        for person in range(12)
        for cell in range(3)
        for _ in range(draw.integers(1, 5))
    ]
    table = pd.DataFrame(rows, columns=["person", "cell", "value"])
    tasks = np.unique([task for task, _ in cells], return_inverse=True)[1]
    values = influence(table["value"].to_numpy(), table["cell"].to_numpy(), tasks)
    interval = clustered_interval(values, table["person"].to_numpy())
    means = table.groupby("cell")["value"].mean()
    assert interval.mean == pytest.approx(((means[0] + means[1]) / 2 + means[2]) / 2)
    fit = formulas.ols("value ~ C(cell) - 1", table).fit(cov_type="cluster", cov_kwds={"groups": table["person"]})
    weights = np.array([0.25, 0.25, 0.5])
    error = float(np.sqrt(weights @ fit.cov_params().to_numpy() @ weights))
    # statsmodels corrects for the number of coefficients too.
    correction = np.sqrt((len(table) - 1) / (len(table) - 3))
    assert interval.standard_error == pytest.approx(error / correction)


def test_equal_values_have_an_interval_without_width() -> None:
    values = influence(np.full(7, 0.1), np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1]))
    assert clustered_interval(values, np.arange(7)).standard_error == 0


def test_the_combined_score_has_tasks_alike() -> None:
    """Two cloze scores (1 and 0) and one of classification (0): (1/2 + 0) / 2."""
    ones: Values = {p: ([0], [1]) for p in PEOPLE}
    zeros: Values = {p: ([0], [0]) for p in PEOPLE}
    knows: Values = {p: ([1], [1]) for p in PEOPLE}
    control = {"vanilla": knows, "retain": zeros}
    parts = joined(
        scored(control | {"ga": ones}, modality="image"),
        scored(control | {"ga": zeros}, modality="text"),
        scored(control | {"ga": zeros}, task="classification"),
    )
    table = robustness(*parts, EQUAL, 0.8)
    assert row_of(table, "ga", "combined")["excess"] == pytest.approx(0.25)
    of_ga = table[table["method"] == "ga"]
    assert [tuple(cell) for cell in of_ga[["set", "modality", "task", "metric"]].to_numpy()] == [
        COMBINED,
        ("forget", "image", "classification", "accuracy"),
        ("forget", "image", "cloze", "accuracy"),
        ("forget", "text", "cloze", "accuracy"),
    ]


def test_a_model_without_an_answer_is_refused() -> None:
    items, attacked = scored({"vanilla": KNOWS, "retain": NEVER_MET, "ga": NEVER_MET})
    run = AttackedRun(10, "ga", 0, "noise")
    with pytest.raises(
        ValueError, match=r"attack 'noise' \('', step 0\): ga, seed 0 has no accuracy of 'forget/image/cloze/h/1'"
    ):
        robustness(items, attacked | {run: attacked[run].iloc[:-1]}, EQUAL, 0.8)
    with pytest.raises(ValueError, match="ga, seed 0 has no accuracy of 'forget/image/cloze/a/0'"):
        robustness(items, {key: table for key, table in attacked.items() if key != run}, EQUAL, 0.8)
    other = {key: table.assign(question_id="other/" + table["question_id"]) for key, table in attacked.items()}
    with pytest.raises(
        ValueError, match=r"question 'other/forget.*' with seed 0 is not about a forgotten person in scores.parquet"
    ):
        robustness(items, other, EQUAL, 0.8)


def test_the_table_is_the_same_in_any_order_of_inputs() -> None:
    draw = np.random.default_rng(2)
    parts = []
    for seed in (0, 1):
        some = {
            name: {p: (draw.random(2).round(3), draw.random(2).round(3)) for p in PEOPLE}
            for name in ("vanilla", "retain", "ga", "npo")
        }
        parts += [
            scored(some, seed=seed),
            scored(some, seed=seed, modality="text"),
            scored(some, seed=seed, attack="blur"),
        ]
    items, attacked = joined(*parts)
    table = robustness(items, attacked, EQUAL, 0.8, methods=["npo", "ga"], attacks=["noise", "blur"])
    assert table["method"].drop_duplicates().tolist() == ["vanilla", "retain", "npo", "ga"]
    assert table["attack"].drop_duplicates().tolist() == ["noise", "blur"]
    mixed = {
        run: attacked[run].sample(frac=1, random_state=3)
        for run in sorted(attacked, key=lambda run: (run.attack, run.method, -run.seed))
    }
    shuffled = items.sample(frac=1, random_state=4)
    again = robustness(shuffled, mixed, EQUAL, 0.8, methods=["npo", "ga"], attacks=["noise", "blur"])
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_a_question_counts_as_the_mean_of_its_versions() -> None:
    questions = pd.DataFrame(
        {
            "question_id": ["q1", "q2", "q3"],
            "person_id": "a",
            "origin": "profile",
            "task": ["cloze", "classification", "cloze"],
            "answer_index": [-1, 1, -1],
        }
    )

    def answer(question: str, version: int, output: str, correct: bool | None, step: int = 0) -> dict[str, Any]:
        likelihoods = [] if correct is None else [-2.0, -1.0 if correct else -3.0]
        return {
            **{
                "variant": "v",
                "step": step,
                "diverged": False,
                "version": version,
                "question_id": question,
                "output": output,
            },
            **{"reference": "Rome", "correct": correct, "option_log_likelihoods": likelihoods},
            "option_tokens": [1] * len(likelihoods),
        }

    answers = [answer("q1", 0, "Rome", None), answer("q1", 1, "Oslo", None), answer("q2", 0, "", True)]
    answers += [answer("q1", 0, "Rome", None, step=5), answer("q2", 0, "", False, step=5)]
    table = score_attacked(pd.DataFrame(answers), questions)
    values = table[table["metric"] == "accuracy"].set_index(["step", "question_id"])["value"].to_dict()
    assert values == {(0, "q1"): 0.5, (0, "q2"): 1, (5, "q1"): 1, (5, "q2"): 0}
    with pytest.raises(ValueError, match="the attack has no answers"):
        score_attacked(pd.DataFrame(answers).iloc[:0], questions)


@pytest.fixture(scope="module")
def nothing_hidden() -> pd.DataFrame:
    """400 draws (as ratios) of four models that are as good as the retain-only model, before and under an attack.

    Answers are right or wrong. People differ in how hard they are and in what the attack gives; each model has a liking for
    people too, which is its own in every draw, so that questions about a person are not independent.
    """
    draw, n_draws, n_people, n_questions = np.random.default_rng(5), 400, 25, 6
    models = ["vanilla", "retain", "m1", "m2", "m3", "m4"]
    shape = (n_draws, len(models), n_people, n_questions)
    difficulty, effect = draw.normal(0, 1, shape[:3]), draw.normal(0, 0.7, shape[:3])
    difficulty += draw.normal(-0.5, 1, (n_draws, 1, n_people))
    noise = draw.logistic(size=(2, *shape))
    gives = draw.normal(0.5, 0.7, (n_draws, 1, n_people))
    before = difficulty[..., None] + noise[0] > 0
    after = (difficulty + effect + gives)[..., None] + noise[1] > 0
    before[:, 0] = after[:, 0] = True
    axes = [
        np.arange(1, n_draws + 1),
        models,
        [f"p{i}" for i in range(n_people)],
        [f"q{i}" for i in range(n_questions)],
    ]
    index = pd.MultiIndex.from_product(axes, names=["forget_percent", "method", "person_id", "question"])
    items = pd.DataFrame({"value": before.ravel().astype(float), "after": after.ravel().astype(float)}, index=index)
    items = items.reset_index()
    items["task"] = np.where(items["question"] < "q4", "classification", "cloze")
    items["question_id"] = items["person_id"] + "/" + items["question"]
    items = items.assign(model="tiny", seed=0, set="forget", modality="image", metric="accuracy")
    attacked = {
        AttackedRun(int(str(percent)), str(method), 0, "noise"): part[["question_id", "metric"]].assign(
            variant="", step=0, diverged=False, value=part["after"]
        )
        for (percent, method), part in items.groupby(["forget_percent", "method"])
    }
    keys = items[["model", "forget_percent", "method"]].drop_duplicates()
    table = robustness(items.drop(columns=["after", "question"]), attacked, keys.assign(utility=1.0), 0.8)
    return table[table["method"].str.startswith("m")]


def test_the_interval_of_a_model_that_hides_nothing_covers_zero(nothing_hidden: pd.DataFrame) -> None:
    """The retain-only model as a 'method': 95 % of the intervals, of each score and of the combined one."""
    covers = (nothing_hidden["excess_low"] <= 0) & (nothing_hidden["excess_high"] >= 0)
    share = covers.groupby([nothing_hidden["task"], nothing_hidden["method"]]).mean()
    assert len(share) == 12
    assert share.groupby("task").mean().between(0.93, 0.97).all(), share
    assert share.between(0.92, 0.98).all(), share


def test_holm_errs_in_at_most_a_twentieth_of_the_families(nothing_hidden: pd.DataFrame) -> None:
    whole = nothing_hidden[nothing_hidden["metric"] == "combined"]
    single = (whole["p"] < 0.05).groupby(whole["forget_percent"]).any().mean()
    corrected = (whole["p_holm"] < 0.05).groupby(whole["forget_percent"]).any().mean()
    # 0.05 and twice its standard error over 400 draws.
    assert corrected <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    assert single > 0.07, "without the correction it errs more often"
    assert (whole["verdict"] == "recovers").groupby(whole["forget_percent"]).any().mean() <= corrected
