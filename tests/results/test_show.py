"""The results as one screen of text: what it says about recorded results, its width, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from unsee.core.files import sha256
from unsee.results import show
from unsee.results.show import ShowError, main

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
ESCAPE = "\033"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recorded results, to be changed."""
    return Path(shutil.copytree(REFERENCE, tmp_path / "results"))


def text(folder: Path, width: int = 80) -> str:
    """What is printed, without the blank lines between sections."""
    return "\n".join(line for part in show.show(folder, width) for line in (part.heading, *part.lines))


def row(printed: str, label: str) -> list[str]:
    """The cells of a model in the table."""
    return next(line.split()[1:] for line in printed.splitlines() if line.split()[:1] == [label])


def test_the_table_has_the_recorded_scores() -> None:
    table = pd.read_csv(REFERENCE / "table3.csv").set_index(["forget_percent", "modality", "method"]).loc[(10, "image")]
    summary = pd.read_csv(REFERENCE / "summary.csv").set_index(["forget_percent", "method"]).loc[10]
    printed = text(REFERENCE)
    assert "10 % of the people forgotten, asked with a picture" in printed
    for method, label in (("base", "base"), ("retain", "retain-only"), ("ga", "GA"), ("npo", "NPO")):
        scores = [
            f"{table.loc[method, f'{group}_{column}']:.{2 if column == 'rouge_l' else 1}f}"
            for group in ("forget", "retain")
            for column in ("classification", "rouge_l", "cloze")
        ]
        assert row(printed, label)[:7] == [*scores, f"{summary.loc[method, 'combined']:.2f}"]


def test_the_best_and_those_that_are_not_clearly_worse_are_marked(folder: Path) -> None:
    summary = pd.read_csv(folder / "summary.csv")
    here = summary["forget_percent"] == 10
    summary.loc[here & summary["method"].isin(["ga", "npo"]), ["combined", "p_against_best"]] = [0.5, 0.01]
    summary.loc[here & (summary["method"] == "vl_eraser"), ["combined", "p_against_best"]] = [0.9, None]
    summary.loc[here & (summary["method"] == "kl_min"), ["combined", "p_against_best"]] = [0.8, 0.05]
    summary.to_csv(folder / "summary.csv", index=False)
    printed = text(folder)
    assert row(printed, "VL-Eraser")[6:8] == ["0.90", "*"] and row(printed, "KL_Min")[6:8] == ["0.80", "="]
    assert row(printed, "NPO")[6] == "0.50" and row(printed, "NPO")[7] not in "*="
    assert "VL-Eraser comes nearest" in printed.replace("\n  ", " ")


def test_ten_percent_or_the_middle(folder: Path) -> None:
    for name in ("table3", "summary", "ranking"):
        table = pd.read_csv(folder / f"{name}.csv")
        table[table["forget_percent"] != 10].assign(
            forget_percent=lambda rows: rows["forget_percent"].map({5: 20, 15: 30})
        ).to_csv(folder / f"{name}.csv", index=False)
    assert "30 % of the people forgotten" in text(folder) and "with 20 % too" in text(folder).replace("\n", " ")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = text(REFERENCE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("Class." in line for line in lines) == 1
    assert text(REFERENCE, width).isascii()


def test_the_terminal_says_how_wide_it_is_and_a_file_gets_plain_text() -> None:
    command = [sys.executable, "-m", "unsee.results.show", str(REFERENCE)]
    plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"PYTHONPATH": str(ROOT / "src")}
    widths = {}
    for columns in ("", "50"):
        environment = plain | ({"COLUMNS": columns} if columns else {})
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert ESCAPE not in done.stdout and not done.stderr
        widths[columns] = max(map(len, done.stdout.splitlines()))
    assert 60 < widths[""] <= 80 and widths["50"] <= 50


@pytest.mark.parametrize(
    ("variable", "value", "bold"), [("X", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)]
)
def test_bold_headings_are_for_terminals_that_take_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, bold: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([str(REFERENCE)]) == 0
    assert (ESCAPE in capsys.readouterr().out) == bold


def test_without_a_summary_no_method_wins(folder: Path) -> None:
    for name in ("summary.csv", "ranking.csv", "knowledge.md"):
        (folder / name).unlink()
    printed = text(folder)
    assert "methods are not compared" in printed and "combined" not in printed.split("Who wins")[0].splitlines()[2]
    assert "knowledge.md" not in printed


def test_only_one_task_was_evaluated(folder: Path) -> None:
    table = pd.read_csv(folder / "table3.csv")
    kept = [name for name in table if not name.endswith(("_classification", "_rouge_l"))]
    table[kept][table["modality"] == "text"].to_csv(folder / "table3.csv", index=False)
    printed = text(folder)
    assert "asked in words" in printed and "ROUGE-L" not in printed.splitlines()[2]
    assert len(row(printed, "GA")) == 3, "forget, retain, combined"


def test_tables_of_other_scores_are_left_out(folder: Path) -> None:
    (folder / "scores.parquet").write_bytes(b"scores")
    (folder / "report.html").touch()
    (folder / "jobs").mkdir()
    recorded = {"results/scores.parquet": sha256(folder / "scores.parquet")}
    (folder / "jobs" / "summary.json").write_text(json.dumps({"inputs": recorded}))
    assert "At equal utility KL_Min" in text(folder).replace("\n  ", " "), "no receipt: nothing is assumed"
    for rule in ("trade_off", "report"):
        (folder / "jobs" / f"{rule}.json").write_text(json.dumps({"inputs": {"results/scores.parquet": "other"}}))
    printed = text(folder)
    assert "At equal utility" not in printed and "combined" in printed
    assert printed.count("EARLIER") == 2 and "target results/report.html" in printed.replace("\n    ", " ")


def test_where_there_was_nothing_to_forget_it_says_so(folder: Path) -> None:
    assert "Beware" not in text(folder)
    rows = [("tiny-llava", 10, "vanilla", verdict) for verdict in ("more", "unclear", "less")]
    rows += [("tiny-llava", 10, "base", "unclear"), ("tiny-llava", 5, "vanilla", "unclear")]
    table = pd.DataFrame(rows, columns=["model", "forget_percent", "method", "verdict"])
    table.to_csv(folder / "knowledge.csv", index=False)
    assert "In 2 of 3 scores vanilla knows no more" in text(folder)


def test_models_that_are_destroyed_or_have_hardly_begun(folder: Path) -> None:
    summary = pd.read_csv(folder / "summary.csv")
    summary["utility_of_vanilla"] = 0.3
    for mark, method in (("destroyed", "kl_min"), ("hardly_begun", "npo")):
        summary[mark] = summary["method"].eq(method).where(~summary["method"].isin(["base", "vanilla", "retain"]))
    summary.to_csv(folder / "summary.csv", index=False)
    printed = text(folder).replace("\n  ", " ")
    assert row(printed, "KL_Min")[7] == "x" and row(printed, "VL-Eraser")[7] == "*", "the best of those that are left"
    assert "Destroyed, and not compared: KL_Min (30 % of vanilla's utility)" in printed
    assert "Hardly begun to forget: NPO." in printed and row(printed, "NPO")[7] not in "=*x"


def test_what_is_no_results_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "table3.csv").unlink()
    assert main([str(folder)]) == 2
    assert f"{folder / 'table3.csv'}: no such file" in capsys.readouterr().err
    for content, message in (("", "No columns"), ("model,method\na,b\n", "no column 'forget_percent'"), ("\xff", "")):
        (folder / "table3.csv").write_text(content, encoding="latin-1")
        with pytest.raises(ShowError, match=f"table3.csv: .*{message}"):
            show.show(folder)


def test_labels_stay_apart(folder: Path) -> None:
    table = pd.read_csv(folder / "table3.csv")
    names = {"ga": "a_method_with_a_long_name_1", "npo": "a_method_with_a_long_name_2"}
    table.assign(method=table["method"].replace(names)).to_csv(folder / "table3.csv", index=False)
    assert all(name in text(folder) for name in names.values())
