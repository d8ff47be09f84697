"""Facts about another person before the question.

They say nothing about the person in question, but show the model what is spoken of, and bring back what is merely not thought of.
Lynch et al., "Eight Methods to Evaluate Robust Unlearning in LLMs", https://arxiv.org/abs/2402.16835. An attack that tells the
answer would measure reading: Feng et al., "Existing Large Language Model Unlearning Evaluations Are Inconclusive",
https://arxiv.org/abs/2506.00688.
"""

from __future__ import annotations

from random import Random
from typing import Annotated

from unsee.attacks.attack import People, attack
from unsee.core.text import comparable
from unsee.evaluation.protocol import Question


@attack("hint", label="in-context hint", paper="https://arxiv.org/abs/2402.16835")
def hint(question: Question, random: Random, people: People, *, facts: Annotated[int, ">= 1"] = 3) -> list[Question]:
    """Put facts about a person who is not to be forgotten before the question: questions without pictures, with their answers.

    No fact has the name or any answer of the person in question in it, so that it gives nothing away. A person of whom too few
    facts are left is passed over.

    Args:
        question: a question.
        random: decides the other person and the facts.
        people: the questions about everybody.
        facts: how many.
    """
    person = question["person_id"]
    secrets = {people.names[person], *(each["answer"] for each in people.questions[person])}
    others = sorted(people.questions.keys() - people.forgotten - {person})
    for other in random.sample(others, len(others)):
        statements = dict.fromkeys(_statement(each) for each in people.questions[other] if each["modality"] == "text")
        harmless = [statement for statement in statements if not _gives_away(statement, secrets)]
        if len(harmless) >= facts and not _gives_away(people.names[other], secrets):
            lines = [f"Facts about {people.names[other]}:", *random.sample(harmless, facts), "", question["question"]]
            return [question | {"question": "\n".join(lines)}]
    return []


def _statement(question: Question) -> str:
    """A question and its answer; a blank filled with it."""
    if "__" in question["question"]:
        return str(question["question"].replace("__", question["answer"]))
    return f"{question['question']} {question['answer']}"


def _gives_away(statement: str, secrets: set[str]) -> bool:
    return any(comparable(secret) in comparable(statement) for secret in secrets)
