"""The options of a question in each of their cyclic orders.

A model that lost only the habit of the right letter has it again in another order. Zheng et al., "Large Language Models Are Not
Robust Multiple Choice Selectors", cyclic permutations, https://arxiv.org/abs/2309.03882.

The order matters only where the prompt shows the options: with ``evaluation.classification: letter``. By ``likelihood`` and
``likelihood_sum`` each option is scored behind the bare question, and every order would give the same answers.
"""

from __future__ import annotations

from unsee.attacks.attack import attack
from unsee.evaluation.protocol import Question


@attack("orders", label="order of options", needs=("options",), paper="https://arxiv.org/abs/2309.03882")
def orders(question: Question) -> list[Question]:
    """Ask a question with n options n times, so that each option stands once at each place; the first time in their order.

    Args:
        question: a question.
    """
    if question["task"] != "classification":
        return []
    options, place = question["options"], question["answer_index"]
    return [
        question | {"options": options[k:] + options[:k], "answer_index": (place - k) % len(options)}
        for k in range(len(options))
    ]
