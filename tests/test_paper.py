"""The verdicts on the source paper's claims, from made-up scores of which the answer is computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from tools import paper
from tools.paper_claims import BASELINES, PARTS, PUBLISHED, VL_ERASER, Claim, claims, verdict
from unsee.results.statistics.intervals import clustered_interval

LESS = Claim("a forgets more than b", "a", "b", "forget", high=0.0)
ALIKE = Claim("a keeps as much as b", "a", "b", "retain", -0.05, 0.05)
CHOICES = replace(LESS, tasks=("classification",))
METRICS = {"classification": "accuracy", "generation": "rouge_l", "cloze": "accuracy"}


@pytest.mark.parametrize(
    ("claim", "low", "high", "expected"),
    [
        (LESS, -0.2, -0.1, "holds"),
        (LESS, -0.2, 0.1, "cannot be told"),
        (LESS, 0.1, 0.2, "refuted"),
        (LESS, 0.0, 0.0, "refuted"),
        (LESS, -0.2, 0.0, "cannot be told"),
        (LESS, math.nan, math.nan, "cannot be told"),
        (ALIKE, -0.04, 0.04, "holds"),
        (ALIKE, -0.06, 0.04, "cannot be told"),
        (ALIKE, -0.2, 0.2, "cannot be told"),
        (ALIKE, 0.06, 0.2, "refuted"),
        (ALIKE, -0.2, -0.06, "refuted"),
    ],
)
def test_the_decision_rule(claim: Claim, low: float, high: float, expected: str) -> None:
    assert verdict(claim, low, high) == expected


def test_a_claim_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0.1 to 0.1; expected a range"):
        Claim("nothing", "a", "b", "forget", 0.1, 0.1)


def scores(
    method: str, values: dict[tuple[int, str, int], list[float]], group: str = "forget", modality: str = "image"
) -> pd.DataFrame:
    """The items of one model: by ratio, task and seed the value of the question about each person."""
    rows = [
        (
            method,
            group,
            modality,
            percent,
            task,
            METRICS[task],
            seed,
            f"p{i}",
            f"{percent}/{task}/{modality}/{i}",
            value,
        )
        for (percent, task, seed), of in values.items()
        for i, value in enumerate(of)
    ]
    keys = ["method", "set", "modality", "forget_percent", "task", "metric", "seed", "person_id", "question_id"]
    return pd.DataFrame(rows, columns=[*keys, "value"])


def test_one_task_and_ratio_is_the_clustered_mean() -> None:
    """Differences -1, -1, 0 and 0, so -0.5; each person once, so the usual standard error: 0.577 / 2."""
    items = pd.concat(
        [
            scores("a", {(10, "classification", 0): [0, 0, 1, 0]}),
            scores("b", {(10, "classification", 0): [1, 1, 1, 0]}),
        ]
    )
    interval = paper.difference(paper.paired(items, CHOICES), CHOICES)
    assert interval.mean == pytest.approx(-0.5) and interval.standard_error == pytest.approx((1 / 3) ** 0.5 / 2)
    expected = clustered_interval([-1, -1, 0, 0] * pd.Series(1.0, range(4)).to_numpy(), pd.RangeIndex(4).to_numpy())
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_ratios_and_tasks_count_alike_whatever_their_size() -> None:
    """Classification: 5 % -1 (two people), 15 % 0 (four), so -0.5; cloze at 5 % alone: 0.25. The mean of both is -0.125."""
    zero, one = [0.0] * 4, [1.0] * 4
    values = {
        "a": {(5, "classification", 0): zero[:2], (15, "classification", 0): zero, (5, "cloze", 0): [1, 0, 0, 0]},
        "b": {(5, "classification", 0): one[:2], (15, "classification", 0): zero, (5, "cloze", 0): zero},
    }
    items = pd.concat([scores(name, of) for name, of in values.items()])
    claim = replace(LESS, tasks=("classification", "cloze"))
    pairs = paper.paired(items, claim)
    assert paper.difference(pairs, claim).mean == pytest.approx(-0.125)
    assert paper.means(pairs, claim) == {
        "a": {"classification": 0.0, "cloze": 25.0},
        "b": {"classification": 50.0, "cloze": 0.0},
    }


def test_the_spread_between_seeds_is_in_the_interval() -> None:
    """People agree within a seed, but one seed says -0.4 and the other 0: without the seeds the interval would have no width."""
    zero = [0.0] * 6
    a = {(10, "generation", 0): zero, (10, "generation", 1): zero}
    b = {(10, "generation", 0): [0.4] * 6, (10, "generation", 1): zero}
    items = pd.concat([scores("a", a), scores("b", b)])
    claim = replace(LESS, tasks=("generation",))
    interval = paper.difference(paper.paired(items, claim), claim)
    assert interval.mean == pytest.approx(-0.2) and interval.standard_error > 0.1
    assert verdict(LESS, interval.low, interval.high) == "cannot be told"


def test_words_against_pictures() -> None:
    """Over the retain-only model a leaves 0.8 in words and 0.2 with a picture: 0.6."""
    claim = Claim("a leaves more in words", "a", "retain", "forget", low=0.0, tasks=("classification",), words=True)
    items = pd.concat(
        [
            scores("a", {(10, "classification", 0): [0.9] * 5}, modality="text"),
            scores("a", {(10, "classification", 0): [0.4] * 5}),
            scores("retain", {(10, "classification", 0): [0.1] * 5}, modality="text"),
            scores("retain", {(10, "classification", 0): [0.2] * 5}),
        ]
    )
    interval = paper.difference(paper.paired(items, claim), claim)
    assert interval.mean == pytest.approx(0.6) and verdict(claim, interval.low, interval.high) == "holds"


def test_models_that_answered_other_questions_are_refused() -> None:
    items = pd.concat(
        [scores("a", {(10, "cloze", 0): [1, 0]}), scores("b", {(10, "cloze", 0): [1, 0, 1]})], ignore_index=True
    )
    with pytest.raises(ValueError, match=r"a or b lacks '10/cloze/image/2' at 10 % with seed 0 \(1 such\)"):
        paper.paired(items, replace(LESS, tasks=("cloze",)))
    with pytest.raises(ValueError, match="have no classification in the set forget"):
        paper.paired(items, CHOICES)


def test_published_claims_agree_with_the_published_figures() -> None:
    """Each claim that has figures is what they say, by the mean over its tasks; "about as much" too."""
    for claim in (claim for of in claims().values() for claim in of if not claim.words):
        figures = PUBLISHED[claim.group]
        if claim.method in figures and claim.against in figures:
            scales = {"classification": 100, "generation": 1, "cloze": 100}
            gaps = [(figures[claim.method][t] - figures[claim.against][t]) / scales[t] for t in claim.tasks]
            assert claim.low < sum(gaps) / len(gaps) < claim.high, claim.text


def test_the_page_of_a_small_run() -> None:
    """VL-Eraser forgets everything and keeps everything; the others keep half and forget nothing. The ablation was not run."""
    half, whole, nothing = [0.5] * 6, [1.0] * 6, [0.0] * 6
    parts = []
    for method in ("vanilla", "retain", *BASELINES, VL_ERASER):
        best = method == VL_ERASER
        for modality in ("image", "text"):
            for group, value in (("forget", nothing if best else whole), ("retain", whole if best else half)):
                of = {(percent, task, 0): value for percent in (5, 10) for task in METRICS}
                parts.append(scores(method, of, group, modality))
    lines = paper.page([pd.concat(parts, ignore_index=True)], [], []).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    rows_by_claim = {cells[0]: cells[1:] for cells in rows}
    assert rows_by_claim["VL-Eraser forgets more than GA"] == [
        "26.2 / 39.4; 0.256 / 0.392; 13.4 / 21.2",
        "0.0 / 100.0; 0.000 / 1.000; 0.0 / 100.0",
        *("-1.00 (-1.00 to -1.00)", "**holds**"),
    ]
    assert rows_by_claim["VL-Eraser keeps about as much as KL_Min, or more"][::3] == ["–", "**holds**"]
    assert rows_by_claim["MMUnlearner forgets more than GA"][-1] == "**refuted**"
    assert rows_by_claim["NPO keeps about as much as GA, or more"][-2:] == ["+0.00 (+0.00 to +0.00)", "**holds**"]
    assert rows_by_claim["Without distillation VL-Eraser forgets less"] == ["38.4 / 26.2", "–", "–", "not run"]
    assert rows_by_claim["VL-Eraser leaves about as much in words as with a picture"][-1] == "**holds**"
    assert sum(map(len, claims().values())) == sum(cells[-1] != "verdict" for cells in rows)
    assert lines.count("Not run.") == 2


def test_the_ablation_may_be_another_run() -> None:
    of = {(10, "classification", 0): [0.0] * 4}
    first = pd.concat([scores("a", of), scores("c", of)])
    second = pd.concat([scores("a", of), scores("b", {(10, "classification", 0): [1.0] * 4})])
    assert paper.row(CHOICES, [first])["verdict"] == "not run"
    assert paper.row(CHOICES, [first, second])["verdict"] == "**holds**"


def test_the_tables_of_the_ablation_and_at_equal_utility() -> None:
    score = {
        "forget_classification": 12.34,
        "retain_classification": 98.76,
        "retain_rouge_l": 0.777,
        "retain_cloze": 9.0,
    }
    spread = {f"{name}_sd": 1.0 for name in score}
    key = {"forget_percent": 5, "modality": "image"}
    row = score | spread | key
    ablation = pd.DataFrame([row | {"method": name} for name in (VL_ERASER, *PARTS, "ga")])
    lines = paper.ablation_table(ablation).splitlines()
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells == ["`vl_eraser`", "5 %", "12.3 ± 1.0", "98.8 ± 1.0", "0.78 ± 1.00", "9.0 ± 1.0"]
    assert len(lines) == 4 + 4, "ga is no part of it"
    ends = {"forgetting_low": 0.1, "forgetting_high": 0.9, "forget_percent": 5}
    ranking = pd.DataFrame(
        [
            {"method": "vl_eraser", "forgetting": 0.5, "stopped_early": False, **ends},
            {"method": "ga", "forgetting": 0.25, "stopped_early": True, **ends},
            {"method": "other", "forgetting": 0.75, "stopped_early": False, **ends},
        ]
    )
    lines = paper.equal_utility(ranking, None).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[5:]] == [
        ["`ga`", "0.25* (0.10 to 0.90)"],
        ["`vl_eraser`", "0.50 (0.10 to 0.90)"],
    ]
