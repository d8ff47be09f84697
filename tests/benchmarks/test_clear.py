"""CLEAR's adapter against hand-made files in the published layout, whole and broken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests import error_page
from unsee.benchmarks import clear
from unsee.benchmarks.names import people_named
from unsee.benchmarks.published import load, read_split
from unsee.benchmarks.schema import BenchmarkError
from unsee.evaluation.predict import predict
from unsee.evaluation.scoring import score_predictions
from unsee.results.tables.scores import Run, gather, summarise
from unsee.results.tables.table3 import table3

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXTS = pa.list_(pa.string())
SCHEMAS = {
    "full": pa.schema([("image", IMAGE), ("caption", pa.string()), ("name", pa.string())]),
    "full+tofu": pa.schema(
        [("image", IMAGE), ("caption", pa.string()), ("question", pa.string()), ("answer", pa.string())]
    ),
    "perturbed": pa.schema(
        [
            ("image", IMAGE),
            ("caption", pa.string()),
            ("name", pa.string()),
            ("perturbed_captions", TEXTS),
            ("paraphrased_caption", pa.string()),
            ("perturbed_names", TEXTS),
        ]
    ),
    "real_faces": pa.schema([("image", IMAGE), ("answer", pa.string()), ("options", TEXTS)]),
    "real_world": pa.schema([("question", pa.string()), ("answer", pa.string()), ("image", IMAGE), ("options", TEXTS)]),
}
NAMES = ["Aino Kask", "Basil  Al-Kuwaiti", "Chukwu Akabueze"]


def picture(colour: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"{colour}.png"}


class Published:
    """Rows of each folder, to be changed and then written; the first person is to be forgotten at 33 %."""

    def __init__(self) -> None:
        captions = [
            {"image": picture(10 * i + j), "caption": f"{name} in place {j}", "name": name}
            for i, name in enumerate(NAMES)
            for j in range(2)
        ]
        tofu = [
            {
                "image": None,
                "caption": None,
                "question": f"Question {j}?",
                "answer": f"{'Basil Al-Kuwaiti' if i == 1 else name} says {j}." if j % 4 == 0 else f"It is {j}.",
            }
            for i, name in enumerate(NAMES)
            for j in range(20)
        ]
        rows = [{**row, "question": "", "answer": ""} for row in captions]
        perturbed = [
            {
                **row,
                "perturbed_captions": ["He is in the wrong place", "She is  nowhere", "She is nowhere"],
                "paraphrased_caption": f"This is {row['caption']}",
                "perturbed_names": ["Tove Lind", row["name"].upper().replace("  ", " "), "Ali Ben", "Tove Lind"],
            }
            for row in captions
        ]
        self.rows: dict[str, list[dict[str, Any]]] = {
            "full": captions,
            "full+tofu": rows[:3] + tofu + rows[3:],
            "forget33": [dict(row) for row in captions[:2]],
            "retain67": [dict(row) for row in captions[2:]],
            "forget33_perturbed": perturbed[:2],
            # One of the two pictures of the third person, and nobody else.
            "retain_perturbed": perturbed[5:],
            "real_faces": [
                {"image": picture(200 + i), "answer": "Ada Moon", "options": ["Bo Sun", "Cy Star"]} for i in range(2)
            ],
            "real_world": [
                {"question": "Which tower?", "answer": "Eiffel", "image": picture(220), "options": ["Pisa", "Eiffel"]}
            ],
        }

        self.schemas: dict[str, pa.Schema] = {}
        self.after: list[Callable[[Path], None]] = []

    def schema(self, name: str) -> pa.Schema:
        kind = "perturbed" if name.endswith("_perturbed") else name if name in SCHEMAS else "full"
        return self.schemas.get(name, SCHEMAS[kind])

    def write(self, folder: Path) -> Path:
        for name, rows in self.rows.items():
            (folder / name).mkdir(parents=True)
            half = len(rows) // 2 if name == "full+tofu" else len(rows)
            parts = [part for part in (rows[:half], rows[half:]) if part]
            for i, part in enumerate(parts):
                file = folder / name / f"train-0000{i}-of-0000{len(parts)}.parquet"
                columns = [pa.array([row.get(f.name) for row in part], f.type) for f in self.schema(name)]
                pq.write_table(pa.Table.from_arrays(columns, schema=self.schema(name)), file)
        for change in self.after:
            change(folder)
        return folder


def test_the_published_layout_gives_these_tables(tmp_path: Path) -> None:
    benchmark = load("clear", Published().write(tmp_path), [33])
    assert [(p["person_id"], p["group"]) for p in benchmark.people.to_pylist()] == [
        ("Aino Kask", "fictitious"),
        ("Basil Al-Kuwaiti", "fictitious"),
        ("Chukwu Akabueze", "fictitious"),
        ("celebrity-Ada Moon", "celebrity"),
        ("real-world-000", "celebrity"),
    ]
    assert benchmark.images["image_id"].to_pylist() == [
        *(f"{' '.join(name.split())}/{i}" for name in NAMES for i in range(2)),
        "celebrity-Ada Moon/0",
        "celebrity-Ada Moon/1",
        "real-world-000/0",
    ]
    pairs = {pair["pair_id"]: pair for pair in benchmark.training_pairs.to_pylist()}
    assert len(pairs) == 3 * (2 + 20)
    caption = pairs["Basil Al-Kuwaiti/caption-001"]
    assert (caption["image_id"], caption["answer"]) == ("Basil Al-Kuwaiti/1", "Basil  Al-Kuwaiti in place 1")
    assert caption["question"] in clear.DESCRIBE
    assert pairs["Chukwu Akabueze/tofu-03"] == {
        "pair_id": "Chukwu Akabueze/tofu-03",
        "person_id": "Chukwu Akabueze",
        "modality": "text",
        "image_id": None,
        "question": "Question 3?",
        "answer": "It is 3.",
    }
    assert {(s["person_id"], s["role"]) for s in benchmark.splits.to_pylist()} == {
        ("Aino Kask", "forget"),
        ("Basil Al-Kuwaiti", "retain"),
        ("Chukwu Akabueze", "retain"),
    }
    names = benchmark.people.filter(pc.equal(benchmark.people["group"], "fictitious"))["person_id"].to_pylist()
    assert read_split("clear", tmp_path, 33, names).equals(benchmark.splits)

    questions = {q["question_id"]: q for q in benchmark.questions.to_pylist()}
    kinds = {key: (q["person_id"], q["task"], q["modality"]) for key, q in questions.items()}
    # Two pictures of the forgotten, one of a retained person, TOFU's questions of both, two faces, one of the world.
    assert len(kinds) == 2 * 3 + 3 + 2 * 20 + 2 + 1
    assert kinds["profile/Aino Kask/1/caption-among"] == ("Aino Kask", "likelihood", "image")
    assert kinds["profile/Aino Kask/1/who"] == ("Aino Kask", "classification", "image")
    assert kinds["profile/Chukwu Akabueze/1/caption"] == ("Chukwu Akabueze", "generation", "image")
    assert kinds["profile/Aino Kask/tofu/19"] == ("Aino Kask", "generation", "text")
    assert not [q for q in questions.values() if q["person_id"] == "Basil Al-Kuwaiti"]
    who = questions["profile/Aino Kask/0/who"]
    assert who["question"] == "What is the name of the person in the image?"
    assert sorted(who["options"]) == ["Aino Kask", "Ali Ben", "Tove Lind"]
    assert who["options"][who["answer_index"]] == who["answer"] == "Aino Kask"
    among, caption = (questions[f"profile/Aino Kask/0/{kind}"] for kind in ("caption-among", "caption"))
    assert sorted(among["options"]) == [
        "He is in the wrong place",
        "She is nowhere",
        "This is Aino Kask in place 0",
    ]
    assert among["options"][among["answer_index"]] == among["answer"] == "This is Aino Kask in place 0"
    assert (caption["answer"], caption["options"]) == ("Aino Kask in place 0", [])
    assert among["question"] == caption["question"] in clear.DESCRIBE
    face, world = questions["real_faces/celebrity-Ada Moon/1"], questions["real_world/000"]
    assert (face["origin"], face["answer"], len(face["options"])) == ("celebrity", "Ada Moon", 3)
    assert (world["question"], sorted(world["options"])) == ("Which tower?", ["Eiffel", "Pisa"])


def test_the_place_of_the_right_option_follows_from_the_row(tmp_path: Path) -> None:
    whole = Published()
    fewer = Published()
    del fewer.rows["forget33_perturbed"][0]
    first, second = (load("clear", p.write(tmp_path / name), [33]) for name, p in (("a", whole), ("b", fewer)))
    by_id = {q["question_id"]: q for q in first.questions.to_pylist()}
    assert all(by_id[q["question_id"]] == q for q in second.questions.to_pylist())


def test_a_picture_that_was_encoded_anew_is_one_more(tmp_path: Path) -> None:
    changed = Published()
    changed.rows["retain_perturbed"][0]["image"] = picture(99)
    benchmark = load("clear", changed.write(tmp_path), [33])
    (added,) = [i for i in benchmark.images["image_id"].to_pylist() if "perturbed" in i]
    assert added.startswith("Chukwu Akabueze/perturbed-")


def test_answers_to_it_are_scored_in_every_set(tmp_path: Path, model_spec: dict[str, Any]) -> None:
    load("clear", Published().write(tmp_path / "published"), [33]).write(tmp_path)
    settings = {"batch_size": 4, "max_new_tokens": 3}
    output = tmp_path / "predictions"
    predict(model_spec, tmp_path, adapters=[], forget_percents=[33], settings=settings, threads=1, output=output)
    questions, splits = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("questions", "splits"))
    score_predictions(pd.read_parquet(output), questions).to_parquet(tmp_path / "items.parquet")
    runs = [Run("random", 33, method, 0, [tmp_path / "items.parquet"]) for method in ("vanilla", "retain")]
    scores = summarise(gather(runs, questions, splits, [33]))
    metrics_of = (
        scores[scores["method"] == "vanilla"].groupby(["set", "modality", "task"], observed=True)["metric"].agg(set)
    )
    choice = {"accuracy", "probability", "truth_ratio"}
    overlaps = {"rouge_1", "rouge_2", "rouge_l", "bleu"}
    assert metrics_of.to_dict() == {
        **{
            (name, modality, task): metrics
            for name in ("forget", "retain")
            for modality, task, metrics in (
                ("image", "classification", choice),
                ("image", "likelihood", choice - {"accuracy"}),
                ("image", "generation", overlaps),
                ("text", "generation", overlaps),
            )
        },
        ("celebrity", "image", "classification"): choice,
    }
    assert scores["value"].notna().all()
    table = table3(scores)
    assert table.loc[table["modality"] == "text", "celebrity_classification"].isna().all()
    assert table["forget_rouge_l"].notna().all()


def _set(folder: str, row: int, **values: Any) -> Callable[[Published], None]:
    return lambda published: published.rows[folder][row].update(values)


def _drop(*folders: str) -> Callable[[Published], None]:
    return lambda published: [published.rows.pop(name) for name in folders] and None  # type: ignore[func-returns-value]


def _rows(folder: str, rows: list[dict[str, Any]]) -> Callable[[Published], None]:
    return lambda published: published.rows.update({folder: rows})


def _without(folder: str, column: str) -> Callable[[Published], None]:
    return lambda published: published.schemas.update(
        {folder: pa.schema([f for f in published.schema(folder) if f.name != column])}
    )


def _retype(folder: str, column: str, kind: pa.DataType, value: Any) -> Callable[[Published], None]:
    def change(published: Published) -> None:
        fields = [pa.field(f.name, kind) if f.name == column else f for f in published.schema(folder)]
        published.schemas[folder] = pa.schema(fields)
        for row in published.rows[folder]:
            row[column] = value

    return change


def _nameless(published: Published) -> None:
    for row in published.rows["full+tofu"][3:23]:
        row["answer"] = "It is."


def _short(published: Published) -> None:
    del published.rows["full+tofu"][30]


def _swap(first: str, second: str) -> Callable[[Published], None]:
    return lambda published: published.rows.update({first: published.rows[second], second: published.rows[first]})


def _exchange(first: int, second: int) -> Callable[[Published], None]:
    def change(published: Published) -> None:
        rows = published.rows["full+tofu"]
        rows[first], rows[second] = rows[second], rows[first]

    return change


def _shift(published: Published) -> None:
    """TOFU's rows turned by one: each author's last row comes first; it names nobody."""
    rows = published.rows["full+tofu"]
    published.rows["full+tofu"] = rows[:3] + rows[62:63] + rows[3:62] + rows[63:]


def _emptied(folder: str) -> Callable[[Published], None]:
    def empty(path: Path) -> None:
        file = path / folder / "train-00000-of-00001.parquet"
        pq.write_table(pq.read_table(file).slice(0, 0), file)

    return lambda published: published.after.append(empty)


def _unwritten(folder: str, file: str) -> Callable[[Published], None]:
    return lambda published: published.after.append(lambda path: (path / folder / file).unlink())


BROKEN: dict[str, tuple[Callable[[Published], None], list[str]]] = {
    "CLEAR: folders missing": (
        _drop("full+tofu", "retain67"),
        ["lacks full+tofu, retain67 (no train-*.parquet", "data set therem/CLEAR"],
    ),
    "CLEAR: a caption that is empty": (_set("full", 1, caption=" "), ["full", "row 1", "caption is ' '"]),
    "CLEAR: a row without a name": (_set("full", 2, name=None), ["full", "row 2", "name is None"]),
    "CLEAR: a name that is a path": (_set("full", 2, name="../up"), ["full", "row 2", "'../up'", "without '/'"]),
    "CLEAR: a picture that is null": (_set("full", 0, image=None), ["full", "row 0", "the picture has no bytes"]),
    "CLEAR: an unknown person to forget": (
        _set("forget33", 0, name="No One"),
        ["forget33", "row 0", "name is 'No One', expected the name of a person in full"],
    ),
    "CLEAR: a person in both": (
        _set("retain67", 0, name=NAMES[0], caption="She"),
        ["'Aino Kask'", "in forget33 and in retain67"],
    ),
    "CLEAR: a person in neither": (
        lambda p: p.rows.update(retain67=p.rows["retain67"][2:]),
        ["'Basil Al-Kuwaiti'", "in neither forget33 nor retain67"],
    ),
    "CLEAR: no wrong names": (
        _set("forget33_perturbed", 1, perturbed_names=["Aino Kask"]),
        ["forget33_perturbed", "row 1", "perturbed_names", "at least one wrong option"],
    ),
    "CLEAR: no wrong captions": (
        _set("retain_perturbed", 0, perturbed_captions=None),
        ["retain_perturbed", "row 0", "perturbed_captions is None", "at least one wrong option"],
    ),
    "CLEAR: no paraphrased caption": (
        _set("retain_perturbed", 0, paraphrased_caption=""),
        ["retain_perturbed", "row 0", "paraphrased_caption is ''"],
    ),
    "CLEAR: twenty questions that name no author": (
        _nameless,
        ["full+tofu", "row 3", "this and the next 19 questions name no author of full more often than others"],
    ),
    "CLEAR: 19 questions about the last author": (
        _short,
        ["full+tofu", "19 questions from here to the end, expected 20"],
    ),
    "CLEAR: an empty answer": (_set("full+tofu", 4, answer=""), ["full+tofu", "row 4", "answer is ''"]),
    "CLEAR: a real face without a name": (_set("real_faces", 1, answer=""), ["real_faces", "row 1", "answer is ''"]),
    "CLEAR: no names at all": (_without("full", "name"), ["full", "no column 'name'", "it has ['image', 'caption']"]),
    "CLEAR: no wrong names at all": (
        _without("retain_perturbed", "perturbed_names"),
        ["retain_perturbed", "no column 'perturbed_names'"],
    ),
    "CLEAR: captions that are numbers": (
        _retype("full", "caption", pa.int64(), 3),
        ["full", "column 'caption' is int64, expected text"],
    ),
    "CLEAR: names in a list": (
        _retype("full", "name", TEXTS, ["Aino"]),
        ["full", "column 'name' is list<", "expected text"],
    ),
    "CLEAR: wrong names that are null": (
        _set("retain_perturbed", 0, perturbed_names=None),
        ["retain_perturbed", "row 0", "perturbed_names is None"],
    ),
    "CLEAR: a picture that cannot be decoded": (
        _set("forget33_perturbed", 0, image={"bytes": b"no", "path": "x"}),
        ["forget33_perturbed", "row 0", "cannot be decoded"],
    ),
    "CLEAR: a perturbed row of an unknown person": (
        _set("retain_perturbed", 0, name="No One"),
        ["retain_perturbed", "row 0", "name is 'No One', expected the name of a person in full"],
    ),
    "CLEAR: an unknown person to retain": (
        _set("retain67", 3, name="No One"),
        ["retain67", "row 3", "name is 'No One', expected the name of a person in full"],
    ),
    "CLEAR: a face without picture": (
        _set("real_faces", 0, image=None),
        ["real_faces", "row 0", "the picture has no bytes"],
    ),
    "CLEAR: a face without options": (_set("real_faces", 0, options=[]), ["real_faces", "row 0", "options is []"]),
    "CLEAR: one option, the right one": (
        _set("real_world", 0, options=["eiffel", " "]),
        ["real_world", "row 0", "at least one wrong option beside 'Eiffel'"],
    ),
    "CLEAR: an answer of blanks": (_set("real_world", 0, answer="  "), ["real_world", "row 0", "answer is '  '"]),
    "CLEAR: full without files": (_rows("full", []), ["lacks full (no train-*.parquet"]),
    "CLEAR: a question that is null": (
        _set("real_world", 0, question=None),
        ["real_world", "row 0", "question is None"],
    ),
    "CLEAR: forget and retain swapped": (
        _swap("forget33", "retain67"),
        ["forget33: 2 people; expected 1, which are 33 % of the 3 in full; is it the folder of another ratio?"],
    ),
    "CLEAR: another ratio's folder": (
        lambda p: p.rows.update(forget33=p.rows["full"][:4], retain67=p.rows["full"][4:]),
        ["forget33: 2 people; expected 1, which are 33 % of the 3 in full"],
    ),
    "CLEAR: perturbed rows of people to retain": (
        _swap("forget33_perturbed", "retain_perturbed"),
        ["forget33_perturbed", "row 0", "name is 'Chukwu Akabueze', who is not to forget at 33 %"],
    ),
    "CLEAR: perturbed rows of a person to forget among those to retain": (
        lambda p: p.rows["retain_perturbed"].append(p.rows["forget33_perturbed"][0]),
        ["retain_perturbed", "row 1", "name is 'Aino Kask', who is not retained at every ratio"],
    ),
    "CLEAR: a perturbed row with the picture of another person": (
        _set("retain_perturbed", 0, image=picture(0)),
        ["retain_perturbed", "row 0", "name is 'Chukwu Akabueze' and the picture is the one of 'Aino Kask' in full"],
    ),
    "CLEAR: a caption about another person": (
        _set("full", 1, caption="Here is Chukwu Akabueze"),
        ["full", "row 1", "name is 'Aino Kask' and caption names 'Chukwu Akabueze'; expected a row about one person"],
    ),
    "CLEAR: a paraphrased caption about another person": (
        _set("retain_perturbed", 0, paraphrased_caption="Here is aino  KASK"),
        ["retain_perturbed", "row 0", "name is 'Chukwu Akabueze' and paraphrased_caption names 'Aino Kask'"],
    ),
    "CLEAR: all of TOFU's rows shifted by one": (
        _shift,
        ["full+tofu", "row 3: does not name 'Aino Kask', the author of this and the next 19 questions"],
    ),
    "CLEAR: two of TOFU's rows exchanged": (
        _exchange(22, 23),
        ["full+tofu", "row 22: names 'Basil Al-Kuwaiti', among 20 questions about 'Aino Kask' that start at "],
    ),
    "CLEAR: an author twice": (
        lambda p: p.rows.update({"full+tofu": p.rows["full+tofu"] + p.rows["full+tofu"][3:23]}),
        ["full+tofu", "20 questions about 'Aino Kask' start here, and others at "],
    ),
    "CLEAR: half of the shards": (
        _unwritten("full+tofu", "train-00000-of-00002.parquet"),
        ["full+tofu: 1 of 2 files are missing, the first is number 00000; there are train-00001-of-00002.parquet"],
    ),
    "CLEAR: an image token in a caption": (
        _set("full", 0, caption="<image> Aino Kask"),
        ["full", "row 0", "caption contains '<image>'"],
    ),
    "CLEAR: a ChatML token in a name": (
        _set("real_faces", 0, answer="Ada <|im_end|>"),
        ["real_faces", "row 0", "answer contains '<|im_end|>'"],
    ),
    "CLEAR: a turn of the assistant in a wrong option": (
        _set("real_world", 0, options=["Pisa", "ASSISTANT: Eiffel"]),
        ["real_world", "row 0", "options[1] contains 'ASSISTANT:'"],
    ),
    "CLEAR: forty options": (
        _set("real_world", 0, options=[f"Tower {i}" for i in range(40)]),
        ["real_world", "row 0", "options has 40 wrong options, expected at most 25"],
    ),
    "CLEAR: options as JSON text": (
        _retype("real_world", "options", pa.string(), "[]"),
        ["real_world", "column 'options' is string, expected a list"],
    ),
    "CLEAR: a column twice": (
        lambda p: p.schemas.update(forget33=pa.schema([*p.schema("forget33"), pa.field("name", pa.string())])),
        ["forget33", "2 columns 'name', expected one"],
    ),
    "CLEAR: no rows in full": (
        _emptied("full"),
        ["full: has no rows; expected people, their pictures and captions"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    rows = Published()
    damage(rows)
    with pytest.raises(BenchmarkError) as caught:
        load("clear", rows.write(tmp_path), [33])
    for word in words:
        assert word in str(caught.value)
    error_page.check(name, "loading", str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_a_shift_of_one_block_of_several_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published = Published()
    _exchange(3, 4)(published)  # both about the first author; the first row names nobody now
    load("clear", published.write(tmp_path), [33])
    assert "row 3: does not name 'Aino Kask', the author of this and the next 19 questions" in caplog.text
    assert "profile questions" not in caplog.text, "the published data ask about some of the people to retain only"


def test_an_author_without_questions_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published = Published()
    del published.rows["full+tofu"][23:43]
    load("clear", published.write(tmp_path), [33])
    assert f"{tmp_path / 'full+tofu'}: no questions about 1 people of full: Basil Al-Kuwaiti" in caplog.text
    assert "fictitious without pure text training pairs: 1 (Basil Al-Kuwaiti)" in caplog.text


def test_a_name_within_a_longer_one_is_not_named() -> None:
    names = {"Ann Lee", "Mary Ann Lee", "Li Wei", "\u738b\u5c0f\u660e"}
    assert people_named("It is mary-ann LEE.", names) == {"Mary Ann Lee"}
    assert people_named("Joann Leeds and Li Weiss", names) == set()
    assert people_named("Ann\n Lee, and Li Wei's son", names) == {"Ann Lee", "Li Wei"}
    assert people_named("\u4f5c\u5bb6\u738b\u5c0f\u660e\u51fa\u751f\u4e8e", names) == {"\u738b\u5c0f\u660e"}


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = Published().write(tmp_path)
    file = folder / "full+tofu" / "train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BenchmarkError, match=r"full\+tofu.*train-00001-of-00002\.parquet: not a readable parquet file"):
        load("clear", folder, [33])
