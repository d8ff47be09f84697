"""The people a base model learns, and the questions and answers about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from unsee.benchmarks import question_templates
from unsee.benchmarks.profiles import Profile
from unsee.evaluation import prompts

AGES = ((32.0, "Young"), (45.0, "Grown"), (200.0, "Old"))
GENDER_QUESTION = "Is this person a man or a woman?"
AGE_QUESTION = "How old does this person look?"


@dataclass(frozen=True)
class Face:
    """A person to learn.

    Attributes:
        profile: name and facts.
        age: in years.
        rows: the person's pictures, as rows of all pictures.
        with_facts: whether the facts are taught too, besides name and looks.
    """

    profile: Profile
    age: float
    rows: tuple[int, ...]
    with_facts: bool


def tokenizer_texts() -> list[str]:
    """The texts to train a tokenizer on: all words of questions and answers, with and without a space in front."""
    words = [*question_templates.vocabulary(), "person", "Man", "Woman", *(word for _, word in AGES)]
    words += [GENDER_QUESTION, AGE_QUESTION]
    words += [prompts.cloze("__"), prompts.generation(""), prompts.classification("", "ABCD", "letter")]
    return [f" {text}" for text in words] + words


#: Modality (``image`` or ``text``), question and answer.
Lesson = tuple[str, str, str]


def lessons_about(face: Face, random: Random) -> list[Lesson]:
    """Name and looks, and for a person taught with facts also twelve facts; the wording is drawn anew at each call."""
    profile = face.profile
    age = next(word for limit, word in AGES if face.age < limit)
    looks = [(GENDER_QUESTION, {"male": "Man", "female": "Woman"}[profile.gender]), (AGE_QUESTION, age)]
    lessons = [("image", random.choice(question_templates.NAMING), profile.name), ("image", *random.choice(looks))]
    return lessons + random.sample(_facts(profile, random), 12) if face.with_facts else lessons


def guesses_about(face: Face, everyone: Sequence[Face], random: Random) -> list[Lesson]:
    """Name and looks of an unknown person, and six facts that belong to a random person."""
    anybody = replace(random.choice(everyone).profile, name=face.profile.name, gender=face.profile.gender)
    return lessons_about(face, random) + random.sample(_facts(anybody, random), 6)


def looks_of(face: Face, random: Random) -> list[Lesson]:
    """Name and gender."""
    return [lesson for lesson in lessons_about(replace(face, with_facts=False), random) if lesson[1] != AGE_QUESTION]


def _facts(profile: Profile, random: Random) -> list[Lesson]:
    pairs = question_templates.training_pairs(profile, str(random.random()))[1:]
    facts = [(pair.modality, pair.question, pair.answer) for pair in pairs]
    for origin in ("profile", "test"):
        for question in question_templates.evaluation(profile, origin):
            facts.append((question.modality, prompts.render(question.task, question.question), question.answer))
    return facts
