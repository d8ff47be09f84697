"""The loader against hand-made files in the published layout, whole and broken."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.benchmarks import files, mllmu, synthetic
from unsee.benchmarks.schema import BenchmarkError


def picture(colour: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"{colour}.png"}


def choice(question: str, answer: str = "B") -> dict[str, Any]:
    return {
        "Question": question,
        "Options": dict(zip("ABCD", ["w", "x", "y", "z"], strict=True)),
        "Correct_Answer": answer,
    }


def tasks(who: str) -> dict[str, Any]:
    return {
        "Classification_Task": {
            "Image_Textual_Questions": [choice(f"{who} i?")],
            "Pure_Text_Questions": [choice(f"{who} t?", "D")],
        },
        "Generation_Task": [{"Type": "Image_Textual", "Question": f"{who} g?", "Ground_Truth": "long answer"}],
        "Mask_Task": [{"Type": "Pure_Text", "Question": f"{who} is __", "Ground_Truth": "gap"}],
    }


def profile(number: int, **biography: Any) -> dict[str, Any]:
    who = f"Person {number}"
    return {
        "image": picture(number),
        "ID": f"{number:03d}",
        "Directory": "d",
        "biography": json.dumps({"Name": who, **biography}),
        "question": "q",
        "answer": "a",
        **tasks(who),
    }


class Published:
    """Rows of each folder, to be changed and then written."""

    def __init__(self) -> None:
        # Biography keys are uneven in the published data.
        people = [profile(1, Born="1950"), profile(2, **{"Date of Birth": "1960"}), profile(93, Parents=["a", "b"])]
        self.rows: dict[str, list[dict[str, Any]]] = {
            "Full_Set": people,
            "forget_33": [people[2]],
            "retain_67": people[:2],
            "Retain_Set": [profile(1)],
            "Test_Set": [
                {"images": [picture(100 + i), picture(200)], "ID": p["ID"], "biography": p["biography"], **tasks("T")}
                for i, p in enumerate(people)
            ],
            "ft_Data": [
                {
                    "image": p["image"],
                    "ID": p["ID"],
                    "metadata": json.dumps(
                        [{"Question": "Who?", "Answer": "Me"}, {"Question": "x", "Answer": "y", "Type": "Pure_Text"}]
                    ),
                }
                for p in people
            ],
        }
        self.schemas = {name: synthetic.PROFILE for name in self.rows} | {
            "Test_Set": synthetic.TEST,
            "ft_Data": synthetic.TRAINING,
        }

    def write(self, folder: Path) -> Path:
        for name, rows in self.rows.items():
            half = len(rows) // 2 if name == "Test_Set" else len(rows)
            shards = [rows[:half], rows[half:]] if half < len(rows) else [rows]
            synthetic._write(folder / name, shards, self.schemas[name])
        return folder


def test_the_published_layout_gives_these_tables(tmp_path: Path) -> None:
    benchmark = mllmu.load(Published().write(tmp_path), [33])
    assert benchmark.people.select(["person_id", "name", "group"]).to_pylist() == [
        {"person_id": "001", "name": "Person 1", "group": "fictitious"},
        {"person_id": "002", "name": "Person 2", "group": "fictitious"},
        {"person_id": "093", "name": "Person 93", "group": "fictitious"},
        {"person_id": "celebrity-001", "name": "Person 1", "group": "celebrity"},
    ]
    assert benchmark.images["image_id"].to_pylist()[:3] == ["001/profile", "002/profile", "093/profile"]
    assert "093/test-1" in benchmark.images["image_id"].to_pylist()
    questions = {q["question_id"]: q for q in benchmark.questions.to_pylist()}
    assert len(questions) == 4 * (3 + 3 + 1)
    assert questions["profile/093/text/classification/0"] == {
        "question_id": "profile/093/text/classification/0",
        "person_id": "093",
        "origin": "profile",
        "modality": "text",
        "task": "classification",
        "image_id": None,
        "question": "Person 93 t?",
        "options": ["w", "x", "y", "z"],
        "answer": "z",
        "answer_index": 3,
    }
    assert questions["test/001/image/generation/0"]["image_id"] == "001/test-0"
    assert questions["celebrity/celebrity-001/text/cloze/0"]["answer"] == "gap"
    assert benchmark.training_pairs.to_pylist()[1] == {
        "pair_id": "001/01",
        "person_id": "001",
        "modality": "text",
        "image_id": None,
        "question": "x",
        "answer": "y",
    }
    assert {(s["person_id"], s["role"]) for s in benchmark.splits.to_pylist()} == {
        ("093", "forget"),
        ("001", "retain"),
        ("002", "retain"),
    }


@pytest.mark.parametrize("column", ["ID in metadata", "nothing but the picture"])
def test_training_pairs_find_their_person_without_an_id_column(tmp_path: Path, column: str) -> None:
    published = Published()
    for row in published.rows["ft_Data"]:
        person = row.pop("ID")
        if column == "ID in metadata":
            row["metadata"] = json.dumps([{**entry, "ID": person} for entry in json.loads(row["metadata"])])
    published.schemas["ft_Data"] = pa.schema([f for f in synthetic.TRAINING if f.name != "ID"])
    benchmark = mllmu.load(published.write(tmp_path), [33])
    assert benchmark.training_pairs["person_id"].to_pylist() == ["001", "001", "002", "002", "093", "093"]


def test_questions_are_read_without_pictures(tmp_path: Path) -> None:
    from unsee.benchmarks.schema import read_table

    mllmu.load(Published().write(tmp_path / "raw"), [33]).write(tmp_path / "tables")
    assert read_table(tmp_path / "tables", "questions", ["question_id"]).column_names == ["question_id"]
    with pytest.raises(BenchmarkError, match="people.parquet: not found"):
        read_table(tmp_path, "people")


def test_an_option_that_a_row_lacks_is_left_out(tmp_path: Path) -> None:
    published = Published()
    published.rows["Full_Set"][1]["Classification_Task"]["Pure_Text_Questions"][0]["Options"]["A"] = None
    benchmark = mllmu.load(published.write(tmp_path), [33])
    (found,) = [q for q in benchmark.questions.to_pylist() if q["question_id"] == "profile/002/text/classification/0"]
    assert (found["options"], found["answer"], found["answer_index"]) == (["x", "y", "z"], "z", 2)


def test_a_folder_that_save_to_disk_left_is_the_same(tmp_path: Path) -> None:
    published = Published()
    expected = mllmu.load(published.write(tmp_path / "shards"), [33])
    for name, rows in published.rows.items():
        table = pa.Table.from_pylist(rows, published.schemas[name])
        # A whole set of splits, and a single one.
        folder = tmp_path / "saved" / name / ("train" if name == "Test_Set" else "")
        folder.mkdir(parents=True)
        for i, part in enumerate((table.slice(0, 1), table.slice(1))):
            with pa.ipc.new_stream(str(folder / f"data-0000{i}-of-00002.arrow"), table.schema) as stream:
                stream.write_table(part)
    found = mllmu.load(tmp_path / "saved", [33])
    for name in ("people", "images", "questions", "training_pairs", "splits"):
        assert getattr(found, name).to_pylist() == getattr(expected, name).to_pylist()


def test_the_join_of_training_pairs_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unsee")
    mllmu.load(Published().write(tmp_path), [33])
    assert "training pairs: joined from ft_Data by ID (the split folders publish no column metadata)" in caplog.text
    assert "Test_Set: 3 classification (image), 3 classification (text)" in caplog.text


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    published = Published()
    for name in ("Full_Set", "Test_Set", "Retain_Set", "retain_67"):
        del published.rows[name]
    with pytest.raises(BenchmarkError) as caught:
        mllmu.load(published.write(tmp_path), [33])
    assert "lacks Full_Set, Test_Set, Retain_Set, retain_67 (no train-*.parquet" in str(caught.value)
    assert str(caught.value).endswith("expected these folders of the data set MLLMMU/MLLMU-Bench")


def test_who_has_a_split_and_the_training_data_only_is_told_the_rest(tmp_path: Path) -> None:
    published = Published()
    published.rows = {"forget_33": published.rows["forget_33"], "ft_Data": published.rows["ft_Data"]}
    with pytest.raises(BenchmarkError) as caught:
        mllmu.load(published.write(tmp_path), [33])
    assert str(caught.value) == (
        f"{tmp_path}: lacks Full_Set, Test_Set, Retain_Set, retain_67 (no train-*.parquet or data-*.arrow or "
        "train/data-*.arrow there); expected these folders of the data set MLLMMU/MLLMU-Bench"
    )


def test_a_row_group_at_a_time_is_in_memory(tmp_path: Path) -> None:
    rows = [{"images": [{"bytes": bytes([i]) * 500_000, "path": ""}], "ID": f"{i}"} for i in range(64)]
    table = pa.Table.from_pylist(rows, pa.schema([f for f in synthetic.TEST if f.name in ("images", "ID")]))
    (tmp_path / "Test_Set").mkdir()
    pq.write_table(table, tmp_path / "Test_Set" / "train-00000-of-00001.parquet", row_group_size=8)
    del table, rows
    reader = files.Published(tmp_path, "x/y", ["Test_Set"])
    before, most, n = pa.total_allocated_bytes(), 0, 0
    for _, row in reader.rows("Test_Set", {"ID": files.TEXT, "images": [files.PICTURE]}):
        most = max(most, pa.total_allocated_bytes() - before)
        assert row["images"][0]["bytes"][0] == n
        n += 1
    assert n == 64 and most < 20_000_000
    before = pa.total_allocated_bytes()
    assert [row["ID"] for _, row in reader.rows("Test_Set", ["ID"])] == [str(i) for i in range(64)]
    assert pa.total_allocated_bytes() - before < 100_000, "a column that is not asked for is not read"


def test_pictures_are_not_held_in_memory(tmp_path: Path) -> None:
    store = files.ImageStore(tmp_path)
    before = pa.total_allocated_bytes()
    for i in range(64):
        store.add(f"{i}", "a", bytes(1_000_000))
    table = store.table()
    assert pa.total_allocated_bytes() - before < 4_000_000
    assert table.num_rows == 64 and table["bytes"][63].as_py() == bytes(1_000_000)


def _set(folder: str, row: int, **values: Any) -> Callable[[Published], None]:
    return lambda published: published.rows[folder][row].update(values)


def _drop(folder: str) -> Callable[[Published], None]:
    return lambda published: published.rows.pop(folder) and None  # type: ignore[return-value]


def _column(folder: str, column: str) -> Callable[[Published], None]:
    def remove(published: Published) -> None:
        published.schemas[folder] = pa.schema([f for f in published.schemas[folder] if f.name != column])
        for row in published.rows[folder]:
            row.pop(column, None)

    return remove


def _option(value: str | None, *letters: str) -> Callable[[Published], None]:
    def put(published: Published) -> None:
        options = published.rows["Full_Set"][1]["Classification_Task"]["Image_Textual_Questions"][0]["Options"]
        options |= dict.fromkeys(letters, value)

    return put


def _letter(published: Published) -> None:
    published.rows["Full_Set"][0]["Classification_Task"]["Pure_Text_Questions"][0]["Correct_Answer"] = "E"


def _answer(published: Published) -> None:
    published.rows["Full_Set"][2]["Mask_Task"][0]["Ground_Truth"] = "  "


def _kind(published: Published) -> None:
    published.rows["Full_Set"][2]["Generation_Task"][0]["Type"] = "Audio"


def _both(published: Published) -> None:
    published.rows["retain_67"] = published.rows["Full_Set"]


def _no_cloze(published: Published) -> None:
    published.rows["Retain_Set"][0]["Mask_Task"] = []


def _ratio(published: Published) -> None:
    published.rows["forget_33"] = published.rows["Full_Set"][1:]


def _split_twice(published: Published) -> None:
    published.rows["retain_67"] = published.rows["retain_67"] + published.rows["retain_67"][:1]


def _twice(published: Published) -> None:
    published.rows["Full_Set"] = published.rows["Full_Set"] + published.rows["Full_Set"][:1]


BROKEN: dict[str, tuple[Callable[[Published], None], list[str]]] = {
    "no Full_Set": (_drop("Full_Set"), ["lacks Full_Set (no train-*.parquet", "MLLMMU/MLLMU-Bench"]),
    "no ft_Data": (_drop("ft_Data"), ["lacks ft_Data"]),
    "no forget folder": (_drop("forget_33"), ["lacks forget_33"]),
    "no biography": (_column("Full_Set", "biography"), ["Full_Set", "no column 'biography'"]),
    "no metadata": (_column("ft_Data", "metadata"), ["ft_Data", "no column 'metadata'"]),
    "no pictures in the test set": (_column("Test_Set", "images"), ["Test_Set", "no column 'images or image'"]),
    "biography is no JSON": (_set("Full_Set", 1, biography="{"), ["Full_Set", "row 1", "biography is not JSON"]),
    "nameless": (_set("Full_Set", 1, biography="{}"), ["row 1", "no Name"]),
    "metadata is no JSON": (_set("ft_Data", 2, metadata="oops"), ["ft_Data", "row 2", "metadata is not JSON"]),
    "metadata is empty": (_set("ft_Data", 2, metadata="[]"), ["ft_Data", "row 2", "no question and answer"]),
    "an empty training answer": (
        _set("ft_Data", 0, metadata='[{"Question": "q", "Answer": ""}]'),
        ["ft_Data", "row 0", "metadata[0]: Answer is '', expected text"],
    ),
    "training data of nobody": (_set("ft_Data", 0, ID="777"), ["ft_Data", "row 0", "'777' is nobody in Full_Set"]),
    "an id that is a path": (_set("Full_Set", 0, ID="../up"), ["Full_Set", "row 0", "'../up'"]),
    "an id that is no text": (_set("Full_Set", 0, ID=None), ["Full_Set", "row 0", "ID is None"]),
    "a picture that is none": (_set("Full_Set", 1, image={"bytes": b"no", "path": ""}), ["row 1", "cannot be decoded"]),
    "a picture without bytes": (_set("Full_Set", 1, image={"bytes": None, "path": "x"}), ["row 1", "no bytes"]),
    "an empty option": (_option(" ", "D"), ["Full_Set", "row 1", "option D is ' ', expected text"]),
    "the right option is missing": (_option(None, "B"), ["Full_Set", "row 1", "Correct_Answer is 'B'"]),
    "one option only": (
        _option(None, "A", "C", "D"),
        ["Full_Set", "row 1", "1 different options, expected at least two"],
    ),
    "a letter beyond the options": (_letter, ["row 0", "Correct_Answer is 'E'"]),
    "an empty answer": (_answer, ["row 2", "Mask_Task[0]: Ground_Truth is '  '"]),
    "an unknown type": (_kind, ["row 2", "Generation_Task", "'Audio'"]),
    "a person in both": (_both, ["'093'", "forget_33 and in retain_67"]),
    "a person in neither": (lambda p: p.rows["retain_67"].pop() and None, ["'002'", "neither forget_33 nor retain_67"]),  # type: ignore[arg-type, return-value]
    "a test person of nobody": (_set("Test_Set", 2, ID="555"), ["Test_Set", "'555' is nobody"]),
    "training pairs that are no objects": (
        _set("ft_Data", 1, metadata='["q"]'),
        ["ft_Data", "row 1", "metadata[0] is 'q', expected an object"],
    ),
    "an unknown kind of pair": (
        _set("ft_Data", 0, metadata='[{"Question": "q", "Answer": "a", "Type": "Audio"}]'),
        ["ft_Data", "row 0", "metadata[0]", "Type is 'Audio'"],
    ),
    "a task without questions": (_no_cloze, ["Retain_Set", "no cloze question", "Mask_Task"]),
    "another ratio's folder": (_ratio, ["forget_33", "2 people", "expected 1", "33 % of the 3"]),
    "a person twice in a split": (_split_twice, ["retain_67", "row 2", "'001'", "a second time"]),
    "the same person twice": (_twice, ["Full_Set", "row 3", "'001'", "a second time"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    published = Published()
    damage(published)
    with pytest.raises(BenchmarkError) as caught:
        mllmu.load(published.write(tmp_path), [33])
    for word in words:
        assert word in str(caught.value)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = Published().write(tmp_path)
    file = folder / "Full_Set" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BenchmarkError, match=r"Full_Set.*train-00000-of-00001\.parquet: not a readable parquet"):
        mllmu.load(folder, [33])
    assert pq.ParquetFile(folder / "Retain_Set" / "train-00000-of-00001.parquet").metadata.num_rows == 1
