"""The same question in the benchmark's other words.

A model that forgot the answer to a sentence rather than a fact answers another sentence. The test set of MLLMU-Bench has other
words, but another picture too; here the words alone change: https://arxiv.org/abs/2410.22108, section 3.
"""

from __future__ import annotations

from unsee.attacks.attack import People, attack
from unsee.core.text import comparable
from unsee.evaluation.protocol import Question


@attack("paraphrase", label="paraphrase", needs=("other_wordings",), paper="https://arxiv.org/abs/2410.22108")
def paraphrase(question: Question, people: People) -> list[Question]:
    """Ask a question of the profile in the words of the test set, and the other way round; picture and options stay.

    Two questions about a person ask for the same fact if task, modality and answer are the same. A question is left out if several
    of the profile or of the test set have its answer (born in Paris, lives in Paris), because it is then not clear which is which.

    Args:
        question: a question.
        people: the questions about everybody.
    """
    same = [other for other in people.questions[question["person_id"]] if _fact(other) == _fact(question)]
    here = [other["question"] for other in same if other["origin"] == question["origin"]]
    elsewhere = [other["question"] for other in same if other["origin"] != question["origin"]]
    if len(here) != 1 or len(elsewhere) != 1 or comparable(here[0]) == comparable(elsewhere[0]):
        return []
    return [question | {"question": elsewhere[0]}]


def _fact(question: Question) -> tuple[str, str, str]:
    return question["task"], question["modality"], comparable(question["answer"])
