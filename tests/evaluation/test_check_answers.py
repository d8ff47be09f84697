"""Questions whose answers cannot be told apart reach no model, whoever made the tables."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import error_page
from unsee.benchmarks import schema, tables
from unsee.benchmarks.schema import BenchmarkError
from unsee.evaluation.predict import predict
from unsee.evaluation.questions import check_answers, read_questions

CHOICE = {
    "question_id": "profile/000/image/classification/0",
    "task": "classification",
    "options": ["Baker", "Nurse", "Pilot"],
    "answer": "Nurse",
    "answer_index": 1,
}
CLOZE = {
    "question_id": "profile/000/text/cloze/1",
    "task": "cloze",
    "options": [],
    "answer": "Oslo",
    "answer_index": -1,
}


def complaint(row: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(BenchmarkError) as caught:
        check_answers([CHOICE, CLOZE, row | changes])
    return str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Nurse", "Nurse"), ("Nurse", "nurse "), ("Day  nurse", "Day nurse"), ("Caf\u00e9", "Cafe\u0301")]
    + [("Straße", "STRASSE"), ("1984", "１９８４"), ("Oslo", "Os\u00adlo")],
)
@pytest.mark.parametrize("task", ["classification", "likelihood"])
def test_options_that_say_the_same_are_refused(one: str, other: str, task: str) -> None:
    message = complaint(CHOICE, options=["Baker", one, "Pilot", other], answer="Baker", answer_index=0, task=task)
    assert message == (
        f"question '{CHOICE['question_id']}': options 1 and 3 are {one!r} and {other!r}, which say the same; expected options "
        "that differ in more than case and white space"
    )


def test_options_that_differ_by_a_sign_are_options() -> None:
    check_answers([CHOICE | {"options": ["C", "C++", "C#", "-5", "5", "Nurse.", "Nurse"], "answer": "C++"}])
    check_answers([CLOZE | {"answer": "€"}, CHOICE | {"answer": "nurse "}])


def test_what_is_said() -> None:
    message = complaint(CHOICE, options=["Baker", "Nurse", "nurse "])
    error_page.check(
        "two options that differ only in case or white space, in tables that no loader made", "job", message
    )
    message = complaint(CHOICE, options=["Baker", "Nurse", "\u200b"])
    error_page.check("an option that cannot be seen, in tables that no loader made", "job", message)
    message = complaint(CHOICE, answer_index=0)
    error_page.check("an answer that is not the option called right, in tables that no loader made", "job", message)
    message = complaint(CLOZE, answer="\u200d ")
    error_page.check("an answer of invisible characters, in tables that no loader made", "job", message)
    for index in (-1, 3):
        assert f"answer_index is {index}, and the answer 'Nurse'" in complaint(CHOICE, answer_index=index)
    assert "option 1 is None" in complaint(CHOICE, options=["Baker", None])


def test_the_first_ten_are_named() -> None:
    wrong = [CHOICE | {"question_id": str(i), "answer_index": 0} for i in range(12)]
    with pytest.raises(BenchmarkError) as caught:
        check_answers(wrong)
    lines = str(caught.value).splitlines()
    assert len(lines) == 11 and lines[9].startswith("question '9': ") and lines[10] == "and 2 more"


def test_they_reach_no_model(mini_benchmark: Path, tmp_path: Path) -> None:
    folder = tmp_path / "benchmark"
    shutil.copytree(mini_benchmark, folder)
    rows = tables.read_table(folder, "questions").to_pylist()
    (first, *_) = (row for row in rows if row["task"] == "classification")
    first["options"] = [first["answer"].upper() if i == 3 else option for i, option in enumerate(first["options"])]
    first["options"][0], first["answer_index"] = first["answer"], 0
    pq.write_table(pa.Table.from_pylist(rows, schema.QUESTIONS), folder / "questions.parquet")
    with pytest.raises(BenchmarkError, match="which say the same"):
        read_questions(folder, [25])
    no_model: dict[str, Any] = {
        "name": "none",
        "family": "llava",
        "path": str(tmp_path / "nowhere"),
        "dtype": "float32",
    }
    with pytest.raises(BenchmarkError, match="which say the same"):
        predict(
            no_model,
            folder,
            adapters=[],
            forget_percents=[25],
            settings={"batch_size": 1},
            threads=1,
            output=tmp_path / "p",
        )
