"""A folder of people: the questions of six people by hand, and every way in which a folder can be wrong."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests import error_page
from tests.benchmarks import folders
from unsee.benchmarks import check, published, ten_portraits
from unsee.benchmarks.schema import Benchmark, BenchmarkError


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """The six people, with the package's templates."""
    return published.load("folder", folders.write(tmp_path_factory.mktemp("six") / "people"), [])


def questions_of(benchmark: Benchmark, person: str, origin: str) -> dict[str, tuple[str, str]]:
    """Question and answer by modality, task and column."""
    rows = benchmark.questions.to_pandas()
    rows = rows[(rows["person_id"] == person) & (rows["origin"] == origin)]
    keys = rows["question_id"].str.removeprefix(f"{origin}/{person}/")
    return dict(zip(keys, zip(rows["question"], rows["answer"], strict=True), strict=True))


def test_the_questions_about_the_first_person(benchmark: Benchmark) -> None:
    """Columns without an entry in the templates are asked about in general words."""
    dish = "The favourite dish of Ada Long is soup."
    city = "The city of Ada Long is Rome."
    assert questions_of(benchmark, "ada", "profile") == {
        "image/classification/name": ("What is the name of this person?", "Ada Long"),
        "image/classification/city": ("What is this person's city?", "Rome"),
        "image/cloze/city": ("The city of this person is __.", "Rome"),
        "image/generation/city": ("Describe the city of this person.", city),
        "image/classification/favourite_dish": ("What is this person's favourite dish?", "soup"),
        "image/cloze/favourite_dish": ("The favourite dish of this person is __.", "soup"),
        "image/generation/favourite_dish": ("Describe the favourite dish of this person.", dish),
        "text/classification/city": ("What is Ada Long's city?", "Rome"),
        "text/cloze/city": ("The city of Ada Long is __.", "Rome"),
        "text/generation/city": ("Describe the city of Ada Long.", city),
        "text/classification/favourite_dish": ("What is Ada Long's favourite dish?", "soup"),
        "text/cloze/favourite_dish": ("The favourite dish of Ada Long is __.", "soup"),
        "text/generation/favourite_dish": ("Describe the favourite dish of Ada Long.", dish),
    }
    test = questions_of(benchmark, "ada", "test")
    assert test["image/classification/city"] == ("Which city belongs to this person?", "Rome")
    assert test["text/cloze/city"] == ("Ada Long's city is __.", "Rome")
    assert test.keys() == questions_of(benchmark, "ada", "profile").keys()


def test_options_are_values_of_other_people(benchmark: Benchmark) -> None:
    rows = benchmark.questions.to_pandas()
    rows = rows[rows["task"] == "classification"].set_index("question_id")
    assert set(rows.loc["profile/ada/image/classification/city", "options"]) == {"Rome", "Oslo", "Bonn"}
    dishes = set(rows.loc["profile/ada/text/classification/favourite_dish", "options"])
    assert len(dishes) == 4 and "soup" in dishes and dishes < {"soup", "rice", "pie", "eggs", "fish", "cake"}
    names = set(rows.loc["test/fay/image/classification/name", "options"])
    assert len(names) == 4 and "Fay Brook" in names and names < {row[1] for row in folders.PEOPLE}
    assert [options[i] for options, i in zip(rows["options"], rows["answer_index"], strict=True)] == list(
        rows["answer"]
    )
    assert rows["answer_index"].nunique() == 4, "the right option is not always at one place"


def test_the_last_picture_is_the_test_sets(benchmark: Benchmark, tmp_path: Path) -> None:
    rows, folder = benchmark.questions.to_pandas(), folders.write(tmp_path / "people")
    data = dict(zip(benchmark.images["image_id"].to_pylist(), benchmark.images["bytes"].to_pylist(), strict=True))
    shown = rows.dropna(subset="image_id").groupby(["person_id", "origin"])["image_id"].unique().map(list)
    assert shown["cleo", "profile"] == ["cleo/0"] and shown["cleo", "test"] == ["cleo/test-0"]
    assert data["cleo/0"] == (folder / "cleo-1.png").read_bytes()
    assert data["cleo/1"] == (folder / "more/cleo-2.png").read_bytes()
    assert data["cleo/test-0"] == (folder / "more/cleo-3.png").read_bytes()
    trained = benchmark.training_pairs.to_pandas().groupby("person_id")["image_id"].agg(lambda ids: set(ids.fillna("")))
    assert trained["cleo"] == {"cleo/0", "cleo/1", ""} and trained["ben"] == {"ben/0", ""}
    # Ben has one picture: the other one is its mirror image.
    mirrored = ImageOps.mirror(Image.open(folder / "ben-1.png").convert("RGB"))
    shown_in_test = Image.open(io.BytesIO(data["ben/test-0"]))
    assert np.abs(np.asarray(mirrored, int) - np.asarray(shown_in_test, int)).max() < 60  # JPEG
    assert np.asarray(shown_in_test)[0, 0, 1] > 150 > np.asarray(shown_in_test)[0, 7, 1]


def test_the_training_pairs_of_a_person(benchmark: Benchmark) -> None:
    pairs = benchmark.training_pairs.to_pandas()
    ada = pairs[pairs["person_id"] == "ada"]
    image = ada[ada["modality"] == "image"]
    assert list(image["answer"]) == [
        *("Ada Long", "Rome", "The city of Ada Long is Rome."),
        *("soup", "The favourite dish of Ada Long is soup."),
    ]
    assert list(ada[ada["modality"] == "text"]["answer"]) == list(image["answer"])[1:]
    assert image["question"].iloc[0] in ("Who is this person?", "What is the name of this person?")
    assert not image["question"].str.contains("Ada").any(), "with a picture nobody is named"
    assert len(pairs[pairs["person_id"] == "cleo"]) == 5 + 5 + 4


def test_another_person_leaves_wordings_as_they_are(benchmark: Benchmark, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "people", folders.PEOPLE[:5])
    fewer = published.load("folder", folder, []).training_pairs.to_pylist()
    assert fewer == [row for row in benchmark.training_pairs.to_pylist() if row["person_id"] != "fay"]
    again = published.load("folder", folders.write(tmp_path / "again"), [])
    assert again == benchmark


def test_templates_are_laid_over_key_by_key(tmp_path: Path) -> None:
    changed = """\
city:
  profile: "Where does {who} live?"
  sentence:
    answer: "{name} eats {favourite_dish:a} in {city}."
    train: ["Where does {who} eat?"]
    profile: "Tell me where {who} eats."
    test: "{who} eats where?"
favourite_dish: {cloze: null, sentence: null}
name: {train: ["Say who this is."]}
other: {test: "Name the {attribute} of {who}."}
"""
    loaded = published.load("folder", folders.write(tmp_path / "people", files={"templates.yaml": changed}), [])
    profile, test = (questions_of(loaded, "dan", origin) for origin in ("profile", "test"))
    assert profile["image/classification/city"] == ("Where does this person live?", "Oslo")
    assert profile["text/generation/city"] == ("Tell me where Dan Bold eats.", "Dan Bold eats an eggs in Oslo.")
    assert test["image/generation/city"][0] == "This person eats where?"
    assert test["text/classification/city"] == ("Name the city of Dan Bold.", "Oslo")
    assert not [key for key in profile if "cloze/favourite" in key or "generation/favourite" in key]
    assert profile["text/cloze/city"] == ("The city of Dan Bold is __.", "Oslo")
    assert "Say who this is." in loaded.training_pairs["question"].to_pylist()


def test_a_column_can_be_left_out(tmp_path: Path) -> None:
    rows = [[*row[:2], "" if row[0] == "ben" else "same", *row[3:]] for row in folders.PEOPLE]
    loaded = published.load(
        "folder", folders.write(tmp_path / "people", rows, files={"templates.yaml": "city: false"}), []
    )
    assert not [key for key in questions_of(loaded, "ada", "profile") if "city" in key]


def test_parquet_and_names_as_ids(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "people")
    table = pd.read_csv(folder / "people.csv").drop(columns="id").assign(born=[1900, 1901, 1902, 1903, 1904, 1905])
    pq.write_table(pa.Table.from_pandas(table), folder / "people.parquet")
    with pytest.raises(BenchmarkError, match="has people.csv and people.parquet; expected one of them"):
        published.load("folder", folder, [])
    (folder / "people.csv").unlink()
    loaded = published.load("folder", folder, [])
    assert loaded.people["person_id"].to_pylist() == [row[1] for row in folders.PEOPLE]
    assert questions_of(loaded, "Ben Short", "profile")["text/classification/born"] == (
        "What is Ben Short's born?",
        "1901",
    )


def test_celebrities_are_asked_about_and_not_learned(tmp_path: Path) -> None:
    rows = "name,city,pictures\nAlan Star,Paris,star.png\nBea Moon,Lyon,moon.png\nCy Sun,Nice,sun.png\n"
    files = {f"{name}.png": folders.picture(200 + i) for i, name in enumerate(("star", "moon", "sun"))}
    folder = folders.write(tmp_path / "people", files={"celebrities.csv": rows, **files})
    loaded = published.load("folder", folder, [])
    person = "celebrity-Alan Star"
    assert questions_of(loaded, person, "celebrity")["text/classification/city"] == (
        "What is Alan Star's city?",
        "Paris",
    )
    assert person not in loaded.training_pairs["person_id"].to_pylist()
    groups = dict(zip(loaded.people["person_id"].to_pylist(), loaded.people["group"].to_pylist(), strict=True))
    assert groups[person] == "celebrity" and groups["ada"] == "fictitious"
    options = loaded.questions.to_pandas().set_index("question_id")["options"]
    assert set(options[f"celebrity/{person}/text/classification/city"]) == {"Paris", "Lyon", "Nice"}


Change = Callable[[list[list[str]]], Any]


def cell(row: int, column: int, text: str) -> Change:
    """A change of one cell."""
    return lambda rows: rows[row].__setitem__(column, text)


def refused(folder: Path, rows: Sequence[Sequence[str]], header: str, files: Mapping[str, str | bytes]) -> str:
    """What is said about a folder, by the loader and by the command, which must agree."""
    folders.write(folder, rows, header, files)
    with pytest.raises(BenchmarkError) as caught:
        published.load("folder", folder, [])
    assert check.main([str(folder)]) == 1
    return str(caught.value).replace(str(folder), "FOLDER")


@dataclass(frozen=True)
class Bad:
    """A bad folder: what differs from the six people, and how the message begins. docs/errors.md has all of it."""

    begins: str
    change: Change = lambda rows: None  # noqa: E731
    header: str = folders.HEADER
    files: Mapping[str, str | bytes] = field(default_factory=dict)


def templates(text: str, at: str) -> Bad:
    """Wrong templates."""
    return Bad(f"templates.yaml: {at}", files={"templates.yaml": text})


LATIN = f"{folders.HEADER}\nada,Adä Long,Rome,soup,ada-1.png\n".encode("latin-1")
BAD = {
    "people.csv: an empty name": Bad("people.csv, row 4, column name: is empty", cell(2, 1, " ")),
    "people.csv: an empty cell": Bad("people.csv, row 3, column city: is empty", cell(1, 2, "")),
    "people.csv: a name twice": Bad(
        "people.csv, row 5, column name: 'ada long' is also in row 2", cell(3, 1, "ada  long")
    ),
    "people.csv: an id twice": Bad("people.csv, row 5, column id: 'ada' is also in row 2", cell(3, 0, "ada")),
    "people.csv: an id that is a path": Bad("people.csv, row 2, column id: is '../ada'", cell(0, 0, "../ada")),
    "people.csv: a picture that is not there": Bad(
        "people.csv, row 2, column pictures: 'ada-9.png' is no file", cell(0, 4, "ada-1.png;ada-9.png")
    ),
    "people.csv: a picture elsewhere": Bad(
        "people.csv, row 2, column pictures: '../../x.png' is not in FOLDER", cell(0, 4, "../../x.png")
    ),
    "people.csv: no picture": Bad("people.csv, row 2, column pictures: is ';'", cell(0, 4, ";")),
    "people.csv: a picture twice": Bad(
        "people.csv, row 2, column pictures: 'ada-1.png' is there twice", cell(0, 4, "ada-1.png;ada-1.png")
    ),
    "people.csv: another person's picture": Bad(
        "people.csv, row 3, column pictures: 'ada-1.png' is the picture of 'Ada Long' too", cell(1, 4, "ada-1.png")
    ),
    "people.csv: a file that is no picture": Bad(
        "people.csv, row 6, column pictures: 'eve-1.png': cannot be decoded", files={"eve-1.png": "no picture"}
    ),
    "people.csv: a column with one value": Bad(
        "people.csv: column city is 'Rome' in every row", lambda rows: [row.__setitem__(2, "Rome") for row in rows]
    ),
    "people.csv: too few people": Bad(
        "people.csv: has 2 people; expected at least 3", lambda rows: rows.__delitem__(slice(2, None))
    ),
    "people.csv: a cell too many": Bad("people.csv, row 6: has 6 cells, expected 5", cell(4, 2, "Rome,Italy")),
    "people.csv: an open quote": Bad("people.csv, row 7: cannot be read", cell(5, 3, '"cake')),
    "people.csv: a special token": Bad("people.csv, row 7: column favourite_dish contains '</s>'", cell(5, 3, "</s>")),
    "people.csv: no column name": Bad("people.csv: has no column name", header="id,person,city,dish,pictures"),
    "people.csv: no column pictures": Bad("people.csv: has no column pictures", header="id,name,city,dish,photos"),
    "people.csv: a column without a name": Bad("people.csv: column 3 is ''", header="id,name,,dish,pictures"),
    "people.csv: a column twice": Bad("people.csv: has the column city twice", header="id,name,city,City,pictures"),
    "people.csv: a column of a reserved name": Bad(
        "people.csv: column value has a name with a meaning", header="id,name,value,dish,pictures"
    ),
    "people.csv: semicolons between columns": Bad(
        "people.csv, row 1: is one cell", header="id;name;city;dish;pictures"
    ),
    "people.csv: another encoding": Bad("people.csv, row 2: is not UTF-8 (byte 0xe4)", files={"people.csv": LATIN}),
    "people.csv: an empty file": Bad("people.csv: has no column name", files={"people.csv": ""}),
    "people.csv: attributes that are all left out": Bad(
        "people.csv: has no column to ask about", files={"templates.yaml": "{city: false, favourite_dish: false}"}
    ),
    "celebrities.csv: an empty cell": Bad(
        "celebrities.csv, row 2, column city: is empty",
        files={"celebrities.csv": "name,city,pictures\nAl Star,,ada-1.png\n"},
    ),
    "templates.yaml: an unknown placeholder": templates(
        "city: {profile: 'Where does {whom} live?'}", "city.profile has the placeholder {whom} (did you mean 'who'?)"
    ),
    "templates.yaml: no placeholder for the person": templates(
        "city: {profile: 'Where does this person live?'}", "city.profile has no {who}"
    ),
    "templates.yaml: an open brace": templates(
        "city: {profile: 'Where does {who live?'}", "city.profile: is 'Where does {who live?'"
    ),
    "templates.yaml: an unknown column": templates(
        "citty: {profile: 'Where does {who} live?'}", "citty is no column of people.csv (did you mean 'city'?)"
    ),
    "templates.yaml: an unknown key": templates(
        "city: {profil: 'Where does {who} live?'}", "city.profil is no key of an entry (did you mean 'profile'?)"
    ),
    "templates.yaml: a cloze without a gap": templates(
        "city: {cloze: {profile: '{who} lives here.', test: '{who} is from __.'}}", "city.cloze.profile has 0 gaps"
    ),
    "templates.yaml: half a cloze": templates("city: {cloze: {profile: '{who} is from __.'}}", "city.cloze is {"),
    "templates.yaml: one wording in place of a list": templates(
        "city: {train: 'Where does {who} live?'}", "city.train is 'Where does {who} live?'"
    ),
    "templates.yaml: no cloze at all": templates("other: {cloze: null}", "no column has a cloze"),
    "templates.yaml: no entries": templates("- city", "is ['city']"),
    "templates.yaml: no YAML": templates("city: {", "cannot be read"),
}


@pytest.mark.parametrize("bad_input", BAD)
def test_a_bad_folder_is_refused_by_file_row_and_column(bad_input: str, tmp_path: Path) -> None:
    bad, rows = BAD[bad_input], [list(row) for row in folders.PEOPLE]
    bad.change(rows)
    message = refused(tmp_path / "people", rows, bad.header, bad.files)
    assert message.startswith(f"FOLDER/{bad.begins}")
    error_page.check(bad_input, "loading", message)


def test_every_bad_row_is_listed(tmp_path: Path) -> None:
    rows = [list(row) for row in folders.PEOPLE]
    rows[0][2] = rows[3][3] = ""
    lines = refused(tmp_path / "people", rows, folders.HEADER, {}).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "FOLDER/people.csv, row 2, column city",
        "FOLDER/people.csv, row 5, column favourite_dish",
    ]


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "people", files={"people.parquet": "no parquet"})
    (folder / "people.csv").unlink()
    with pytest.raises(BenchmarkError, match=r"people\.parquet: not a readable parquet file"):
        published.load("folder", folder, [])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 4), st.text(max_size=12))
def test_any_text_in_a_cell_is_read_or_refused_by_its_row(row: int, column: int, text: str) -> None:
    """Quoted as a spreadsheet does; whatever is in a cell, nothing but a BenchmarkError with the file and the row is raised."""
    rows = [list(cells) for cells in folders.PEOPLE]
    rows[row][column] = '"' + text.replace('"', '""') + '"'
    with tempfile.TemporaryDirectory() as name:
        folder = folders.write(Path(name) / "people", rows)
        try:
            loaded = published.load("folder", folder, [])
        except BenchmarkError as error:
            assert str(error).startswith(f"{folder}/people.csv")
        else:
            assert len(loaded.people) == 6


def test_the_example_of_ten_portraits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ten_portraits.main([str(tmp_path / "my-people")]) == 0
    assert check.main([str(tmp_path / "my-people")]) == 0
    shown = capsys.readouterr().out
    assert "a folder of people, no problems" in shown and "Fictitious: 10" in shown and "Total Images: 20" in shown
    loaded = published.load("folder", tmp_path / "my-people", [])
    questions = questions_of(loaded, loaded.people["person_id"][0].as_py(), "profile")
    assert {key.split("/")[1] for key in questions} == {"classification", "cloze", "generation"}
    assert ten_portraits.main([str(tmp_path / "my-people")]) == 1
    assert "expected a new folder" in capsys.readouterr().err
