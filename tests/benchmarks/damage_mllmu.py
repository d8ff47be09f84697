"""Ways to damage the hand-made files of MLLMU-Bench's layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.benchmarks.published_mllmu import TEXT, Published


def change(folder: str, row: int, **values: Any) -> Callable[[Published], None]:
    return lambda published: published.rows[folder][row].update(values)


def drop(folder: str) -> Callable[[Published], None]:
    return lambda published: published.rows.pop(folder) and None  # type: ignore[return-value]


def column(folder: str, column: str) -> Callable[[Published], None]:
    def remove(published: Published) -> None:
        published.schemas[folder] = pa.schema([f for f in published.schemas[folder] if f.name != column])
        for row in published.rows[folder]:
            row.pop(column, None)

    return remove


def option(value: str | None, *letters: str) -> Callable[[Published], None]:
    def put(published: Published) -> None:
        options = published.rows["Full_Set"][1]["Classification_Task"]["Image_Textual_Questions"][0]["Options"]
        options |= dict.fromkeys(letters, value)

    return put


def letter(published: Published) -> None:
    published.rows["Full_Set"][0]["Classification_Task"]["Pure_Text_Questions"][0]["Correct_Answer"] = "E"


def answer(published: Published) -> None:
    published.rows["Full_Set"][2]["Mask_Task"][0]["Ground_Truth"] = "  "


def kind(published: Published) -> None:
    published.rows["Full_Set"][2]["Generation_Task"][0]["Type"] = "Audio"


def both(published: Published) -> None:
    published.rows["retain_67"] = published.rows["Full_Set"]


def no_cloze(published: Published) -> None:
    published.rows["Retain_Set"][0]["Mask_Task"] = []


def ratio(published: Published) -> None:
    published.rows["forget_33"] = published.rows["Full_Set"][1:]


def split_twice(published: Published) -> None:
    published.rows["retain_67"] = published.rows["retain_67"] + published.rows["retain_67"][:1]


def twice(published: Published) -> None:
    published.rows["Full_Set"] = published.rows["Full_Set"] + published.rows["Full_Set"][:1]


def unwritten(folder: str, file: str) -> Callable[[Published], None]:
    return lambda published: published.after.append(lambda path: (path / folder / file).unlink())


def written_again(folder: str, file: str, name: str) -> Callable[[Published], None]:
    def copy(path: Path) -> None:
        (path / folder / name).write_bytes((path / folder / file).read_bytes())

    return lambda published: published.after.append(copy)


def in_place_of_a_shard(make: Callable[[Path], Any]) -> Callable[[Published], None]:
    def replace(path: Path) -> None:
        file = path / "Full_Set" / "train-00000-of-00001.parquet"
        file.unlink()
        make(file)

    return lambda published: published.after.append(replace)


def exchanged_metadata(published: Published) -> None:
    """Each row has its own ID and picture, and facts about the other person."""
    for row, name in zip(published.rows["ft_Data"], ("Person 2", "Person 1", "Person 93"), strict=True):
        pairs = [{"Question": "Who is this?", "Answer": name}, {"Question": f"Where is {name}?", "Answer": "Rome"}]
        row["metadata"] = json.dumps(pairs)


def exchanged_questions(published: Published) -> None:
    first, second, _ = published.rows["Full_Set"]
    for column in ("Classification_Task", "Generation_Task"):
        first[column], second[column] = second[column], first[column]


def question(published: Published) -> dict[str, Any]:
    question: dict[str, Any] = published.rows["Full_Set"][0]["Classification_Task"]["Pure_Text_Questions"][0]
    return question


def correct(answer: str) -> Callable[[Published], None]:
    return lambda published: question(published).update(Correct_Answer=answer)


def options_are(options: Any) -> Callable[[Published], None]:
    return lambda published: question(published).update(Options=options)


def entry(folder: str, column: str, entry: Any) -> Callable[[Published], None]:
    def put(published: Published) -> None:
        published.rows[folder][1 if entry is None else 0][column] = [entry]

    return put


def pairs(*entries: dict[str, str]) -> str:
    return json.dumps([{"Question": "q", "Answer": "a", **entry} for entry in entries])


def classification(options: pa.DataType) -> pa.DataType:
    questions = pa.list_(pa.struct([("Question", TEXT), ("Options", options), ("Correct_Answer", TEXT)]))
    return pa.struct([("Image_Textual_Questions", questions), ("Pure_Text_Questions", questions)])


def retype(folder: str, column: str, kind: pa.DataType) -> Callable[[Published], None]:
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


def without_tasks(folder: str, row: int, *columns: str) -> Callable[[Published], None]:
    return lambda published: published.rows[folder].__setitem__(
        row, {**published.rows[folder][row], **dict.fromkeys(columns)}
    )
