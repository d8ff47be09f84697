"""The loader against hand-made files in the published layout, whole and broken."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests import error_page
from unsee.benchmarks import cells, columns, readers, statistics, synthetic
from unsee.benchmarks.published import load
from unsee.benchmarks.schema import BenchmarkError

TEXT = pa.string()


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
        self.after: list[Callable[[Path], None]] = []
        self.schemas = {name: synthetic.PROFILE for name in self.rows} | {
            "Test_Set": synthetic.TEST,
            "ft_Data": synthetic.TRAINING,
        }

    def write(self, folder: Path) -> Path:
        for name, rows in self.rows.items():
            half = len(rows) // 2 if name == "Test_Set" else len(rows)
            shards = [rows[:half], rows[half:]] if half < len(rows) else [rows]
            synthetic._write(folder / name, shards, self.schemas[name])
        for change in self.after:
            change(folder)
        return folder


def test_the_published_layout_gives_these_tables(tmp_path: Path) -> None:
    benchmark = load("mllmu", Published().write(tmp_path), [33])
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
    benchmark = load("mllmu", published.write(tmp_path), [33])
    assert benchmark.training_pairs["person_id"].to_pylist() == ["001", "001", "002", "002", "093", "093"]


def test_questions_are_read_without_pictures(tmp_path: Path) -> None:
    from unsee.benchmarks.tables import read_table

    load("mllmu", Published().write(tmp_path / "raw"), [33]).write(tmp_path / "tables")
    assert read_table(tmp_path / "tables", "questions", ["question_id"]).column_names == ["question_id"]
    with pytest.raises(BenchmarkError, match="people.parquet: not found"):
        read_table(tmp_path, "people")


def test_an_option_that_a_row_lacks_is_left_out(tmp_path: Path) -> None:
    published = Published()
    published.rows["Full_Set"][1]["Classification_Task"]["Pure_Text_Questions"][0]["Options"]["A"] = None
    benchmark = load("mllmu", published.write(tmp_path), [33])
    (question,) = [
        q for q in benchmark.questions.to_pylist() if q["question_id"] == "profile/002/text/classification/0"
    ]
    assert (question["options"], question["answer"], question["answer_index"]) == (["x", "y", "z"], "z", 2)


def test_a_folder_that_save_to_disk_left_is_the_same(tmp_path: Path) -> None:
    published = Published()
    expected = load("mllmu", published.write(tmp_path / "shards"), [33])
    for name, rows in published.rows.items():
        table = pa.Table.from_pylist(rows, published.schemas[name])
        # A whole set of splits, and a single one.
        folder = tmp_path / "saved" / name / ("train" if name == "Test_Set" else "")
        folder.mkdir(parents=True)
        for i, part in enumerate((table.slice(0, 1), table.slice(1))):
            with pa.ipc.new_stream(str(folder / f"data-0000{i}-of-00002.arrow"), table.schema) as stream:
                stream.write_table(part)
    loaded = load("mllmu", tmp_path / "saved", [33])
    for name in ("people", "images", "questions", "training_pairs", "splits"):
        assert getattr(loaded, name).to_pylist() == getattr(expected, name).to_pylist()


def test_the_join_of_training_pairs_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unsee")
    load("mllmu", Published().write(tmp_path), [33])
    assert "training pairs: joined from ft_Data by ID (the split folders publish no column metadata)" in caplog.text
    assert "Test_Set: 3 classification (image), 3 classification (text)" in caplog.text


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    published = Published()
    for name in ("Full_Set", "Test_Set", "Retain_Set", "retain_67"):
        del published.rows[name]
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
    assert "lacks Full_Set, Test_Set, Retain_Set, retain_67 (no train-*.parquet" in str(caught.value)
    assert str(caught.value).endswith("expected these folders of the data set MLLMMU/MLLMU-Bench")


def test_who_has_a_split_and_the_training_data_only_is_told_the_rest(tmp_path: Path) -> None:
    published = Published()
    published.rows = {"forget_33": published.rows["forget_33"], "ft_Data": published.rows["ft_Data"]}
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
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
    reader = readers.PublishedFolder(tmp_path, "x/y", ["Test_Set"])
    before, most, n = pa.total_allocated_bytes(), 0, 0
    for _, row in reader.rows("Test_Set", {"ID": columns.TEXT, "images": [columns.PICTURE]}):
        most = max(most, pa.total_allocated_bytes() - before)
        assert row["images"][0]["bytes"][0] == n
        n += 1
    assert n == 64 and most < 20_000_000
    before = pa.total_allocated_bytes()
    assert [row["ID"] for _, row in reader.rows("Test_Set", {"ID": columns.TEXT})] == [str(i) for i in range(64)]
    assert pa.total_allocated_bytes() - before < 100_000, "a column that is not asked for is not read"


def test_pictures_are_not_held_in_memory(tmp_path: Path) -> None:
    store = readers.ImageStore(tmp_path)
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


def _unwritten(folder: str, file: str) -> Callable[[Published], None]:
    return lambda published: published.after.append(lambda path: (path / folder / file).unlink())


def _written_again(folder: str, file: str, name: str) -> Callable[[Published], None]:
    def copy(path: Path) -> None:
        (path / folder / name).write_bytes((path / folder / file).read_bytes())

    return lambda published: published.after.append(copy)


def _in_place_of_a_shard(make: Callable[[Path], Any]) -> Callable[[Published], None]:
    def replace(path: Path) -> None:
        file = path / "Full_Set" / "train-00000-of-00001.parquet"
        file.unlink()
        make(file)

    return lambda published: published.after.append(replace)


def _exchanged_metadata(published: Published) -> None:
    """Each row has its own ID and picture, and facts about the other person."""
    for row, name in zip(published.rows["ft_Data"], ("Person 2", "Person 1", "Person 93"), strict=True):
        pairs = [{"Question": "Who is this?", "Answer": name}, {"Question": f"Where is {name}?", "Answer": "Rome"}]
        row["metadata"] = json.dumps(pairs)


def _exchanged_questions(published: Published) -> None:
    first, second, _ = published.rows["Full_Set"]
    for column in ("Classification_Task", "Generation_Task"):
        first[column], second[column] = second[column], first[column]


def _question(published: Published) -> dict[str, Any]:
    question: dict[str, Any] = published.rows["Full_Set"][0]["Classification_Task"]["Pure_Text_Questions"][0]
    return question


def _correct(answer: str) -> Callable[[Published], None]:
    return lambda published: _question(published).update(Correct_Answer=answer)


def _options_are(options: Any) -> Callable[[Published], None]:
    return lambda published: _question(published).update(Options=options)


def _entry(folder: str, column: str, entry: Any) -> Callable[[Published], None]:
    def put(published: Published) -> None:
        published.rows[folder][1 if entry is None else 0][column] = [entry]

    return put


def _pairs(*entries: dict[str, str]) -> str:
    return json.dumps([{"Question": "q", "Answer": "a", **entry} for entry in entries])


def _classification(options: pa.DataType) -> pa.DataType:
    questions = pa.list_(pa.struct([("Question", TEXT), ("Options", options), ("Correct_Answer", TEXT)]))
    return pa.struct([("Image_Textual_Questions", questions), ("Pure_Text_Questions", questions)])


def _retype(folder: str, column: str, kind: pa.DataType) -> Callable[[Published], None]:
    """The column holds something of another type in every row."""
    value: Any = "[]" if pa.types.is_string(kind) else 1 if pa.types.is_integer(kind) else None
    if pa.types.is_list(kind):
        value = [{}]
    elif pa.types.is_struct(kind):
        value = {"Image_Textual_Questions": [{}], "Pure_Text_Questions": []}

    def change(published: Published) -> None:
        fields = [pa.field(f.name, kind) if f.name == column else f for f in published.schemas[folder]]
        published.schemas[folder] = pa.schema(fields)
        published.rows[folder] = [{**row, column: value} for row in published.rows[folder]]

    return change


def _without_tasks(folder: str, row: int, *columns: str) -> Callable[[Published], None]:
    return lambda published: published.rows[folder].__setitem__(
        row, {**published.rows[folder][row], **dict.fromkeys(columns)}
    )


BROKEN: dict[str, tuple[Callable[[Published], None], list[str]]] = {
    "MLLMU-Bench: no Full_Set": (_drop("Full_Set"), ["lacks Full_Set (no train-*.parquet", "MLLMMU/MLLMU-Bench"]),
    "MLLMU-Bench: no ft_Data": (_drop("ft_Data"), ["lacks ft_Data"]),
    "MLLMU-Bench: no forget folder": (_drop("forget_33"), ["lacks forget_33"]),
    "MLLMU-Bench: no biography": (_column("Full_Set", "biography"), ["Full_Set", "no column 'biography'"]),
    "MLLMU-Bench: no metadata": (_column("ft_Data", "metadata"), ["ft_Data", "no column 'metadata'"]),
    "MLLMU-Bench: no pictures in the test set": (
        _column("Test_Set", "images"),
        ["Test_Set", "no column 'images or image'"],
    ),
    "MLLMU-Bench: biography is no JSON": (
        _set("Full_Set", 1, biography="{"),
        ["Full_Set", "row 1", "biography is not JSON"],
    ),
    "MLLMU-Bench: a biography without a name": (_set("Full_Set", 1, biography="{}"), ["row 1", "no Name"]),
    "MLLMU-Bench: metadata is no JSON": (
        _set("ft_Data", 2, metadata="oops"),
        ["ft_Data", "row 2", "metadata is not JSON"],
    ),
    "MLLMU-Bench: metadata is empty": (
        _set("ft_Data", 2, metadata="[]"),
        ["ft_Data", "row 2", "no question and answer"],
    ),
    "MLLMU-Bench: an empty training answer": (
        _set("ft_Data", 0, metadata='[{"Question": "q", "Answer": ""}]'),
        ["ft_Data", "row 0", "metadata[0]: Answer is '', expected text"],
    ),
    "MLLMU-Bench: training data of an unknown person": (
        _set("ft_Data", 0, ID="777"),
        ["ft_Data", "row 0", "ID is '777', expected the ID of a person in Full_Set"],
    ),
    "MLLMU-Bench: an id that is a path": (_set("Full_Set", 0, ID="../up"), ["Full_Set", "row 0", "'../up'"]),
    "MLLMU-Bench: an id that is no text": (_set("Full_Set", 0, ID=None), ["Full_Set", "row 0", "ID is None"]),
    "MLLMU-Bench: a picture that is null": (
        _set("Full_Set", 1, image={"bytes": b"no", "path": ""}),
        ["row 1", "cannot be decoded"],
    ),
    "MLLMU-Bench: a picture without bytes": (
        _set("Full_Set", 1, image={"bytes": None, "path": "x"}),
        ["row 1", "no bytes"],
    ),
    "MLLMU-Bench: an empty option": (_option(" ", "D"), ["Full_Set", "row 1", "option D is ' ', expected text"]),
    "MLLMU-Bench: the right option is missing": (_option(None, "B"), ["Full_Set", "row 1", "Correct_Answer is 'B'"]),
    "MLLMU-Bench: one option only": (
        _option(None, "A", "C", "D"),
        ["Full_Set", "row 1", "1 different options, expected at least two"],
    ),
    "MLLMU-Bench: a letter beyond the options": (_letter, ["row 0", "Correct_Answer is 'E'"]),
    "MLLMU-Bench: an empty answer": (_answer, ["row 2", "Mask_Task[0]: Ground_Truth is '  '"]),
    "MLLMU-Bench: an unknown type": (_kind, ["row 2", "Generation_Task", "'Audio'"]),
    "MLLMU-Bench: a person in both": (_both, ["'093'", "forget_33 and in retain_67"]),
    "MLLMU-Bench: a person in neither": (
        lambda p: p.rows["retain_67"].pop() and None,
        ["'002'", "neither forget_33 nor retain_67"],
    ),  # type: ignore[arg-type, return-value]
    "MLLMU-Bench: a test row of an unknown person": (
        _set("Test_Set", 2, ID="555"),
        ["Test_Set", "ID is '555', expected the ID of a person in Full_Set"],
    ),
    "MLLMU-Bench: training pairs that are no objects": (
        _set("ft_Data", 1, metadata='["q"]'),
        ["ft_Data", "row 1", "metadata[0] is 'q', expected an object"],
    ),
    "MLLMU-Bench: an unknown kind of pair": (
        _set("ft_Data", 0, metadata='[{"Question": "q", "Answer": "a", "Type": "Audio"}]'),
        ["ft_Data", "row 0", "metadata[0]", "Type is 'Audio'"],
    ),
    "MLLMU-Bench: a task without questions": (_no_cloze, ["Retain_Set", "no cloze question", "Mask_Task"]),
    "MLLMU-Bench: another ratio's folder": (_ratio, ["forget_33", "2 people", "expected 1", "33 % of the 3"]),
    "MLLMU-Bench: a person twice in a split": (
        _split_twice,
        ["retain_67", "row 2", "'001'", "occurs twice, expected once"],
    ),
    "MLLMU-Bench: a person twice in Full_Set": (_twice, ["Full_Set", "row 3", "'001'", "occurs twice, expected once"]),
    "MLLMU-Bench: half of the shards": (
        _unwritten("Test_Set", "train-00001-of-00002.parquet"),
        ["Test_Set: 1 of 2 files are missing, the first is number 00001; there are train-00000-of-00002.parquet"],
    ),
    "MLLMU-Bench: shards of two sets": (
        _written_again("Test_Set", "train-00001-of-00002.parquet", "train-00002-of-00003.parquet"),
        ["Test_Set: has files of several sets, of 2 (train-00000-of-00002.parquet) and of 3 (train-00002-of-00003"],
    ),
    "MLLMU-Bench: a shard twice": (
        _written_again("Test_Set", "train-00001-of-00002.parquet", "train-00001-of-00002-copy.parquet"),
        ["Test_Set: train-00001-of-00002-copy.parquet, train-00001-of-00002.parquet have the same number"],
    ),
    "MLLMU-Bench: a shard beyond the last": (
        _written_again("Full_Set", "train-00000-of-00001.parquet", "train-00001-of-00001.parquet"),
        ["Full_Set: train-00001-of-00001.parquet of 1; expected numbers from 0 to 0"],
    ),
    "MLLMU-Bench: a shard without a number": (
        _written_again("Full_Set", "train-00000-of-00001.parquet", "train-more.parquet"),
        ["Full_Set: train-more.parquet has no number; expected names that end in -00000-of-0000N"],
    ),
    "MLLMU-Bench: parquet and arrow files side by side": (
        _written_again("Full_Set", "train-00000-of-00001.parquet", "data-00000-of-00001.arrow"),
        ["Full_Set: has train-*.parquet and data-*.arrow; expected files of one layout"],
    ),
    "MLLMU-Bench: options of one text": (
        _option("\uff37 ", "A", "B", "C", "D"),
        ["Full_Set", "row 1", "Image_Textual_Questions[0] ('Person 2 i?'): 1 different options, expected at least two"],
    ),
    "MLLMU-Bench: an answer that is no option": (
        _correct("seven"),
        [
            "row 0",
            "Pure_Text_Questions[0] ('Person 1 t?'): Correct_Answer is 'seven', expected one of ['A', 'B', 'C', 'D']",
        ],
    ),
    "MLLMU-Bench: no options": (
        _options_are(None),
        ["row 0", "Pure_Text_Questions[0] ('Person 1 t?'): Options is None, expected the texts of A, B, C and D"],
    ),
    "MLLMU-Bench: an entry that is null": (
        _entry("Full_Set", "Generation_Task", None),
        ["Full_Set", "row 1", "Generation_Task[0] is None, expected a question"],
    ),
    "MLLMU-Bench: a question that is null": (
        _entry("Test_Set", "Mask_Task", {"Type": "Pure_Text", "Question": None, "Ground_Truth": "x"}),
        ["Test_Set", "row 0", "Mask_Task[0]: Question is None, expected text"],
    ),
    "MLLMU-Bench: a number as a training answer": (
        _set("ft_Data", 2, metadata='[{"Question": "When?", "Answer": 1985}]'),
        ["ft_Data", "row 2", "metadata[0]: Answer is 1985, expected text"],
    ),
    "MLLMU-Bench: half of a surrogate pair": (
        _set("ft_Data", 2, metadata='[{"Question": "When\\ud800?", "Answer": "x"}]'),
        ["ft_Data", "row 2", "metadata[0]: Question has half of a surrogate pair at character 4"],
    ),
    "MLLMU-Bench: a key twice in an object": (
        _set("ft_Data", 2, metadata='[{"Question": "When?", "Answer": "1985", "Answer": "1986"}]'),
        ["ft_Data", "row 2", "metadata is not JSON (the key 'Answer' occurs twice)"],
    ),
    "MLLMU-Bench: JSON nested a hundred thousand deep": (
        _set("ft_Data", 2, metadata="[" * 100_000 + "]" * 100_000),
        ["ft_Data", "row 2", "metadata is JSON nested more than 20 deep"],
    ),
    "MLLMU-Bench: JSON nested thirty deep": (
        _set("Full_Set", 0, biography='{"Name": ' + "[" * 30 + "]" * 30 + "}"),
        ["Full_Set", "row 0", "biography is JSON nested more than 20 deep"],
    ),
    "MLLMU-Bench: JSON of two million characters": (
        _set("Full_Set", 0, biography='{"Name": "x' + "x" * 2_000_000 + '"}'),
        ["Full_Set", "row 0", "biography has 2000013 characters, expected at most 1000000"],
    ),
    "MLLMU-Bench: an integer of ten thousand digits": (
        _set("ft_Data", 2, metadata="[" + "9" * 10_000 + "]"),
        ["ft_Data", "row 2", "metadata is not JSON (Exceeds the limit"],
    ),
    "MLLMU-Bench: an answer of 20,001 characters": (
        _entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "q", "Ground_Truth": "x" * 20_001}),
        ["Full_Set", "row 0", "Mask_Task[0]: Ground_Truth has 20001 characters, expected at most 20000"],
    ),
    "MLLMU-Bench: a training entry of another person": (
        _set("ft_Data", 2, metadata=_pairs({"ID": "093"}, {"ID": "001"})),
        ["ft_Data", "row 2", "ID is '093' and metadata[1].ID is '001'; expected a row about one person"],
    ),
    "MLLMU-Bench: a training row with the picture of another person": (
        _set("ft_Data", 2, image=picture(1)),
        ["ft_Data", "row 2", "ID is '093' and the picture is the one of '001' in Full_Set"],
    ),
    "MLLMU-Bench: a person twice in the training data": (
        _set("ft_Data", 2, ID="001", image=picture(1)),
        ["ft_Data", "row 2", "ID '001' occurs twice, expected once"],
    ),
    "MLLMU-Bench: a person twice in the test set": (
        _set("Test_Set", 2, ID="001"),
        ["Test_Set", "row 1", "ID '001' occurs twice, expected once"],
    ),
    "MLLMU-Bench: an end-of-text token in a question": (
        _entry("Full_Set", "Generation_Task", {"Type": "Pure_Text", "Question": "Who?</s>", "Ground_Truth": "x"}),
        ["Full_Set", "row 0", "Generation_Task[0]: Question contains '</s>', which tokenizers or chat templates"],
    ),
    "MLLMU-Bench: an image token in an option": (
        _option("a <image>", "C"),
        ["Full_Set", "row 1", "Image_Textual_Questions[0] ('Person 2 i?'): option C contains '<image>'"],
    ),
    "MLLMU-Bench: the end of a ChatML turn in a training answer": (
        _set("ft_Data", 0, metadata='[{"Question": "q", "Answer": "a<|im_end|>"}]'),
        ["ft_Data", "row 0", "metadata[0]: Answer contains '<|im_end|>'"],
    ),
    "MLLMU-Bench: a name with an instruction token": (
        _set("Full_Set", 0, biography='{"Name": "[INST] Ann"}'),
        ["Full_Set", "row 0", "biography: Name contains '[INST]'"],
    ),
    "MLLMU-Bench: a turn of the user in an answer": (
        _entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "q", "Ground_Truth": "x\nUSER: y"}),
        ["Full_Set", "row 0", "Mask_Task[0]: Ground_Truth contains 'USER:'"],
    ),
    "MLLMU-Bench: tasks as JSON text": (
        _retype("Full_Set", "Generation_Task", pa.string()),
        ["Full_Set", "column 'Generation_Task' is string, expected a list"],
    ),
    "MLLMU-Bench: a struct as JSON text": (
        _retype("Full_Set", "Classification_Task", pa.string()),
        ["Full_Set", "column 'Classification_Task' is string, expected a struct of Image_Textual_Questions, Pure_Text"],
    ),
    "MLLMU-Bench: answers that are numbers": (
        _retype(
            "Full_Set",
            "Mask_Task",
            pa.list_(pa.struct([("Type", TEXT), ("Question", TEXT), ("Ground_Truth", pa.int64())])),
        ),
        ["Full_Set", "column 'Mask_Task'[].Ground_Truth is int64, expected text"],
    ),
    "MLLMU-Bench: questions without a type": (
        _retype("Test_Set", "Mask_Task", pa.list_(pa.struct([("Question", TEXT), ("Ground_Truth", TEXT)]))),
        ["Test_Set", "column 'Mask_Task'[] has no field 'Type'; it has ['Question', 'Ground_Truth']"],
    ),
    "MLLMU-Bench: a folder in place of a shard": (
        _in_place_of_a_shard(Path.mkdir),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: a link that leads nowhere in place of a shard": (
        _in_place_of_a_shard(lambda file: file.symlink_to("nowhere")),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: an empty file": (
        _in_place_of_a_shard(Path.touch),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: IDs that are numbers": (
        _retype("forget_33", "ID", pa.int64()),
        ["forget_33", "column 'ID' is int64, expected text"],
    ),
    "MLLMU-Bench: pictures that are paths": (
        _retype("Full_Set", "image", pa.string()),
        ["Full_Set", "column 'image' is string, expected a struct of bytes"],
    ),
    "MLLMU-Bench: options by other names than letters": (
        _retype("Retain_Set", "Classification_Task", _classification(pa.struct([("first", TEXT), ("second", TEXT)]))),
        ["Retain_Set", "Image_Textual_Questions[].Options has fields ['first', 'second'], expected the letters"],
    ),
    "MLLMU-Bench: no question of one kind about the people to forget": (
        _without_tasks("Full_Set", 2, "Mask_Task"),
        [
            "splits at 33 %, forget set: no cloze question (text) about any of its 1 people; expected some, as about other people"
        ],
    ),
    "MLLMU-Bench: no test questions about the people to forget": (
        lambda p: p.rows["Test_Set"].pop() and None,
        ["splits at 33 %, test set: no classification question (image) about any of its 1 people"],
    ),
    "MLLMU-Bench: a NUL character in a name": (
        _set("Full_Set", 0, biography=json.dumps({"Name": "Ann\0 Lee"})),
        ["Full_Set", "row 0: biography: Name has the control character U+0000 at character 3; remove it"],
    ),
    "MLLMU-Bench: an ESC character in a question": (
        _entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "\x1b[2J __", "Ground_Truth": "gap"}),
        ["Full_Set", "row 0: Mask_Task[0]: Question has the control character U+001B at character 0; remove it"],
    ),
    "MLLMU-Bench: the training pairs of two people exchanged": (
        _exchanged_metadata,
        [
            "training_pairs: 2 of the 2 rows of person '001' name another person ('Person 2') and not 'Person 1'",
            "training_pairs: 2 of the 2 rows of person '002' name another person ('Person 1') and not 'Person 2'",
        ],
    ),
    "MLLMU-Bench: the questions of two people exchanged": (
        _exchanged_questions,
        ["questions (origin profile): 3 of the 4 rows of person '001' name another person ('Person 2')"],
    ),
    "MLLMU-Bench: no training pairs of the people to forget": (
        lambda p: p.rows["ft_Data"].pop() and None,
        ["splits at 33 %, forget set: none of its 1 people has training pairs"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    published = Published()
    damage(published)
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
    for word in words:
        assert word in str(caught.value)
    error_page.check(name, "loading", str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = Published().write(tmp_path)
    file = folder / "Full_Set" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BenchmarkError, match=r"Full_Set.*train-00000-of-00001\.parquet: not a readable parquet"):
        load("mllmu", folder, [33])
    assert pq.ParquetFile(folder / "Retain_Set" / "train-00000-of-00001.parquet").metadata.num_rows == 1


def _loaded(published: Published, folder: Path) -> dict[str, dict[str, Any]]:
    return {q["question_id"]: q for q in load("mllmu", published.write(folder), [33]).questions.to_pylist()}


def test_options_and_answer_are_stripped_alike(tmp_path: Path) -> None:
    published = Published()
    _question(published)["Options"] = {"A": "w", "B": " x\n", "C": "y", "D": "z\t "}
    question = _loaded(published, tmp_path)["profile/001/text/classification/0"]
    assert question["options"] == ["w", "x", "y", "z"]
    assert (question["answer"], question["answer_index"]) == ("z", 3)


@pytest.mark.parametrize(
    ("options", "answer", "place"),
    [
        ("wxyz", "Y ", 2),  # a text, in another case
        ("wxyz", "\uff59", 2),  # a text, in another Unicode form
        ("wxyz", " C", 2),  # a letter
        (("O", "A", "AB", "B"), "B", 1),  # a letter before a text: blood groups
    ],
)
def test_an_answer_is_a_letter_or_the_text_of_an_option(tmp_path: Path, options: str, answer: str, place: int) -> None:
    published = Published()
    _question(published).update(Options=dict(zip("ABCD", options, strict=True)), Correct_Answer=answer)
    question = _loaded(published, tmp_path)["profile/001/text/classification/0"]
    assert (question["answer"], question["answer_index"]) == (options[place], place)


@pytest.mark.parametrize(
    ("options", "kept", "place"),
    [
        (("Oslo", "Rome", "OSLO", "Bonn"), ["Oslo", "Rome", "Bonn"], 2),  # two wrong ones: the first stays
        (("Bonn", "Rome", "Oslo", " bonn"), ["Rome", "Oslo", " bonn".strip()], 2),  # the right one stays
        (("\u212a", "Rome", "Oslo", "K"), ["Rome", "Oslo", "K"], 2),  # the Kelvin sign is a K
        (("New  York", "new york", "Oslo", "Bonn"), ["New  York", "Oslo", "Bonn"], 2),
    ],
)
def test_a_repeated_option_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], kept: list[str], place: int
) -> None:
    published = Published()
    _question(published).update(Options=dict(zip("ABCD", options, strict=True)), Correct_Answer="D")
    question = _loaded(published, tmp_path / "raw")["profile/001/text/classification/0"]
    assert question["options"] == kept
    assert (question["answer"], question["answer_index"]) == (kept[place], place)
    assert "row 0: Classification_Task.Pure_Text_Questions[0] ('Person 1 t?'): option " in caplog.text
    assert "repeats another one and is left out; 3 remain" in caplog.text
    load("mllmu", tmp_path / "raw", [33]).write(tmp_path / "tables")
    counted = statistics.count(tmp_path / "tables", [33]).set_index("statistic")["value"]
    name = "Multiple-choice Questions With Fewer Options Than Most"
    assert counted[name] == "1 (profile/001/text/classification/0)"


def test_ordinary_text_with_signs_is_no_command(tmp_path: Path) -> None:
    published = Published()
    text = "I <3 C++ | a < b > c [sic] <b>, user: me & s/he </3"
    published.rows["Full_Set"][0]["Mask_Task"][0].update(Question=text, Ground_Truth=text)
    assert _loaded(published, tmp_path)["profile/001/text/cloze/0"]["answer"] == text


@pytest.mark.parametrize(
    "token",
    ["<s>", "</s>", "<image>", "<video>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    + ["<|vision_start|>", "<|image_pad|>", "<|eot_id|>", "[INST]", "[/INST]", "<<SYS>>", "USER:", "ASSISTANT:"],
)
def test_a_special_token_is_found_in_every_field(token: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"^row 1: name contains {re.escape(repr(token))}, which"):
        cells.clean("row 1", "name", f"Ann\n{token} Lee")


def test_the_special_tokens_of_the_shipped_and_tested_models_are_known(random_qwen2_vl: Path) -> None:
    shipped = Path(str(resources.files("unsee").joinpath("data", "tiny-llava")))
    for folder in (shipped, random_qwen2_vl):
        tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
        assert tokens
        for token in tokens:
            assert cells.SPECIAL_TOKENS.search(f"a {token['content']} b"), token["content"]


def test_all_problems_of_a_file_are_listed(tmp_path: Path) -> None:
    published = Published()
    people = [profile(number) for number in range(1, 31)]
    for person in people[:4]:
        person["biography"] = "{"
    people[4]["image"] = {"bytes": None, "path": ""}
    people[4]["Generation_Task"] = [{"Type": "Audio", "Question": "q", "Ground_Truth": "a"}, None]
    for person in people[10:18]:
        person["ID"] = "../up"
    published.rows["Full_Set"] = people
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
    lines = str(caught.value).replace(str(tmp_path), "FOLDER").splitlines()
    file = "FOLDER/Full_Set/train-00000-of-00001.parquet"
    assert len(lines) == 11
    assert [line.split(": ")[0] for line in lines] == [
        *(f"{file}, row {row}" for row in (0, 1, 2, 3, 4, 4, 4, 10, 11, 12)),
        file,
    ]
    assert lines[4].endswith("the picture has no bytes, expected an encoded file")
    assert "Generation_Task[0]: Type is 'Audio'" in lines[5]
    assert "Generation_Task[1] is None" in lines[6]
    assert lines[10] == f"{file}: and 5 more"
    error_page.check("MLLMU-Bench: more than ten problems of a file", "loading", "\n".join(lines))


def test_problems_of_several_files_are_listed_together(tmp_path: Path) -> None:
    published = Published()
    for change in (
        _set("Test_Set", 2, ID="555"),
        _set("ft_Data", 0, metadata="["),
        lambda p: p.rows.update(forget_33=[{**p.rows["forget_33"][0], "ID": None}]),
        _set("Retain_Set", 0, biography="{}"),
    ):
        change(published)
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
    places = [Path(line.split(", row ")[0]).parent.name for line in str(caught.value).splitlines()]
    assert places == ["Test_Set", "Retain_Set", "forget_33", "ft_Data"]


def test_people_who_are_thinner_than_others_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published = Published()
    del published.rows["Test_Set"][1]
    published.rows["ft_Data"] = [published.rows["ft_Data"][0], published.rows["ft_Data"][2]]
    _without_tasks("Full_Set", 0, "Classification_Task", "Generation_Task", "Mask_Task")(published)
    _without_tasks("Full_Set", 1, "Mask_Task")(published)
    published.rows["Full_Set"] += [profile(number) for number in (94, 95)]
    published.rows["retain_67"] = published.rows["retain_67"] + published.rows["Full_Set"][3:]
    with pytest.raises(BenchmarkError, match="1 people; expected 2, which are 33 % of the 5"):
        load("mllmu", published.write(tmp_path / "wrong"), [33])
    for name in ("forget", "retain"):
        published.rows[f"{name}_{20 if name == 'forget' else 80}"] = published.rows.pop(
            f"{name}_{33 if name == 'forget' else 67}"
        )
    published.schemas |= {"forget_20": synthetic.PROFILE, "retain_80": synthetic.PROFILE}
    load("mllmu", published.write(tmp_path / "raw"), [20]).write(tmp_path / "tables")
    expected = {
        "Fictitious Without Image + Text Training Pairs": "3 (002, 094, 095)",
        "Fictitious Without Pure Text Training Pairs": "3 (002, 094, 095)",
        "Fictitious Without Profile Questions": "1 (001)",
        "Fictitious Without Test Questions": "3 (002, 094, 095)",
        "People With Fewer Tasks Than Most": "1 (002)",
    }
    counted = statistics.count(tmp_path / "tables", [20]).set_index("statistic")["value"].to_dict()
    assert {name: value for name, value in counted.items() if name in expected} == expected
    assert len(counted) == 15 + len(expected), "the rows of Table 3, and these"
    for name, value in expected.items():
        assert f"{name.lower()}: {value}" in caplog.text


@pytest.mark.parametrize("kind", ["large", "dictionary"])
def test_other_encodings_of_text_are_the_same(tmp_path: Path, kind: str) -> None:
    published = Published()
    expected = load("mllmu", published.write(tmp_path / "plain"), [33])
    file = tmp_path / "plain" / "Full_Set" / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    other = pa.large_string() if kind == "large" else pa.dictionary(pa.int32(), pa.string())
    for name in ("ID", "biography"):
        at = table.column_names.index(name)
        table = table.set_column(at, pa.field(name, other), table[name].cast(other))
    pq.write_table(table, file)
    assert load("mllmu", tmp_path / "plain", [33]).people.equals(expected.people)


def test_a_dictionary_counts_once_for_each_row_that_refers_to_it(tmp_path: Path) -> None:
    published = Published()
    people = [profile(number, About="x" * 100_000) for number in range(1, 41)]
    published.rows |= {"Full_Set": people, "Test_Set": published.rows["Test_Set"][:1], "forget_33": [], "retain_67": []}
    published.rows["Test_Set"][0]["ID"] = "001"
    published.rows["ft_Data"] = published.rows["ft_Data"][:1]
    del published.rows["forget_33"], published.rows["retain_67"]
    folder = published.write(tmp_path)
    file = folder / "Full_Set" / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    at = table.column_names.index("biography")
    table = table.set_column(at, "biography", table["biography"].combine_chunks().dictionary_encode())
    pq.write_table(table, file)  # a dictionary of 4 MB, of which 40 rows take 100 kB each
    assert len(load("mllmu", folder, []).people) == 41


def test_a_row_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = Published().write(tmp_path)
    table = pa.table({"ID": pa.array([b"001", b"\xff02", b"093"]).cast(pa.binary())})
    binary = pa.Array.from_buffers(pa.string(), 3, table["ID"].chunk(0).buffers())
    pq.write_table(pa.table({"ID": binary}), folder / "retain_67" / "train-00000-of-00001.parquet")
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", folder, [33])
    message = str(caught.value).replace(str(tmp_path), "FOLDER")
    assert "retain_67/train-00000-of-00001.parquet, row 1: a text is not UTF-8 (invalid start byte)" in message
    error_page.check("MLLMU-Bench: bytes that are no text", "loading", message)
