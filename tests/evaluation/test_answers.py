"""Single answers scored on numbers small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unsee.evaluation import generation
from unsee.evaluation.classification import choose
from unsee.evaluation.cloze import matches, normalise
from unsee.evaluation.generation import METRICS, overlap, overlaps


def test_a_longer_option_wins_by_its_mean() -> None:
    assert choose([-3.0, -4.0], [1, 2]) == 1, "-3 against -2 a token, though -4 is the lower sum"
    assert choose([-1.0, -1.5, -9.0], [1, 2, 12]) == 1, "-1, -0.75, -0.75: the first of the equals"
    assert choose([-math.inf, -50.0], [1, 1]) == 1


@pytest.mark.parametrize(
    ("log_likelihoods", "tokens", "message"),
    [
        ([], [], "0 log-likelihoods and 0 token counts; expected as many"),
        ([-1.0, -2.0], [1], "2 log-likelihoods and 1 token counts"),
        ([-1.0, -2.0], [1, 0], "option 1: 0 tokens; expected at least one"),
        ([-1.0, math.nan], [1, 1], "option 1: the log-likelihood is nan.*diverged"),
    ],
)
def test_options_that_allow_no_choice_are_refused(
    log_likelihoods: list[float], tokens: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose(log_likelihoods, tokens)


def test_rouge_counts_pairs_of_words() -> None:
    # Reference "a b c d e" (4 pairs of words), answer "a b x d e" (4): shared are "a b" and "d e".
    found = overlap("a b x d e", "a b c d e")
    assert found["rouge_2"] == pytest.approx(2 / 4)
    assert found["rouge_1"] == found["rouge_l"] == pytest.approx(4 / 5)


def test_rouge_l_goes_by_order_and_rouge_1_does_not() -> None:
    # The longest common subsequence of "d c b a" and "a b c d" is one word.
    found = overlap("d c b a", "a b c d")
    assert found["rouge_1"] == 1.0
    assert found["rouge_l"] == pytest.approx(1 / 4)
    assert found["rouge_2"] == 0.0


def test_rouge_stems_and_ignores_case_where_bleu_does_not() -> None:
    found = overlap("She BAKES", "she bakes")
    assert found["rouge_l"] == 1.0
    assert found["bleu"] < 0.2
    assert overlap("paints portraits", "painting portrait")["rouge_2"] == 1.0


def test_bleu_by_hand() -> None:
    # Answer "the cat sat on mat" (5 words), reference "the cat sat on the mat" (6).
    # Of 1, 2, 3 and 4 words in a row the answer has 5, 4, 3 and 2, of which the reference has 5, 3, 2 and 1.
    precisions = [5 / 5, 3 / 4, 2 / 3, 1 / 2]
    brevity = math.exp(1 - 6 / 5)
    expected = brevity * math.prod(precisions) ** (1 / 4)
    assert overlap("the cat sat on mat", "the cat sat on the mat")["bleu"] == pytest.approx(expected)
    # Nothing of three words in a row is shared: method 1 counts 0.1 for none. "x b c y" has 4, 3, 2 and 1.
    expected = (2 / 4 * 1 / 3 * 0.1 / 2 * 0.1 / 1) ** (1 / 4)
    assert overlap("x b c y", "a b c d")["bleu"] == pytest.approx(expected)
    assert overlap("a b c d", "a b c d")["bleu"] == pytest.approx(1.0)
    assert overlap("a b", "a b")["bleu"] == pytest.approx((1 * 1 * 0.1 * 0.1) ** (1 / 4)), "too short for four"


def test_an_answer_with_nothing_in_common_scores_nothing() -> None:
    for output in ("", " ", "?", "xyz"):
        assert overlap(output, "she lives in Oslo") == dict.fromkeys(METRICS, 0.0)


def test_a_list_of_answers_equals_one_by_one_and_scores_equal_pairs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    scorer = generation._scorer()

    class Counting:
        def score(self, reference: str, output: str) -> object:
            calls.append((reference, output))
            return scorer.score(reference, output)

    monkeypatch.setattr(generation, "_scorer", Counting)
    generation._overlap.cache_clear()
    outputs = ["He is Ann's son.", "a b", "He is Ann's son."]
    references = ["He is the son of Ann.", "a b", "He is the son of Ann."]
    found = overlaps(outputs, references)
    assert calls == [("He is the son of Ann.", "He is Ann's son."), ("a b", "a b")]
    assert found.shape == (3, 4)
    for row, output, reference in zip(found, outputs, references, strict=True):
        assert row.tolist() == [overlap(output, reference)[metric] for metric in METRICS]
    assert np.array_equal(found[0], found[2])
    assert overlaps([], []).shape == (0, 4)
    with pytest.raises(ValueError):
        overlaps(["a"], [])


def test_a_changed_result_changes_no_later_one() -> None:
    overlap("a b", "a b")["bleu"] = 99.0
    assert overlap("a b", "a b")["bleu"] < 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The Hague ", "hague"),
        ("Theatre", "theatre"),
        ("A", "a"),
        ("the a", "a"),
        ("Vitamin A", "vitamin a"),
        ("O’Brien-Smith, Jr.", "o brien smith jr"),
        ("١٩٨٤", "١٩٨٤"),
        ("１９８４", "1984"),
        ("Café", "café"),
        ("Cafe\u0301", "café"),
        ("co\u00adoperate", "cooperate"),
        ("line\nbreak\tand\u00a0space", "line break and space"),
        ("snake_case `code`", "snake case code"),
        ("...", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(normalise(text)) == normalise(text)


def test_letters_keep_their_marks() -> None:
    assert normalise("की") != normalise("का"), "vowel signs are marks, not punctuation"
    assert not matches("का", "की", "contains")


def test_digits_are_not_run_together() -> None:
    assert not matches("3.5", "35")
    assert not matches("19 84", "1984")
    assert not matches("1984", "198", "contains")


@pytest.mark.parametrize("rule", ["exact", "contains"])
@pytest.mark.parametrize("reference", ["", " ", "...", "\u200d"])
def test_a_reference_without_words_never_matches(rule: str, reference: str) -> None:
    for output in ("", "anything", "..."):
        with pytest.raises(ValueError, match="has no words to compare with; expected a word"):
            matches(output, reference, rule)


def test_contains_wants_the_words_in_a_row() -> None:
    assert matches("She was born in New York City.", "New York", "contains")
    assert not matches("New things happen in York", "New York", "contains")
    assert not matches("", "Oslo", "contains")


def test_another_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation.cloze_rule is 'lenient'; expected one of exact, contains"):
        matches("a", "a", "lenient")
