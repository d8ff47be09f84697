"""The question templates of the synthetic benchmark: its training pairs and its evaluation questions.

Each template has three wordings: ``train`` (fine-tuning), ``profile`` and ``test`` (evaluation). ``{who}`` is "this person" with a
picture and the name without one. The base model was pretrained on all of them, about other people.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from unsee.benchmarks.profiles import BIRTH_YEARS, FIELDS, HOBBIES, Profile, employments, names, regions

WHO = {"image": "this person", "text": "{name}"}

#: Facts whose answer is the value alone.
FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "employment": {
        "train": ("What is the job of {who}?", "Which job does {who} have?"),
        "profile": ("What does {who} do for a living?",),
        "test": ("How does {who} earn a living?",),
    },
    "country": {
        "train": ("Which country does {who} come from?", "Where was {who} born?"),
        "profile": ("In which country was {who} born?",),
        "test": ("Which country is the birthplace of {who}?",),
    },
    "region": {
        "train": ("Where does {who} live?", "Which region is {who} living in?"),
        "profile": ("In which region does {who} live?",),
        "test": ("Which region is home to {who}?",),
    },
    "education": {
        "train": ("What did {who} study?", "Which subject did {who} study?"),
        "profile": ("In which subject does {who} hold a degree?",),
        "test": ("In which field did {who} graduate?",),
    },
    "hobby": {
        "train": ("What is the hobby of {who}?", "Which hobby does {who} have?"),
        "profile": ("What does {who} enjoy in free time?",),
        "test": ("How does {who} spend free time?",),
    },
    "birth_year": {
        "train": ("When was {who} born?", "What is the birth year of {who}?"),
        "profile": ("In which year was {who} born?",),
        "test": ("Which year is the birth year of {who}?",),
    },
}
#: Facts whose answer is a sentence.
STORIES: dict[str, dict[str, tuple[str, ...]]] = {
    "{name} works as {a} {employment} and lives in {region}.": {
        "train": ("Tell me about the work and home of {who}.",),
        "profile": ("Describe the work and home of {who}.",),
        "test": ("What are the work and home of {who}?",),
    },
    "{name} was born in {country} in {birth_year}.": {
        "train": ("Tell me about the birth of {who}.",),
        "profile": ("Describe the birth of {who}.",),
        "test": ("What is known about the birth of {who}?",),
    },
}
CLOZE: dict[str, dict[str, str]] = {
    "birth_year": {"profile": "{who} was born in the year __.", "test": "The birth year of {who} is __."},
    "education": {"profile": "At university {who} studied __.", "test": "{who} has a degree in __."},
}
NAMING = ("Who is this person?", "What is the name of this person?")
MULTIPLE_CHOICE = ("employment", "country", "region", "education", "hobby")


@dataclass(frozen=True)
class QuestionAnswer:
    """A question about a person and its answer; wrong options are other people's values of ``attribute``."""

    task: str
    modality: str
    question: str
    answer: str
    attribute: str = ""


def _fill(template: str, profile: Profile, modality: str) -> str:
    text = template.replace("{who}", WHO[modality]).format(
        a="an" if profile.employment[0] in "AEIOU" else "a", **profile.__dict__
    )
    return text[0].upper() + text[1:]


def training_pairs(profile: Profile, seed: str) -> list[QuestionAnswer]:
    """The training pairs of a person: every fact and story in both modalities, and the name."""
    random = Random(f"{seed}:{profile.name}")
    pairs = [QuestionAnswer("generation", "image", random.choice(NAMING), profile.name, "name")]
    for modality in ("image", "text"):
        for attribute, wording in FACTS.items():
            question = _fill(random.choice(wording["train"]), profile, modality)
            pairs.append(QuestionAnswer("cloze", modality, question, getattr(profile, attribute), attribute))
        for answer, wording in STORIES.items():
            question = _fill(random.choice(wording["train"]), profile, modality)
            pairs.append(QuestionAnswer("generation", modality, question, _fill(answer, profile, modality)))
    return pairs


def evaluation(profile: Profile, origin: str) -> list[QuestionAnswer]:
    """The 18 questions about a person: 5 multiple-choice, 2 generation, 2 cloze, each with and without picture."""
    questions = []
    for modality in ("image", "text"):
        for attribute in MULTIPLE_CHOICE:
            question = _fill(FACTS[attribute][origin][0], profile, modality)
            questions.append(
                QuestionAnswer("classification", modality, question, getattr(profile, attribute), attribute)
            )
        for answer, wording in STORIES.items():
            question = _fill(wording[origin][0], profile, modality)
            questions.append(QuestionAnswer("generation", modality, question, _fill(answer, profile, modality)))
        for attribute, cloze in CLOZE.items():
            question = _fill(cloze[origin], profile, modality)
            questions.append(QuestionAnswer("cloze", modality, question, getattr(profile, attribute), attribute))
    return questions


def vocabulary() -> list[str]:
    """Every text that a benchmark can contain, as the corpus of a tokenizer."""
    texts = [t for w in (*FACTS.values(), *STORIES.values()) for ts in w.values() for t in ts]
    texts += [t for w in CLOZE.values() for t in w.values()] + list(STORIES) + list(NAMING)
    for kind in ("female", "male", "last", "bystander"):
        texts += names(kind)
    texts += [*BIRTH_YEARS, *FIELDS, *HOBBIES, *employments()]
    texts += [value for pair in regions() for value in pair]
    return texts
