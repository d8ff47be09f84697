"""Each attack on questions against a few independent lines, on the miniature benchmark and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from unsee.attacks.attack import People, get
from unsee.attacks.inputs import Changed, attacked_questions
from unsee.benchmarks.tables import person_ids, read_table
from unsee.core.text import comparable
from unsee.evaluation.protocol import Question
from unsee.evaluation.protocols.unsee import Unsee
from unsee.evaluation.settings import TASKS


def versions(name: str, benchmark: Path, seed: int = 0, **options: Any) -> list[list[Changed]]:
    return attacked_questions(get(name), options, benchmark, forget_percent=25, tasks=TASKS, seed=seed)


@pytest.fixture(scope="module")
def forgotten(mini_benchmark: Path) -> list[Question]:
    people = set(person_ids(mini_benchmark, 25, "forget"))
    return [q for q in read_table(mini_benchmark, "questions").to_pylist() if q["person_id"] in people]


def question(**columns: Any) -> Question:
    """A question about A in the profile, with a picture."""
    about: Question = {
        "question_id": "q",
        "person_id": "A",
        "origin": "profile",
        "modality": "image",
        "task": "cloze",
        "image_id": "A/profile",
        "question": "This person was born in __.",
        "options": [],
        "answer": "Paris",
        "answer_index": -1,
    }
    return about | columns


def people(questions: Sequence[Question], image_ids: Sequence[str] = (), forgotten: Sequence[str] = ("A",)) -> People:
    by_person: dict[str, list[Question]] = {}
    for each in questions:
        by_person.setdefault(each["person_id"], []).append(each)
    names = {"A": "Ann Ashe", "B": "Bob Birch", "C": "Cy Cole", "D": "Dan Dale"}
    return People(names, by_person, {"A": image_ids}, set(forgotten))


# Another photo


def test_profile_and_test_set_show_each_others_pictures(mini_benchmark: Path, forgotten: list[Question]) -> None:
    (changes,) = versions("other_photo", mini_benchmark)
    assert len(changes) == sum(q["image_id"] is not None for q in forgotten)
    for changed, original in changes:
        other = {"profile": "test-0", "test": "profile"}[original["origin"]]
        assert changed == original | {"image_id": f"{original['person_id']}/{other}"}


def test_a_picture_that_no_model_was_trained_on_is_shown_first() -> None:
    shown = people([], ["A/test-0", "A/test-1", "A/profile"])
    pictures = {"A/profile": "A/test-0", "A/test-0": "A/test-1", "A/test-1": "A/test-0"}
    for image_id, other in pictures.items():
        assert get("other_photo").apply(question(image_id=image_id), shown) == [question(image_id=other)]
    assert get("other_photo").apply(question(), people([], ["A/profile"])) == []
    assert get("other_photo").apply(question(image_id=None), shown) == []


def test_people_are_those_of_the_tables(mini_benchmark: Path) -> None:
    """The pictures of the profiles are those that the models are trained on."""
    seen: list[People] = []
    attack = get("other_photo")
    spy = type(attack)(attack.name, attack.inputs, lambda question, people: seen.append(people) or [question])
    attacked_questions(spy, {}, mini_benchmark, forget_percent=25, tasks=TASKS, seed=0)
    table = {row["person_id"]: row["name"] for row in read_table(mini_benchmark, "people").to_pylist()}
    assert seen[0].names == table and set(seen[0].questions) == set(table)
    assert sorted(seen[0].forgotten) == person_ids(mini_benchmark, 25, "forget")
    for person in seen[0].forgotten:
        assert seen[0].image_ids[person] == [f"{person}/test-0", f"{person}/profile"]


# Other words


def test_profile_and_test_set_lend_each_other_their_words(mini_benchmark: Path, forgotten: list[Question]) -> None:
    """The synthetic benchmark numbers the questions for the same fact alike in both."""
    texts = {q["question_id"]: q["question"] for q in forgotten}
    (changes,) = versions("paraphrase", mini_benchmark)
    assert len(changes) == len(forgotten)
    for changed, original in changes:
        origin, _, rest = original["question_id"].partition("/")
        other = {"profile": "test", "test": "profile"}[origin]
        assert changed == original | {"question": texts[f"{other}/{rest}"]}
        assert changed["question"] != original["question"]


def test_a_question_without_a_certain_second_wording_is_left_out() -> None:
    apply = get("paraphrase").apply
    born = question()
    other = question(origin="test", question="The birthplace of this person is __.", answer=" paris")
    lives = question(question="This person lives in __.")
    assert apply(born, people([born, other])) == [born | {"question": other["question"]}]
    assert apply(other, people([born, other])) == [other | {"question": born["question"]}]
    assert apply(born, people([born])) == []
    assert apply(born, people([born, lives, other])) == [], "which of the two does the test set ask?"
    assert apply(born, people([born, other, lives | {"origin": "test"}])) == []
    assert apply(born, people([born, other | {"modality": "text"}])) == []
    assert apply(born, people([born, other | {"task": "generation"}])) == []
    assert apply(born, people([born, born | {"origin": "test"}])) == [], "the same words"


# A role, and facts about others


def test_the_role_stands_before_the_question(mini_benchmark: Path) -> None:
    (changes,) = versions("role_play", mini_benchmark, words=" You are a spy. ")
    for changed, original in changes:
        assert changed == original | {"question": "You are a spy.\n" + original["question"]}


@pytest.mark.parametrize("name", ["prefix", "role_play"])
def test_no_words_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="' '; expected words"):
        get(name).apply(question(), words=" ")


def test_a_hint_is_about_somebody_else_and_tells_nothing(mini_benchmark: Path) -> None:
    names = {row["person_id"]: row["name"] for row in read_table(mini_benchmark, "people").to_pylist()}
    table = read_table(mini_benchmark, "questions").to_pylist()
    answers = {person: {q["answer"] for q in table if q["person_id"] == person} for person in names}
    forgotten = set(person_ids(mini_benchmark, 25, "forget"))
    (changes,) = versions("hint", mini_benchmark)
    drawn = set()
    for changed, original in changes:
        assert changed | {"question": original["question"]} == original
        (title, *facts, blank, last) = changed["question"].split("\n")
        assert (len(facts), len(set(facts)), blank, last) == (3, 3, "", original["question"])
        (other,) = (person for person, name in names.items() if title == f"Facts about {name}:")
        drawn.add(other)
        assert other not in forgotten
        before = comparable("\n".join([title, *facts]))
        assert comparable(names[original["person_id"]]) not in before
        assert not [answer for answer in answers[original["person_id"]] if comparable(answer) in before]
        # Each fact names the other person or an answer about them, and has no blank.
        for fact in facts:
            assert names[other] in fact and any(answer in fact for answer in answers[other]) and "__" not in fact
    assert len(drawn) > 3
    assert versions("hint", mini_benchmark) == [changes] and versions("hint", mini_benchmark, 1) != [changes]


def fact(person: str, answer: str, text: str = "Where was {} born?", **columns: Any) -> Question:
    return question(person_id=person, modality="text", image_id=None, question=text, answer=answer, **columns)


def test_a_person_who_shares_an_answer_or_is_forgotten_is_passed_over() -> None:
    from random import Random

    original = question()
    candidates = [
        original,
        fact("B", "paris"),  # the answer
        fact("C", "Rome", "Who is the wife of Cy Cole? She is called ANN  ASHE."),  # the name
        fact("D", "Oslo", "Dan Dale was born in __."),
    ]

    def hints(forgotten: Sequence[str], facts: int = 1) -> set[str]:
        apply = get("hint").apply
        changed = [apply(original, Random(seed), people(candidates, (), forgotten), facts=facts) for seed in range(20)]
        return {one["question"] for some in changed for one in some}

    assert hints(["A"]) == {"Facts about Dan Dale:\nDan Dale was born in Oslo.\n\nThis person was born in __."}
    assert hints(["A", "D"]) == set()
    assert hints(["A"], facts=2) == set()


# The order of options


def test_every_option_stands_once_at_every_place(mini_benchmark: Path) -> None:
    original = question(task="classification", options=["a", "b", "c", "d"], answer="c", answer_index=2)
    assert [(q["options"], q["answer_index"]) for q in get("orders").apply(original)] == [
        (["a", "b", "c", "d"], 2),
        (["b", "c", "d", "a"], 1),
        (["c", "d", "a", "b"], 0),
        (["d", "a", "b", "c"], 3),
    ]
    assert len(get("orders").apply(question(task="classification", options=["a", "b"], answer_index=0))) == 2
    assert get("orders").apply(question()) == []
    assert get("orders").apply(question(task="likelihood", options=["a", "b"], answer_index=0)) == []
    assert [len(changes) for changes in versions("orders", mini_benchmark)] == [3 * 2 * 2 * 5] * 4


@pytest.mark.parametrize(("scoring", "different"), [("letter", 4), ("likelihood", 1), ("likelihood_sum", 1)])
def test_the_order_is_in_the_prompt_only_with_letters(mini_benchmark: Path, scoring: str, different: int) -> None:
    class Bare:
        written_turns = False

        def prompt(self, question: str, *, with_image: bool, answer_prefix: str = "") -> str:
            return question

        def raw(self, text: str) -> str:
            return text

    first = [changes[0].question for changes in versions("orders", mini_benchmark)]
    protocol = Unsee(classification=scoring)
    assert len({protocol.prompt(q, Bare()) for q in first}) == different
    assert len({frozenset(protocol.candidates(q)) for q in first}) == 1
