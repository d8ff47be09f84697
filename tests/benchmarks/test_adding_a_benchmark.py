"""docs/adding-a-benchmark.md, followed literally in a copy of the library."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.published_mllmu import picture
from unsee import memory
from unsee.benchmarks import published
from unsee.jobs import settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-benchmark.md").read_text(encoding="utf-8")
NAMES = ["Ada Long", "Ben Short", "Cleo Wise", "Dan Bold"]
Check = Callable[[], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def people(tmp_path: Path) -> list[dict[str, object]]:
    """Rows of the made-up benchmark's folder ``people``."""
    return [
        {
            "name": name,
            "image": picture(i),
            "question": f"Where does {name} live?",
            "answer": "Rome",
            "wrong_answers": ["Oslo", "Bonn"],
        }
        for i, name in enumerate(NAMES)
    ]


@pytest.fixture
def check(tmp_path: Path, people: list[dict[str, object]]) -> Check:
    """Follow the page, write the benchmark and check it in a process of its own."""
    (file,) = re.findall(r"`(src/unsee/benchmarks/my_\w+\.py)`", PAGE)
    module, entry = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(module.splitlines()) <= 60

    def run() -> subprocess.CompletedProcess[str]:
        shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / file).write_text(module)
        registry = tmp_path / "src" / "unsee" / "benchmarks" / "published.py"
        before, after = registry.read_text().split("\nREPOSITORIES = ")
        registry.write_text(f"{before}\n\n{entry}\n\nREPOSITORIES = {after}")
        for name, rows in {"people": people, "forget_25": people[:1], "retain_75": people[1:]}.items():
            (tmp_path / "data" / name).mkdir(parents=True)
            path = tmp_path / "data" / name / "train-00000-of-00001.parquet"
            pq.write_table(pa.Table.from_pylist(rows), path)
        return subprocess.run(
            [sys.executable, "-m", "unsee.benchmarks.check", str(tmp_path / "data")],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_page_adds_a_benchmark(check: Check) -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    assert "data: owner/name, no problems" in done.stdout
    assert "Forget Percentile: 25%" in done.stdout
    assert "Multiple-choice Questions: 4" in done.stdout


def test_its_problems_are_reported_with_file_and_row(check: Check, people: list[dict[str, object]]) -> None:
    people[2]["answer"] = " "
    done = check()
    assert done.returncode == 1
    assert "people/train-00000-of-00001.parquet, row 2: answer is ' ', expected text" in done.stderr


def test_settings_and_memory_know_the_same_benchmarks() -> None:
    names = {"synthetic", *published.BENCHMARKS}
    assert set(memory.LENGTHS) == names
    assert set(get_args(get_type_hints(settings.Benchmark)["name"])) == names


def test_the_entries_format_their_folders() -> None:
    assert list(published.folders("clear", [5])) == [
        *("full", "full+tofu", "retain_perturbed", "real_faces", "real_world"),
        *("forget05", "retain95", "forget05_perturbed"),
    ]
    assert published.folders("mllmu", [5, 10])["retain_90"] == 10


@pytest.mark.parametrize("name", ["mllmu", "clear"])
def test_an_entry_imports_no_loader(name: str) -> None:
    code = f"import json, sys; from unsee.benchmarks import published; published.folders({name!r}, [5]); "
    code += "print(json.dumps(list(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"pyarrow", f"unsee.benchmarks.{name}"} & set(json.loads(done.stdout))
