"""``python -m unsee.benchmarks.check`` and what it says of whole and broken folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import error_page
from tests.benchmarks import test_clear
from tests.benchmarks.published_mllmu import Published
from unsee.benchmarks import check


def test_a_whole_folder_gives_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Published().write(tmp_path / "mllmu")
    test_clear.Published().write(tmp_path / "clear")
    assert check.main([str(tmp_path / "mllmu")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'mllmu'}: MLLMMU/MLLMU-Bench, no problems\n  Total Questions: 28\n")
    assert "  Forget Percentile: 33%\n" in out and "  Fictitious: 3\n" in out
    assert check.main([str(tmp_path / "clear"), "--percents", "33"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'clear'}: therem/CLEAR, no problems\n")
    assert "  Fictitious Without Profile Questions: 1 (Basil Al-Kuwaiti)\n" in out


def test_problems_are_said_without_a_run(tmp_path: Path) -> None:
    published = Published()
    published.rows["ft_Data"][0]["metadata"] = '[{"Question": "When?", "Answer": 1985}]'
    published.rows["Test_Set"][0]["ID"] = "9/9"
    published.write(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "unsee.benchmarks.check", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(check.__file__).parents[2])},
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    first, second = ended.stderr.splitlines()
    assert "Test_Set" in first and "row 0: ID is '9/9'" in first
    assert "ft_Data" in second and "row 0: metadata[0]: Answer is 1985, expected text" in second


def test_a_ratio_without_folders_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Published().write(tmp_path)
    assert check.main([str(tmp_path), "--percents", "5"]) == 1
    message = capsys.readouterr().err.strip().replace(str(tmp_path), "FOLDER")
    assert message.startswith("FOLDER: lacks forget_5, retain_95 (no train-*.parquet")
    error_page.check("unsee.benchmarks.check: a ratio without folders", "loading", message)


def test_what_is_no_benchmark_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path)]) == 1
    message = capsys.readouterr().err.strip().replace(str(tmp_path), "FOLDER")
    assert message == (
        "FOLDER: no benchmark; expected people.csv, or the folders ft_Data, Full_Set, Test_Set, Retain_Set (MLLMMU/MLLMU-Bench) "
        "or full, full+tofu, retain_perturbed, real_faces, real_world (therem/CLEAR)"
    )
    error_page.check("unsee.benchmarks.check: a folder of something else", "loading", message)
    assert check.main([str(tmp_path / "none")]) == 1
    message = capsys.readouterr().err.strip().replace(str(tmp_path), "FOLDER")
    error_page.check("unsee.benchmarks.check: no folder", "loading", message)
