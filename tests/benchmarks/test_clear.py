"""CLEAR's adapter against hand-made files in the published layout, whole and broken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.benchmarks import clear, published
from unsee.benchmarks.schema import BenchmarkError

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
    """Rows of each folder, to be changed and then written; the first person is to be forgotten at 5 %."""

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
                "perturbed_captions": ["wrong"],
                "paraphrased_caption": "p",
                "perturbed_names": ["Tove Lind", row["name"].upper().replace("  ", " "), "Ali Ben", "Tove Lind"],
            }
            for row in captions
        ]
        self.rows: dict[str, list[dict[str, Any]]] = {
            "full": captions,
            "full+tofu": rows[:3] + tofu + rows[3:],
            "forget05": [dict(row) for row in captions[:2]],
            "retain95": [dict(row) for row in captions[2:]],
            "forget05_perturbed": perturbed[:2],
            # One of the two pictures of the third person, and nobody else.
            "retain_perturbed": perturbed[5:],
            "real_faces": [
                {"image": picture(200 + i), "answer": "Ada Moon", "options": ["Bo Sun", "Cy Star"]} for i in range(2)
            ],
            "real_world": [
                {"question": "Which tower?", "answer": "Eiffel", "image": picture(220), "options": ["Pisa", "Eiffel"]}
            ],
        }

    def write(self, folder: Path) -> Path:
        for name, rows in self.rows.items():
            kind = "perturbed" if name.endswith("_perturbed") else name if name in SCHEMAS else "full"
            (folder / name).mkdir(parents=True)
            half = len(rows) // 2 if name == "full+tofu" else len(rows)
            for i, part in enumerate(p for p in (rows[:half], rows[half:]) if p):
                file = folder / name / f"train-0000{i}-of-00002.parquet"
                pq.write_table(pa.Table.from_pylist(part, SCHEMAS[kind]), file)
        return folder


def test_the_published_layout_gives_these_tables(tmp_path: Path) -> None:
    benchmark = published.load("clear", Published().write(tmp_path), [5])
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
    assert published.read_split("clear", tmp_path, 5, names).equals(benchmark.splits)

    questions = {q["question_id"]: q for q in benchmark.questions.to_pylist()}
    kinds = {key: (q["person_id"], q["task"], q["modality"]) for key, q in questions.items()}
    # Two pictures of the forgotten, one of a retained person, TOFU's questions of both, two faces, one of the world.
    assert len(kinds) == 2 * 2 + 2 + 2 * 20 + 2 + 1
    assert kinds["profile/Aino Kask/1/who"] == ("Aino Kask", "classification", "image")
    assert kinds["profile/Chukwu Akabueze/1/caption"] == ("Chukwu Akabueze", "generation", "image")
    assert kinds["profile/Aino Kask/tofu/19"] == ("Aino Kask", "generation", "text")
    assert not [q for q in questions.values() if q["person_id"] == "Basil Al-Kuwaiti"]
    who = questions["profile/Aino Kask/0/who"]
    assert who["question"] == "What is the name of the person in the image?"
    assert sorted(who["options"]) == ["Aino Kask", "Ali Ben", "Tove Lind"]
    assert who["options"][who["answer_index"]] == who["answer"] == "Aino Kask"
    face, world = questions["real_faces/celebrity-Ada Moon/1"], questions["real_world/000"]
    assert (face["origin"], face["answer"], len(face["options"])) == ("celebrity", "Ada Moon", 3)
    assert (world["question"], sorted(world["options"])) == ("Which tower?", ["Eiffel", "Pisa"])


def test_the_place_of_the_right_option_follows_from_the_row(tmp_path: Path) -> None:
    whole = Published()
    fewer = Published()
    del fewer.rows["forget05_perturbed"][0]
    first, second = (clear.load(p.write(tmp_path / name), [5]) for name, p in (("a", whole), ("b", fewer)))
    known = {q["question_id"]: q for q in first.questions.to_pylist()}
    assert all(known[q["question_id"]] == q for q in second.questions.to_pylist())


def test_a_picture_that_was_encoded_anew_is_one_more(tmp_path: Path) -> None:
    changed = Published()
    changed.rows["retain_perturbed"][0]["image"] = picture(99)
    benchmark = clear.load(changed.write(tmp_path), [5])
    (added,) = [i for i in benchmark.images["image_id"].to_pylist() if "perturbed" in i]
    assert added.startswith("Chukwu Akabueze/perturbed-")


def _set(folder: str, row: int, **values: Any) -> Callable[[Published], None]:
    return lambda published: published.rows[folder][row].update(values)


def _drop(*folders: str) -> Callable[[Published], None]:
    return lambda published: [published.rows.pop(name) for name in folders] and None  # type: ignore[func-returns-value]


def _nameless(published: Published) -> None:
    for row in published.rows["full+tofu"][3:23]:
        row["answer"] = "It is."


def _short(published: Published) -> None:
    del published.rows["full+tofu"][30]


BROKEN: dict[str, tuple[Callable[[Published], None], list[str]]] = {
    "folders missing": (
        _drop("full+tofu", "retain95"),
        ["lacks full+tofu, retain95 (no train-*.parquet", "data set therem/CLEAR"],
    ),
    "a caption that is empty": (_set("full", 1, caption=" "), ["full", "row 1", "caption is ' '"]),
    "a nameless row": (_set("full", 2, name=None), ["full", "row 2", "name is None"]),
    "a name that is a path": (_set("full", 2, name="../up"), ["full", "row 2", "'../up'", "without '/'"]),
    "a picture that is none": (_set("full", 0, image=None), ["full", "row 0", "the picture has no bytes"]),
    "a stranger to forget": (_set("forget05", 0, name="No One"), ["forget05", "row 0", "'No One' is nobody in full"]),
    "a person in both": (_set("retain95", 0, name=NAMES[0]), ["'Aino Kask'", "in forget05 and in retain95"]),
    "a person in neither": (
        lambda p: p.rows.update(retain95=p.rows["retain95"][2:]),
        ["'Basil Al-Kuwaiti'", "in neither forget05 nor retain95"],
    ),
    "no wrong names": (
        _set("forget05_perturbed", 1, perturbed_names=["Aino Kask"]),
        ["forget05_perturbed", "row 1", "perturbed_names", "at least one wrong option"],
    ),
    "an author whom nobody names": (_nameless, ["full+tofu", "row 3", "no author of full stands out"]),
    "a question lost": (_short, ["full+tofu", "19 questions from here to the end, expected 20"]),
    "an empty answer": (_set("full+tofu", 4, answer=""), ["full+tofu", "row 4", "answer is ''"]),
    "a face of nobody": (_set("real_faces", 1, answer=""), ["real_faces", "row 1", "answer is ''"]),
    "a question about nothing": (_set("real_world", 0, question=None), ["real_world", "row 0", "question is None"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    rows = Published()
    damage(rows)
    with pytest.raises(BenchmarkError) as caught:
        clear.load(rows.write(tmp_path), [5])
    for word in words:
        assert word in str(caught.value)
