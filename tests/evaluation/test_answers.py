"""Single answers scored on numbers small enough to work out by hand."""

from __future__ import annotations

import math
import string
from random import Random

import pytest
from rouge_score import tokenize
from rouge_score.rouge_scorer import RougeScorer

from unsee.core.failures import DivergedError
from unsee.evaluation.choice import choose
from unsee.evaluation.likelihoods import probability_and_truth_ratio
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.scoring import score_answer
from unsee.evaluation.tasks import generation
from unsee.evaluation.tasks.cloze import matches, normalise
from unsee.evaluation.tasks.generation import METRICS, overlap, words


def certainty(sums: list[float], tokens: list[int], right: int, *, per_token: bool = True) -> tuple[float, float]:
    answer = {"option_log_likelihoods": sums, "option_tokens": tokens, "answer_index": right}
    return tuple(probability_and_truth_ratio(answer, per_token=per_token).values())  # type: ignore[return-value]


def test_a_longer_option_wins_by_its_mean() -> None:
    assert choose([-3.0, -4.0], [1, 2]) == 1, "-3 against -2 a token, though -4 is the lower sum"
    assert choose([-1.0, -1.5, -9.0], [1, 2, 12]) == 1, "-1, -0.75, -0.75: the first of the equals"
    assert choose([-math.inf, -50.0], [1, 1]) == 1


def test_a_short_wrong_option_wins_by_the_sum_and_loses_by_the_mean() -> None:
    # The right answer: -3 over three tokens, -1 a token. A wrong one: -2 over one.
    sums, tokens = [-3.0, -2.0], [3, 1]
    assert choose(sums, tokens) == 0
    assert choose(sums, tokens, per_token=False) == 1
    by_mean, by_sum = certainty(sums, tokens, 0), certainty(sums, tokens, 0, per_token=False)
    # exp(-1) against exp(-2), and exp(-3) against exp(-2): with two options the truth ratio is the other's share.
    assert by_mean == pytest.approx((1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))))
    assert by_sum == pytest.approx((1 / (1 + math.exp(1)), 1 / (1 + math.exp(-1))))


@pytest.mark.parametrize("per_token", [True, False])
def test_the_chosen_option_is_the_most_probable_one(per_token: bool) -> None:
    draw = Random(0)
    for _ in range(200):
        tokens = [draw.randint(1, 9) for _ in range(4)]
        sums = [-draw.expovariate(0.5) * n for n in tokens]
        choice = choose(sums, tokens, per_token=per_token)
        probabilities = [certainty(sums, tokens, i, per_token=per_token)[0] for i in range(4)]
        assert probabilities.index(max(probabilities)) == choice
        assert sum(probabilities) == pytest.approx(1)


def test_a_protocol_scores_options_as_it_chooses_among_them() -> None:
    answer = {"task": "classification", "answer_index": 0, "correct": False}
    answer |= {"option_log_likelihoods": [-3.0, -2.0], "option_tokens": [3, 1]}
    for scoring, per_token in (("likelihood", True), ("likelihood_sum", False), ("letter", True)):
        settings = {"classification": scoring}
        assert load_protocol(settings).per_token("classification") is per_token
        assert list(score_answer(answer, settings).values()) == [
            0.0,
            *certainty([-3.0, -2.0], [3, 1], 0, per_token=per_token),
        ]
        # TOFU's truth ratio is by token, whatever the other options are chosen by.
        assert list(score_answer(answer | {"task": "likelihood"}, settings).values()) == list(
            certainty([-3.0, -2.0], [3, 1], 0)
        )


@pytest.mark.parametrize(
    ("log_likelihoods", "tokens", "message"),
    [
        ([], [], "0 log-likelihoods and 0 token counts; expected as many"),
        ([-1.0, -2.0], [1], "2 log-likelihoods and 1 token counts"),
        ([-1.0, -2.0], [1, 0], "option 1: 0 tokens; expected at least one"),
    ],
)
def test_options_that_allow_no_choice_are_refused(
    log_likelihoods: list[float], tokens: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose(log_likelihoods, tokens)


def test_a_model_that_has_diverged_has_no_choice() -> None:
    with pytest.raises(DivergedError, match="option 1: the log-likelihood is nan.*diverged"):
        choose([-1.0, math.nan], [1, 1])


def test_rouge_counts_pairs_of_words() -> None:
    # Reference "a b c d e" (4 pairs of words), answer "a b x d e" (4): shared are "a b" and "d e".
    scores = overlap("a b x d e", "a b c d e")
    assert scores["rouge_2"] == pytest.approx(2 / 4)
    assert scores["rouge_1"] == scores["rouge_l"] == pytest.approx(4 / 5)


def test_rouge_l_goes_by_order_and_rouge_1_does_not() -> None:
    # The longest common subsequence of "d c b a" and "a b c d" is one word.
    scores = overlap("d c b a", "a b c d")
    assert scores["rouge_1"] == 1.0
    assert scores["rouge_l"] == pytest.approx(1 / 4)
    assert scores["rouge_2"] == 0.0


def test_rouge_stems_and_ignores_case_where_bleu_does_not() -> None:
    scores = overlap("She BAKES", "she bakes")
    assert scores["rouge_l"] == 1.0
    assert scores["bleu"] < 0.2
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


#: A sentence, and another with half of its words, both of as many words as the score below says.
SCRIPTS = {
    "Cyrillic": ("Она живёт в Осло", "Она живёт в Москве", 3 / 4),
    "Greek": ("Ζει στην Αθήνα", "Ζει στην Πάτρα", 2 / 3),
    "Arabic": ("تعيش في أوسلو", "تعيش في القاهرة", 2 / 3),
    "Hebrew": ("היא גרה באוסלו", "היא גרה בחיפה", 2 / 3),
    "Hindi": ("वह ओस्लो में रहती है", "वह दिल्ली में रहती है", 4 / 5),
    "Korean": ("그녀는 오슬로에 산다", "그녀는 서울에 산다", 2 / 3),
    "Chinese": ("她住在北京", "她住在南京", 4 / 5),
    "Japanese": ("東京に住む", "京都に住む", 4 / 5),
    "Thai": ("กขค", "กขง", 2 / 3),
    "accents": ("José est né à Orléans", "José est né à Besançon", 4 / 5),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_rouge_reads_every_script(script: str) -> None:
    reference, other, share = SCRIPTS[script]
    assert overlap(reference, reference)["rouge_l"] == 1.0
    assert overlap(reference + ".", f"«{reference}»!")["rouge_l"] == 1.0, "punctuation is none of the words"
    assert overlap(other, reference)["rouge_l"] == pytest.approx(share)
    assert overlap("The weather is fine.", reference)["rouge_l"] == 0.0


def test_words_are_compared_as_they_look() -> None:
    assert words("Cafe\u0301") == words("CAF\u00c9") == ["caf\u00e9"]
    assert words("１９８４年") == ["1984", "年"]
    assert words("co\u00adoperate snake_case") == ["cooperate", "snake", "case"]
    assert words("北京Beijing北") == ["北", "京", "beijing", "北"]
    # In a text of two scripts English words are stemmed all the same.
    assert overlap("Она paints", "Она painting")["rouge_l"] == 1.0


def test_ascii_text_has_the_librarys_words_and_scores() -> None:
    draw = Random(0)
    vocabulary = [
        "The",
        "baker's",
        "Jr.",
        "running",
        "flies",
        "snake_case",
        "3.5",
        "C++",
        "-5",
        "A&B",
        "x",
        "\n",
        "studies",
    ]
    vocabulary += ["".join(draw.choices(string.printable, k=6)) for _ in range(200)]
    for stemmer in (True, False):
        library = RougeScorer(["rougeL", "rouge1", "rouge2"], use_stemmer=stemmer)
        for _ in range(300):
            output, reference = (" ".join(draw.choices(vocabulary, k=8)) for _ in range(2))
            assert words(output) == tokenize.tokenize(output, None)
            theirs = library.score(reference, output)
            for metric, name in (("rouge_l", "rougeL"), ("rouge_1", "rouge1"), ("rouge_2", "rouge2")):
                assert overlap(output, reference, stemmer=stemmer)[metric] == theirs[name].fmeasure
            published = overlap(output, reference, every_script=False)
            assert published == overlap(output, reference)


def test_the_stemmer_can_be_left_out() -> None:
    assert overlap("paints portraits", "painting portrait")["rouge_l"] == 1.0
    assert overlap("paints portraits", "painting portrait", stemmer=False)["rouge_l"] == 0.0
    answer = {"task": "generation", "output": "paints portraits", "reference": "painting portrait"}
    assert list(score_answer(answer, {"rouge_stemmer": False}).values()) == [0.0] * 3 + [pytest.approx(0.0)]
    assert list(score_answer(answer, {}).values())[:3] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("protocol", ["mllmu-official", "mmunlearner"])
def test_published_protocols_keep_the_librarys_words(protocol: str) -> None:
    reference = SCRIPTS["Cyrillic"][0]
    answer = {"task": "generation", "output": reference, "reference": reference}
    assert list(score_answer(answer, {"protocol": protocol}).values())[0] == 0.0
    assert list(score_answer(answer, {}).values())[0] == 1.0


def test_equal_pairs_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    scorer = generation._scorer(True, True)

    class Counting:
        def score(self, reference: str, output: str) -> object:
            calls.append((reference, output))
            return scorer.score(reference, output)

    monkeypatch.setattr(generation, "_scorer", lambda *arguments: Counting())
    generation._overlap.cache_clear()
    for _ in range(2):
        overlap("He is Ann's son.", "He is the son of Ann.")
        overlap("a b", "a b")
    assert calls == [("He is the son of Ann.", "He is Ann's son."), ("a b", "a b")]


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
        ("C++", "c++"),
        ("C++.", "c++"),
        ("C++11", "c 11"),
        ("C#", "c#"),
        ("F♯ minor", "f# minor"),
        ("# Oslo", "oslo"),
        ("**Oslo**", "oslo"),
        ("2+2", "2 2"),
        ("A+", "a+"),
        ("blood group A-", "blood group a-"),
        ("(AB−)", "ab-"),
        ("O-levels", "o levels"),
        ("a baker-", "baker"),
        ("-5 °C", "-5 c"),
        ("−5", "-5"),
        ("(-5)", "-5"),
        ("1990-1995", "1990 1995"),
        ("1990 - 1995", "1990 1995"),
        ("$85,000", "$ 85 000"),
        ("❤\ufe0f Oslo", "oslo"),
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C++", "C"),
        ("C#", "C"),
        ("C++", "C#"),
        ("-5", "5"),
        ("A+", "A"),
        ("A-", "A+"),
        ("A-", "A"),
        ("F#", "F"),
        ("B♭", "B"),
    ]
    + [("€", "$"), ("+", "-"), ("❤\ufe0f", "☀\ufe0f"), ("?", "!")],
)
@pytest.mark.parametrize("rule", ["exact", "contains"])
def test_signs_that_tell_answers_apart(one: str, other: str, rule: str) -> None:
    assert matches(one, one, rule) and matches(other, other, rule)
    assert not matches(one, other, rule) and not matches(other, one, rule)
    assert matches(f" {one} ", one, rule)


def test_a_reference_of_signs_alone_is_compared_as_it_stands() -> None:
    assert matches("...", "…"), "compatible forms"
    assert matches("❤", "❤\ufe0f"), "a variation selector cannot be seen"
    assert not matches("", "...") and not matches("anything", "...")
    assert matches("It is ★.", "★", "contains") and not matches("It is ★.", "★")


@pytest.mark.parametrize("rule", ["exact", "contains"])
@pytest.mark.parametrize("reference", ["", " ", "\u200d", "\ufe0f", "\u2066\u2069"])
def test_a_reference_that_cannot_be_seen_never_matches(rule: str, reference: str) -> None:
    for output in ("", "anything", "..."):
        with pytest.raises(ValueError, match="has nothing to compare with; expected text that can be seen"):
            matches(output, reference, rule)


def test_contains_wants_the_words_in_a_row() -> None:
    assert matches("She was born in New York City.", "New York", "contains")
    assert not matches("New things happen in York", "New York", "contains")
    assert not matches("", "Oslo", "contains")


def test_another_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation.cloze_rule is 'lenient'; expected one of exact, contains"):
        matches("a", "a", "lenient")


def test_a_reference_of_signs_alone_is_the_answer_or_it_is_not() -> None:
    assert set(generation.overlap("☺  ☺", "☺ ☺").values()) == {1.0}
    assert set(generation.overlap("☹ ☺", "☺ ☺").values()) == {0.0}
    assert generation.overlap("☺ ☺", "☺ ☺", every_script=False)["rouge_l"] == 0.0, "as the published code"
