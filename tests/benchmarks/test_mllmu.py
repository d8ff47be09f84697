"""The loader of MLLMU-Bench's layout against hand-made files."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import error_page
from tests.benchmarks import damage_mllmu as damage
from tests.benchmarks.published_mllmu import Published, profile
from unsee.benchmarks import cells, columns, readers, statistics, synthetic
from unsee.benchmarks.published import load
from unsee.benchmarks.schema import BenchmarkError


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


def _loaded(published: Published, folder: Path) -> dict[str, dict[str, Any]]:
    return {q["question_id"]: q for q in load("mllmu", published.write(folder), [33]).questions.to_pylist()}


def test_options_and_answer_are_stripped_alike(tmp_path: Path) -> None:
    published = Published()
    damage.question(published)["Options"] = {"A": "w", "B": " x\n", "C": "y", "D": "z\t "}
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
    damage.question(published).update(Options=dict(zip("ABCD", options, strict=True)), Correct_Answer=answer)
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
    damage.question(published).update(Options=dict(zip("ABCD", options, strict=True)), Correct_Answer="D")
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
        damage.change("Test_Set", 2, ID="555"),
        damage.change("ft_Data", 0, metadata="["),
        lambda p: p.rows.update(forget_33=[{**p.rows["forget_33"][0], "ID": None}]),
        damage.change("Retain_Set", 0, biography="{}"),
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
    damage.without_tasks("Full_Set", 0, "Classification_Task", "Generation_Task", "Mask_Task")(published)
    damage.without_tasks("Full_Set", 1, "Mask_Task")(published)
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
