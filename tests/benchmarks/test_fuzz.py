"""Miniatures of the published data sets, damaged in thousands of ways: the loaders give the right tables or a BenchmarkError.

Deterministic: the same cases at every run. What is right is read from the same files by pyarrow and counted here, apart from the loaders.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.benchmarks import damage_mllmu, test_clear
from tests.benchmarks.published_mllmu import Published
from unsee.benchmarks import mllmu, problems, published, schema
from unsee.benchmarks.readers import PublishedFolder
from unsee.benchmarks.schema import Benchmark, BenchmarkError
from unsee.evaluation.questions import check_answers

pytestmark = pytest.mark.slow

Draw = Callable[[st.SearchStrategy[Any]], Any]
Tables = dict[str, pa.Table]


def fuzz(cases: int) -> Callable[[Any], Any]:
    """The same ``cases`` at every run, none shrunk or kept."""
    return settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "A",
            "B",
            "E",
            "a",
            "001",
            "002",
            "093",
            "1",
            "../up",
            ".hidden",
            "Aino Kask",
            "Basil  Al-Kuwaiti",
        ]
        + [
            "celebrity-001",
            "x" * 30_000,
            "</s>",
            "a <image> b",
            "<|im_end|>",
            "USER: x",
            "<3",
            "Image_Textual",
            "Audio",
        ]
        + ["\x00", "\u202e", "\ufeff", "\uff57", "W", " w ", "ｘ", "[]", "{}", "null", "nan", "\U0001f600", "王小明"]
    ),
    st.text(max_size=8),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.sampled_from(["\ud800", "x\udfff"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["Question", "Answer", "ID", "Type", "Name"]), st.text(max_size=4)),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
CELLS: dict[str, Callable[[int], pa.Array]] = {
    "integers": lambda n: pa.array(range(n), pa.int64()),
    "floats": lambda n: pa.array([float("nan")] * n, pa.float64()),
    "truth values": lambda n: pa.array([True] * n),
    "bytes": lambda n: pa.array([b"\xff\x00"] * n, pa.binary()),
    "times": lambda n: pa.array([0] * n, pa.timestamp("ms")),
    "decimals": lambda n: pa.array([None] * n, pa.decimal128(10, 2)),
    "nulls": lambda n: pa.nulls(n),
    "texts": lambda n: pa.array(["001"] * n),
    "JSON texts": lambda n: pa.array(['[{"Question": "q", "Answer": "a"}]'] * n),
    "lists of text": lambda n: pa.array([["a", None, ""]] * n, pa.list_(pa.string())),
    "lists of lists": lambda n: pa.array([[["a"]]] * n, pa.list_(pa.list_(pa.string()))),
    "lists of nulls": lambda n: pa.array([[None]] * n, pa.list_(pa.null())),
    "structs": lambda n: pa.array([{"a": 1}] * n, pa.struct([("a", pa.int32())])),
    "pictures of text": lambda n: pa.array([{"bytes": "x"}] * n, pa.struct([("bytes", pa.string())])),
    "maps": lambda n: pa.array([[("a", "b")]] * n, pa.map_(pa.string(), pa.string())),
}


def scramble(draw: Draw, value: Any) -> Any:
    """A value with something within it replaced, taken away or doubled; as often deep as shallow."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: scramble(draw, value[key])}
    if isinstance(value, list):
        kind = draw(st.sampled_from(["inside", "inside", "inside", "null", "empty", "none", "twice", "less"]))
        if kind == "inside" and value:
            at = draw(st.integers(0, len(value) - 1))
            return [*value[:at], scramble(draw, value[at]), *value[at + 1 :]]
        return {"null": [*value, None], "empty": [], "none": None, "twice": value * 2, "less": value[1:]}.get(
            kind, [None]
        )
    if isinstance(value, bytes):
        return draw(st.sampled_from([b"", b"no picture", value[:-20], value + b"x", None]))
    return draw(st.one_of(st.none(), TEXTS)) if isinstance(value, str) else None


def damage_json(draw: Draw, text: str) -> str:
    kind = draw(st.sampled_from(["value", "entry", "cut", "deep", "doubled", "text"]))
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # damaged before
        content = None
    if kind == "entry" and isinstance(content, list) and content and isinstance(content[0], dict):
        entry = {**content[0], draw(st.sampled_from(["Question", "Answer", "ID", "Type"])): draw(JSON)}
        return json.dumps([*content[:-1], draw(st.sampled_from([entry, draw(JSON)]))])
    if kind == "entry" and isinstance(content, dict):
        return json.dumps({**content, draw(st.sampled_from(["Name", "Born"])): draw(JSON)})
    return {
        "value": json.dumps(draw(JSON)),
        "cut": text[: draw(st.integers(0, len(text)))],
        "deep": "[" * draw(st.sampled_from([5, 30, 5000])) + "]",
        "doubled": text[:-1] + "," + text[1:],
        "text": draw(TEXTS),
    }.get(kind, text)


def damage(draw: Draw, tables: Tables) -> None:
    """One damage to the rows, columns or folders."""
    name = draw(st.sampled_from(sorted(tables)))
    table = tables[name]
    kind = draw(
        st.sampled_from(
            ["cell"] * 8 + ["type", "type", "column gone", "column twice", "encoding", "rows", "rows", "ids", "folders"]
        )
    )
    if kind == "folders":
        other = draw(st.sampled_from(sorted(tables)))
        tables[name], tables[other] = tables[other], table
        return
    column = draw(st.sampled_from(table.column_names))
    at = table.column_names.index(column)
    cells = table.column(at)
    if kind == "column gone":
        tables[name] = table.remove_column(at)
    elif kind == "column twice":
        tables[name] = table.append_column(column, cells)
    elif kind == "type":
        tables[name] = table.set_column(at, column, CELLS[draw(st.sampled_from(sorted(CELLS)))](len(table)))
    elif kind == "encoding" and pa.types.is_string(cells.type):
        other = draw(st.sampled_from([pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
        tables[name] = table.set_column(at, column, cells.cast(other))
    elif kind == "rows":
        rows = draw(st.lists(st.integers(0, len(table) - 1), max_size=len(table) + 2)) if len(table) else []
        order = draw(st.sampled_from([rows, list(range(len(table)))[::-1], list(range(len(table)))[1:]]))
        tables[name] = table.take(pa.array(order, pa.int64()))
    elif len(table) and kind in ("cell", "ids"):
        values = cells.to_pylist()
        row = draw(st.integers(0, len(table) - 1))
        if kind == "ids" or not isinstance(values[row], str):
            values[row] = (
                scramble(draw, values[row]) if kind == "cell" else values[draw(st.integers(0, len(table) - 1))]
            )
        elif values[row][:1] in ("[", "{"):
            values[row] = damage_json(draw, values[row])
        else:
            values[row] = draw(st.one_of(st.none(), TEXTS))
        tables[name] = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def write(draw: Draw, folder: Path, table: pa.Table) -> None:
    """A configuration's files: as published most often, else in shards, as save_to_disk leaves them, or damaged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind = draw(
        st.sampled_from(
            ["published"] * 8 + ["shards", "lost", "doubled", "names", "cut", "empty", "arrow", "compressed"]
        )
    )
    file = folder / "train-00000-of-00001.parquet"
    if kind in ("arrow", "compressed"):
        options = pa.ipc.IpcWriteOptions(compression="zstd" if kind == "compressed" else None)
        with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema, options=options) as stream:
            stream.write_table(table)
    elif kind in ("shards", "lost", "doubled"):
        half = len(table) // 2
        for i, part in enumerate((table.slice(0, half), table.slice(half))):
            if not (kind == "lost" and i):
                pq.write_table(part, folder / f"train-0000{i}-of-00002.parquet")
        if kind == "doubled":
            pq.write_table(table, folder / "train-00001-of-00002-x.parquet")
    else:
        name = draw(st.sampled_from(["train-0.parquet", "train-00001-of-00001.parquet", "test-00000-of-00001.parquet"]))
        file = folder / name if kind == "names" else file
        pq.write_table(table, file)
        if kind == "cut":
            file.write_bytes(file.read_bytes()[: draw(st.integers(0, file.stat().st_size))])
        if kind == "empty":
            file.write_bytes(b"")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """A configuration's rows, read without the project."""
    rows: list[dict[str, Any]] = []
    for file in sorted(folder.iterdir()):
        parquet = file.suffix == ".parquet"
        table = pq.ParquetFile(file).read() if parquet else pa.ipc.open_stream(str(file)).read_all()
        names = table.column_names
        rows += table.select([i for i, name in enumerate(names) if names.index(name) == i]).to_pylist()
    return rows


def simple(text: str) -> str:
    return " ".join(text.split())


def expect_mllmu(folder: Path, benchmark: Benchmark) -> None:
    rows = {name: rows_of(folder / name) for name in ("Full_Set", "Test_Set", "Retain_Set", "ft_Data", "forget_33")}
    ids = [row["ID"] for row in rows["Full_Set"]]
    assert [p for p in benchmark.people["person_id"].to_pylist()] == [
        *ids,
        *(f"celebrity-{row['ID']}" for row in rows["Retain_Set"]),
    ]
    forgotten = {row["person_id"] for row in benchmark.splits.to_pylist() if row["role"] == "forget"}
    assert forgotten == {row["ID"] for row in rows["forget_33"]} and len(benchmark.splits) == len(ids)
    n = 0
    answers = {q["question_id"]: q for q in benchmark.questions.to_pylist()}
    for name, origin, prefix in (
        ("Full_Set", "profile", ""),
        ("Test_Set", "test", ""),
        ("Retain_Set", "celebrity", "celebrity-"),
    ):
        for row in rows[name]:
            choices = row["Classification_Task"] or {}
            for key, modality in (("Image_Textual_Questions", "image"), ("Pure_Text_Questions", "text")):
                for i, entry in enumerate(choices.get(key) or []):
                    n += 1
                    question = answers[f"{origin}/{prefix}{row['ID']}/{modality}/classification/{i}"]
                    said = entry["Correct_Answer"].strip()
                    assert question["question"] == entry["Question"].strip()
                    if said in entry["Options"]:
                        assert question["answer"] == entry["Options"][said].strip()
                    assert question["options"][question["answer_index"]] == question["answer"]
                    assert set(question["options"]) <= {
                        text.strip() for text in entry["Options"].values() if text is not None
                    }
            n += len(row["Generation_Task"] or []) + len(row["Mask_Task"] or [])
    assert n == len(answers)
    pairs = benchmark.training_pairs.to_pylist()
    taught = [entry for row in rows["ft_Data"] for entry in json.loads(row["metadata"])]
    assert [(p["question"], p["answer"]) for p in pairs] == [
        (e["Question"].strip(), e["Answer"].strip()) for e in taught
    ]
    for row in rows["ft_Data"]:
        if row.get("ID"):
            assert sum(p["person_id"] == row["ID"] for p in pairs) == len(json.loads(row["metadata"]))


def expect_clear(folder: Path, benchmark: Benchmark) -> None:
    rows = {name: rows_of(folder / name) for name in ("full", "full+tofu", "forget33", "real_faces", "real_world")}
    names = [simple(row["name"]) for row in rows["full"]]
    people = benchmark.people.to_pylist()
    assert [p["person_id"] for p in people if p["group"] == "fictitious"] == list(dict.fromkeys(names))
    forgotten = {row["person_id"] for row in benchmark.splits.to_pylist() if row["role"] == "forget"}
    assert forgotten == {simple(row["name"]) for row in rows["forget33"]}
    pairs = benchmark.training_pairs.to_pylist()
    captions = [(p["person_id"], p["answer"]) for p in pairs if p["modality"] == "image"]
    assert captions == [(name, row["caption"].strip()) for name, row in zip(names, rows["full"], strict=True)]
    texts = [(p["question"], p["answer"]) for p in pairs if p["modality"] == "text"]
    answered = [row for row in rows["full+tofu"] if (row["question"] or "").strip()]
    assert texts == [(row["question"].strip(), row["answer"].strip()) for row in answered]
    questions = benchmark.questions.to_pylist()
    assert all(q["answer"] == q["person_id"] for q in questions if q["question_id"].endswith("/who"))
    assert sum(q["origin"] == "celebrity" for q in questions) == len(rows["real_faces"]) + len(rows["real_world"])


LOADERS = {
    "mllmu": (Published, expect_mllmu),
    "clear": (test_clear.Published, expect_clear),
}
#: At least so many of the cases must be refused, and so many load: a fuzz test that only ever sees one of them shows little.
OUTCOMES: dict[str, list[bool]] = {}


@pytest.fixture(scope="module", params=list(LOADERS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    make, expect = LOADERS[request.param]
    whole = make().write(tmp_path_factory.mktemp("whole"))
    tables = {path.name: pa.concat_tables(pq.read_table(f) for f in sorted(path.iterdir())) for path in whole.iterdir()}
    yield request.param, whole, tables, expect, tmp_path_factory.mktemp("damaged")
    outcomes = OUTCOMES.pop(request.param)
    right, refused = outcomes.count(True), outcomes.count(False)
    print(f"{request.param}: {right} right tables, {refused} refused")
    assert right > len(outcomes) / 10 and refused > len(outcomes) / 4


@fuzz(1200)
@given(data=st.data())
def test_damaged_files_give_the_right_tables_or_a_benchmark_error(case: Any, data: st.DataObject) -> None:
    name, whole, whole_tables, expect, folder = case
    tables = dict(whole_tables)
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 4]))):
        damage(data.draw, tables)
    shutil.rmtree(folder)
    folder.mkdir()
    again = data.draw(st.sampled_from(sorted(tables)))
    for configuration, table in tables.items():
        if table is whole_tables[configuration] and configuration != again:
            (folder / configuration).symlink_to(whole / configuration)
        else:
            write(data.draw, folder / configuration, table)
    try:
        benchmark = published.load(name, folder, [33])
    except BenchmarkError as error:
        assert str(error) and len(str(error)) < 60_000
        OUTCOMES.setdefault(name, []).append(False)
        return
    schema.check(benchmark)
    check_answers(benchmark.questions.to_pylist())
    expect(folder, benchmark)
    OUTCOMES.setdefault(name, []).append(True)


@fuzz(150)
@given(data=st.data())
def test_damaged_json_gives_the_right_pairs_or_a_finding(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "json"
    texts = [damage_json(data.draw, damage_mllmu.pairs({"ID": f"{i:03d}"}, {"Type": "Pure_Text"})) for i in range(20)]
    people = {f"{i:03d}" for i in range(20)}
    (folder / "ft_Data").mkdir(parents=True, exist_ok=True)
    table = pa.table({"ID": sorted(people), "metadata": texts})
    pq.write_table(table, folder / "ft_Data" / "train-00000-of-00001.parquet")
    source = PublishedFolder(folder, "x/y", ["ft_Data"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "LISTED", 1000)
        pairs = mllmu._read_training_pairs(source, people, {})
        lines = source.problems.lines()
    read = {pair["person_id"] for pair in pairs}
    refused = {line.split(", row ")[1].split(":")[0] for line in lines}
    assert read | {f"{int(row):03d}" for row in refused} == people, "each row gives pairs or a finding"
    for pair in pairs:
        entry = json.loads(texts[int(pair["person_id"])])[int(pair["pair_id"].split("/")[1])]
        assert (pair["question"], pair["answer"]) == (entry["Question"].strip(), entry["Answer"].strip())
        assert entry.get("ID") in (None, pair["person_id"])
