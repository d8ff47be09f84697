"""Another photo of the same person.

A model that forgot a picture rather than a person answers when it is shown another one. The test set of MLLMU-Bench has another
picture, but other words too; here the picture alone changes: https://arxiv.org/abs/2410.22108, section 3.
"""

from __future__ import annotations

from unsee.attacks.attack import People, attack
from unsee.evaluation.protocol import Question


@attack("other_photo", label="another photo", needs=("other_pictures",), paper="https://arxiv.org/abs/2410.22108")
def other_photo(question: Question, people: People) -> list[Question]:
    """Show the question with the person's first other picture: one that no model was trained on, if there is any.

    Questions of the profile are then asked with the test set's picture, and those of the test set with the profile's, unless the
    test set has several pictures of the person.

    Args:
        question: a question.
        people: the pictures of everybody.
    """
    others = [image_id for image_id in people.image_ids[question["person_id"]] if image_id != question["image_id"]]
    if question["image_id"] is None or not others:
        return []
    return [question | {"image_id": others[0]}]
