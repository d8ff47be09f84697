"""Rows of one person that name another person are reported; if most of a person's rows do, they are refused."""

from __future__ import annotations

import pyarrow as pa

from unsee.benchmarks import coverage

PEOPLE = pa.Table.from_pylist(
    [
        {"person_id": "1", "name": "Ada Long", "group": "fictitious"},
        {"person_id": "2", "name": "Ben Short", "group": "fictitious"},
        {"person_id": "3", "name": "Sky", "group": "fictitious"},
        {"person_id": "9", "name": "Eva Famous", "group": "celebrity"},
    ]
)
WORDS = {"modality": "text", "origin": "profile", "task": "cloze", "options": []}


def rows(id_column: str, texts: list[tuple[str, str, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {id_column: f"{i}", "person_id": person, "question": question, "answer": answer, **WORDS}
            for i, (person, question, answer) in enumerate(texts)
        ]
    )


def test_pairs_and_questions_that_name_another_person_only() -> None:
    texts = [
        ("1", "Where does Ada Long live?", "In Rome."),
        ("1", "Where does Ben Short live?", "In Oslo."),  # exchanged
        ("2", "Who is this?", "This is Ben Short, a friend of Ada Long."),
        ("2", "Where does this person live?", "In Oslo, under a blue Sky."),  # a word like any other
        ("3", "Who is it?", "Ada Long"),  # exchanged
        ("9", "Who plays Ada Long?", "Eva"),  # not of the fictitious
    ]
    gaps = coverage.find_gaps(PEOPLE, rows("question_id", texts), rows("pair_id", texts))
    assert gaps["Training Pairs That Name Another Person Only"] == ["1", "4"]
    assert gaps["Questions That Name Another Person Only"] == ["1", "4"]
