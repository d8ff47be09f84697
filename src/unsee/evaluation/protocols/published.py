"""The common part of the two published evaluations of MLLMU-Bench, including their defects.

- Multiple choice and cloze prompts begin with *examples*: all questions, with answers, about people drawn from the evaluated set, anew
  for each set and task. Questions about these people are not scored in that set and task.
- A test question is shown with one of the person's test pictures, drawn for each person and task.
- A letter is the first character of the output. A blank counts as filled if the answer is a substring of the output.
- ROUGE's words are runs of a-z and 0-9, stemmed: an answer in another script scores 0, even if it is right.

The published code draws from one unseeded random stream. Here each draw has its own stream, with one of the seeds
``{seed}:examples:{ratio}:{set}:{task}`` and ``{seed}:picture:{person}:{task}``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import pandas as pd

from unsee.benchmarks.splits import assign_sets
from unsee.evaluation.metrics import names as metric_names
from unsee.evaluation.protocol import Question

LETTERS = "ABCD"
ONE_LETTER = "Just give ONE letter representing the answer directly."
FILL_IN = "Please **ONLY** provide the correct answer that should replace the [Blank]."
IN_ENGLISH = "Answer the question based on your trained knowledge in one sentence {}in ENGLISH."
ACCURATELY = IN_ENGLISH.format("accurately ")
_KEYS = ["question_id", "person_id", "origin", "task", "modality"]
#: The role of the people in a set's examples. Celebrities have none: the published code looks for them among the fictitious people.
_ROLES = {"forget": "forget", "test": "forget", "retain": "retain"}


def options(row: Question) -> str:
    """Always four lines: a missing option is printed as None."""
    texts = dict(zip(LETTERS, row["options"], strict=False))
    return "\n".join(f"{letter}: {texts.get(letter)}" for letter in LETTERS)


def blank(question: str) -> str:
    """A cloze with its blank marked, and the instruction to fill it."""
    return f"{question.replace('__', '[Blank]')}\n{FILL_IN}"


def examples_text(row: Question) -> str:
    """The examples in front of a question, in the words of both evaluations."""
    return "".join(_example(row["task"], example) for example in row.get("examples", ()))


def _example(task: str, row: Question) -> str:
    with_image = row["image_id"] is not None
    if task == "classification":
        answer = LETTERS[row["answer_index"]]
        turn = "USER: <image>" if with_image else "USER:"
        return f"{turn}\nQuestion: {row['question']}\n{options(row)}\nCorrect Answer: {answer}\n"
    return f"USER:{'<image>' if with_image else ''}\n{blank(row['question'])}\nCorrect Answer: {row['answer']}\n"


def manual_prompt(row: Question) -> str:
    """The whole prompt for LLaVA, whose turns are written by hand; the same in both evaluations."""
    with_image = row["image_id"] is not None
    question, turn = row["question"], "USER: <image>" if with_image else "USER:"
    if row["task"] == "classification":
        return f"{examples_text(row)}{turn}\n{question}\n{options(row)}\n{ONE_LETTER}\nASSISTANT:"
    if row["task"] == "cloze":
        return f"{examples_text(row)}{turn}\n{blank(question)}\nASSISTANT:"
    if with_image:
        return f"{turn}\n{question}\n{ACCURATELY}\nASSISTANT: "
    return f"{turn} {question}\n{IN_ENGLISH.format('')}\nASSISTANT:"


class Published(ABC):
    """The common part of both protocols, see :class:`unsee.evaluation.protocol.Protocol`.

    Args:
        seed: the seed of the draws.
    """

    metrics: Mapping[str, tuple[str, ...]] = {
        "classification": ("accuracy",),
        "generation": metric_names("generation"),
        "cloze": metric_names("cloze"),
    }
    max_new_tokens = 50

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._drawn: dict[tuple[int, str, str], list[str]] = {}

    @abstractmethod
    def example_people(self, task: str) -> int:
        """The number of people whose questions are the examples of a task."""

    def prepare(
        self, questions: Sequence[Question], splits: pd.DataFrame, image_ids: Sequence[str], percents: Sequence[int]
    ) -> list[Question]:
        if len(percents) != 1:
            raise ValueError(
                f"a published protocol asks at one ratio, whose people its examples are; got {list(percents)}"
            )
        table = pd.DataFrame([[q[key] for key in _KEYS] for q in questions], columns=pd.Index(_KEYS, dtype="object"))
        left = self.excluded(table, splits, percents[0])
        groups = assign_sets(table, splits, percents[0])
        profiles: dict[tuple[str, ...], list[Question]] = {}
        for question in sorted(questions, key=_number):
            if question["origin"] == "profile":
                profiles.setdefault(_kind(question, question["person_id"]), []).append(question)
        tests: dict[str, list[str]] = {}
        for image_id in image_ids:
            person, which = image_id.rsplit("/", 1)
            if which.startswith("test-"):
                tests.setdefault(person, []).append(image_id)
        prepared = []
        for question, group in zip(questions, groups, strict=True):
            if question["question_id"] in left:
                continue
            people = self._people(splits, percents[0], group, question["task"])
            examples = [row for person in people for row in profiles.get(_kind(question, person), [])]
            prepared.append({**question, "image_id": self._picture(question, tests), "examples": examples})
        return prepared

    def excluded(self, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> set[str]:
        groups = assign_sets(questions, splits, percent)
        rows: list[Question] = questions[_KEYS].to_dict("records")  # type: ignore[assignment]
        examples = Counter(_kind(row, row["person_id"]) for row in rows if row["origin"] == "profile")
        return {
            row["question_id"]
            for row, group in zip(rows, groups, strict=True)
            if row["person_id"] in self._people(splits, percent, group, row["task"])
            # By index: a test question is another wording of the example with the same index.
            and _number(row) < examples[_kind(row, row["person_id"])]
        }

    def candidates(self, row: Question) -> list[str | None]:
        return [None]

    def per_token(self, task: str) -> bool:
        return True

    def parse_choice(self, row: Question, output: str) -> int | None:
        if row["task"] != "classification":
            return None
        return LETTERS[: len(row["options"])].find(output[:1].upper() or " ")

    def _people(self, splits: pd.DataFrame, percent: int, group: str | None, task: str) -> list[str]:
        """The people whose questions are the examples of a set and task."""
        n = self.example_people(task)
        if not n or group not in _ROLES:
            return []
        key = (percent, group, task)
        if key not in self._drawn:
            here = splits[(splits["forget_percent"] == percent) & (splits["role"] == _ROLES[group])]
            people = sorted(here["person_id"])
            if len(people) <= n:
                raise ValueError(
                    f"{percent} %: {len(people)} people to {_ROLES[group]}, and the questions of {n} are examples of "
                    f"{task}; expected more than {n}, or nobody is left to ask about"
                )
            self._drawn[key] = Random(f"{self._seed}:examples:{percent}:{group}:{task}").sample(people, n)
        return self._drawn[key]

    def _picture(self, question: Question, tests: Mapping[str, Sequence[str]]) -> str | None:
        image_id: str | None = question["image_id"]
        if image_id is None or question["origin"] != "test":
            return image_id
        person, task = question["person_id"], question["task"]
        return Random(f"{self._seed}:picture:{person}:{task}").choice(tests[person])


def _kind(row: Question, person: str) -> tuple[str, ...]:
    return person, row["task"], row["modality"]


def _number(row: Question) -> int:
    """A question's index in its published list, the last part of its id."""
    return int(row["question_id"].rsplit("/", 1)[-1])
