"""Scores of single answers against hand computations."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rouge_score.rouge_scorer import RougeScorer

from unsee.benchmarks.profiles import BIRTH_YEARS, FIELDS, HOBBIES, employments, regions
from unsee.evaluation import prompts
from unsee.evaluation.choice import choose
from unsee.evaluation.likelihoods import probability_and_truth_ratio
from unsee.evaluation.scoring import score_predictions
from unsee.evaluation.tasks.cloze import matches, normalise
from unsee.evaluation.tasks.generation import overlap


def certainty(sums: list[float], tokens: list[int], right: int) -> tuple[float, ...]:
    answer = {"option_log_likelihoods": sums, "option_tokens": tokens, "answer_index": right}
    return tuple(probability_and_truth_ratio(answer).values())


def test_choice_is_by_log_likelihood_a_token() -> None:
    assert choose([-2.0, -3.0, -4.0], [1, 2, 4]) == 2
    assert choose([-2.0, -2.0], [1, 1]) == 0, "the first of equals"
    with pytest.raises(ValueError):
        choose([-1.0], [1, 1])


def test_certainty_by_hand() -> None:
    # Likelihoods 0.16 over two tokens and 0.1 over one: 0.4 and 0.1 a token; then 0.3.
    probability, ratio = certainty([math.log(0.16), math.log(0.1), math.log(0.3)], [2, 1, 1], 0)
    assert probability == pytest.approx(0.4 / 0.8)
    truth_ratio = (0.1 + 0.3) / 2 / 0.4  # TOFU's
    assert ratio == pytest.approx(truth_ratio / (1 + truth_ratio))


def test_certainty_at_the_ends() -> None:
    assert certainty([0.0, -math.inf], [1, 1], 0) == (1.0, 0.0)
    assert certainty([0.0, -math.inf], [1, 1], 1) == (0.0, 1.0)
    assert certainty([-2.0] * 4, [1] * 4, 2) == (0.25, 0.5)
    assert certainty([-math.inf] * 4, [1] * 4, 2) == (0.25, 0.5), "all impossible is knowing nothing"
    assert certainty([-9000.0, -9001.0], [1, 1], 0)[0] == pytest.approx(1 / (1 + math.exp(-1))), "no underflow"
    with pytest.raises(ValueError, match="0 log-likelihoods, 0 token counts and the right one is number -1; expected"):
        certainty([], [], -1)


def test_rouge_l_by_hand() -> None:
    # Longest common subsequence "the cat sat": 3 of 3 generated and of 6 reference words.
    scores = overlap("the cat sat", "the cat on the mat sat")
    assert scores["rouge_l"] == pytest.approx(2 * 1.0 * 0.5 / 1.5)
    assert scores["rouge_1"] == pytest.approx(2 * 1.0 * 0.5 / 1.5)
    assert scores["rouge_2"] == pytest.approx(2 * 0.5 * 0.2 / 0.7)
    assert overlap("a b c d", "a b c d")["bleu"] == pytest.approx(1.0)
    assert overlap("", "something")["rouge_l"] == 0.0


def test_rouge_is_the_librarys() -> None:
    output, reference = "Ann works as a Baker in Oslo.", "Ann Lee worked as a baker and lives in Oslo."
    theirs = RougeScorer(["rougeL"], use_stemmer=True).score(reference, output)["rougeL"].fmeasure
    assert overlap(output, reference)["rouge_l"] == theirs


@pytest.mark.parametrize(
    ("output", "reference", "exact", "contains"),
    [
        ("Baker", "baker.", True, True),
        ("the  BAKER", "Baker", True, True),
        ("a baker of bread", "Baker", False, True),
        ("party", "art", False, False),
        ("", "1923", False, False),
        ("ﬁne", "fine", True, True),
        ("5", "$5", False, False),
        ("$5", "5", False, True),
        ("It costs $ 5.", "$5", False, True),
        ("5 €", "5€", True, True),
        ("5 €", "$5", False, False),
        ("5", "5%", False, False),
        ("5 %", "5%", True, True),
        ("about 5% of it", "5%", False, True),
        ("$1,000.50", "$1,000.50", True, True),
        ("the $ sign", "sign", True, True),
        ("% of it", "of it", True, True),
    ],
)
def test_cloze(output: str, reference: str, exact: bool, contains: bool) -> None:
    assert matches(output, reference) is exact
    assert matches(output, reference, "contains") is contains


def test_no_answer_of_the_synthetic_benchmark_has_a_sign_that_normalisation_keeps() -> None:
    pools = [*BIRTH_YEARS, *FIELDS, *HOBBIES, *employments(), *(text for pair in regions() for text in pair)]
    assert all(normalise(text) == text.lower() for text in pools)


def test_cloze_normalises() -> None:
    assert not matches("anything", " . ", "contains")
    assert normalise("An  Old_House!") == "old house"


def test_prompts_are_the_published_ones() -> None:
    assert prompts.render("classification", "Who?", ["x", "y"], "letter") == (
        "Who?\nA: x\nB: y\nJust give ONE letter representing the answer directly."
    )
    assert prompts.render("classification", "Who?", ["x", "y"]) == "Who?"
    assert prompts.render("cloze", "Ann is __.") == (
        "Ann is [Blank].\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    )
    assert prompts.render("generation", "Who?") == (
        "Who?\nAnswer the question based on your trained knowledge in one sentence accurately in ENGLISH."
    )


def _predictions(rows: list[tuple[str, str, str, bool | None]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["question_id", "output", "reference", "correct"])
    options = [([0.0, 0.0], [1, 1]) if correct is not None else ([], []) for correct in table["correct"]]
    return table.assign(option_log_likelihoods=[o for o, _ in options], option_tokens=[t for _, t in options])


QUESTIONS = pd.DataFrame(
    {"question_id": ["a", "b", "c"], "task": ["classification", "cloze", "generation"], "answer_index": [0, -1, -1]}
)


def test_each_answer_gets_its_metrics() -> None:
    predictions = _predictions([("c", "x y", "x y", None), ("a", "x", "x", True), ("b", "no", "yes", None)])
    items = score_predictions(predictions, QUESTIONS)
    assert items.to_dict("split")["data"][:5] == [
        ["a", "accuracy", 1.0],
        ["a", "probability", 0.5],
        ["a", "truth_ratio", 0.5],
        ["b", "accuracy", 0.0],
        ["c", "rouge_l", 1.0],
    ]
    assert items["metric"].tolist()[4:] == ["rouge_l", "rouge_1", "rouge_2", "bleu"]


def test_where_nothing_is_chosen_only_likelihoods_count() -> None:
    questions = pd.DataFrame({"question_id": ["a"], "task": ["likelihood"], "answer_index": [1]})
    answers = _predictions([("a", "x", "y", False)])
    answers["option_log_likelihoods"] = [[math.log(0.2), 2 * math.log(0.6)]]
    answers["option_tokens"] = [[1, 2]]
    items = score_predictions(answers, questions)
    assert items["metric"].tolist() == ["probability", "truth_ratio"]
    assert items["value"].tolist() == pytest.approx([0.6 / 0.8, 0.2 / 0.8])


def test_wrong_predictions_are_named() -> None:
    with pytest.raises(ValueError, match="'a' is answered more than once"):
        score_predictions(_predictions([("a", "x", "x", True)] * 2), QUESTIONS)
    with pytest.raises(ValueError, match="'z' is not in the benchmark"):
        score_predictions(_predictions([("z", "x", "x", True)]), QUESTIONS)


def test_scoring_and_tables_load_no_torch() -> None:
    code = (
        "import sys, unsee.evaluation.predict, unsee.evaluation.scoring, unsee.evaluation.official, unsee.evaluation.anchor, "
        "unsee.results.tables.scores, unsee.results.tables.table3, unsee.results.tables.costs, unsee.benchmarks.mllmu, "
        "unsee.benchmarks.synthetic, unsee.benchmarks.statistics, unsee.unlearning.catalogue, unsee.jobs.config_checks; "
        "unsee.evaluation.scoring.score_answer({'task': 'generation', 'output': 'a', 'reference': 'a'}, {}); "
        "sys.exit('torch' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=path).returncode == 0
