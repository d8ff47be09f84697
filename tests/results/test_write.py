"""Every file of a results folder is written from frames, without Snakemake; equal frames give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unsee.evaluation.scoring import score_predictions
from unsee.results.page.captions import FIGURES
from unsee.results.page.drawing import FORMATS
from unsee.results.page.write_report import write_report
from unsee.results.page.write_trade_off import write_trade_off
from unsee.results.tables.costs import TrainedRun
from unsee.results.tables.files import write_csv
from unsee.results.tables.knowledge import sentences
from unsee.results.tables.scores import Run, gather, summarise
from unsee.results.tables.write_summary import write_summary
from unsee.results.tables.write_tables import write_tables

RUNS = [(0, "base", 0), (0, "vanilla", 0), (25, "retain", 0), (25, "npo", 0), (25, "mine", 0)]
RIGHT = {"base": 4, "vanilla": 1, "retain": 2, "npo": 3, "mine": 2}  # every so many answers are right
SEES = {"mine": {25: "forget, retained pairs"}, "npo": {25: "forget, retain-only"}}
TABLES = (
    "scores",
    "scores_over_seeds",
    "summary",
    "table3",
    "differences",
    "modalities",
    "knowledge",
    "costs",
    "dataset_statistics",
    "ranking",
)


def _predictions(questions: pd.DataFrame, every: int) -> pd.DataFrame:
    rows = []
    for i, row in enumerate(questions.to_dict("records")):
        right, n = i % every == 0, len(row["options"])
        rows.append(
            {
                "question_id": row["question_id"],
                "output": row["answer"] if right else "I do not know.",
                "reference": row["answer"],
                "correct": right if n else None,
                "option_log_likelihoods": [-1.0 if (j == row["answer_index"]) == right else -3.0 for j in range(n)],
                "option_tokens": [1] * n,
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def folders(mini_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same results written twice."""
    benchmark = {
        name: pd.read_parquet(mini_benchmark / f"{name}.parquet")
        for name in ("people", "images", "questions", "splits")
    }
    made = tmp_path_factory.mktemp("runs")
    predictions = {run: _predictions(benchmark["questions"], RIGHT[run[1]]) for run in RUNS}
    item_scores = {run: score_predictions(table, benchmark["questions"]) for run, table in predictions.items()}
    manifests: dict[Any, Any] = {}
    costs = [TrainedRun("tiny", *RUNS[0])]
    for run in RUNS[1:]:
        manifests[run] = {"adapter_sha256": "ab" * 32, "seed": 0, "versions": {"torch": "2.13.0"}, "steps": 20}
        (made / f"{run[1]}.json").write_text(json.dumps(manifests[run]))
        (made / f"{run[1]}.tsv").write_text("s\tmax_rss\n12.5\t300\n")
        costs.append(TrainedRun("tiny", *run, made / f"{run[1]}.tsv", made / f"{run[1]}.json"))
    for run, table in item_scores.items():
        table.to_parquet(made / f"{run[1]}.parquet")
    items = gather(
        [Run("tiny", *run, [made / f"{run[1]}.parquet"]) for run in RUNS],
        benchmark["questions"],
        benchmark["splits"],
        [25],
    )
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for folder in folders:
        write_csv(summarise(items), folder / "scores.csv")
        scores = pd.read_csv(folder / "scores.csv")
        statistics = pd.DataFrame({"statistic": ["Total Profiles"], "value": ["16"]})
        both: dict[str, Any] = {"items": items, "methods": ["mine", "npo"], "sees": SEES}
        write_tables(folder, scores=scores, runs=costs, statistics=statistics, **both)
        write_summary(folder, scores=scores, **both)
        write_trade_off(folder, scaled={}, utility=0.95, **both)
        write_report(
            folder,
            benchmark=benchmark,
            tables={name: pd.read_csv(folder / f"{name}.csv") for name in TABLES},
            answers=items,
            metrics={run: pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0]}) for run in RUNS[1:]},
            predictions=predictions,
            item_scores=item_scores,
            manifests=manifests,
            utility=0.95,
            configuration="seeds: [0]\n",
        )
    return folders


def test_every_file_is_written(folders: tuple[Path, Path]) -> None:
    written = {str(path.relative_to(folders[0])) for path in folders[0].rglob("*") if path.is_file()}
    tables = {f"{name}.csv" for name in (*TABLES, "ablation", "trade_off", "agreement")}
    drawn = {f"figures/{name}.{extension}" for name in FIGURES for extension in FORMATS}
    assert written == tables | drawn | {
        "table3.md",
        "knowledge.md",
        "summary.md",
        "ranking.md",
        "table3.tex",
        "report.html",
    }


def test_every_table_says_what_methods_see(folders: tuple[Path, Path]) -> None:
    text = (folders[0] / "table3.md").read_text(encoding="utf-8")
    lines = "- `mine`: forget, retained pairs\n- `npo`: forget, retain-only\n\n|"
    assert lines in text and text.index(lines) > text.index("What each method sees besides vanilla:")
    assert "sees" not in pd.read_csv(folders[0] / "table3.csv")
    for name in ("summary", "ranking"):
        table = pd.read_csv(folders[0] / f"{name}.csv").set_index("method")
        assert table.loc["npo", "sees"] == "forget, retain-only"
        assert "| forget, retain-only" in (folders[0] / f"{name}.md").read_text(encoding="utf-8")
        assert "the spread between seeds is missing" in (folders[0] / f"{name}.md").read_text(encoding="utf-8")


def test_equal_frames_give_equal_bytes(folders: tuple[Path, Path]) -> None:
    one, two = folders
    for path in one.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path


def test_the_base_model_is_in_every_table_but_those_of_methods(folders: tuple[Path, Path]) -> None:
    for name in ("scores", "scores_over_seeds", "summary", "table3", "ablation", "costs"):
        table = pd.read_csv(folders[0] / f"{name}.csv")
        assert table["method"].iloc[0] == "base", name
    for name in ("differences", "trade_off", "ranking"):
        assert "base" not in set(pd.read_csv(folders[0] / f"{name}.csv")["method"]), name
    methods = pd.read_csv(folders[0] / "table3.csv")["method"].unique().tolist()
    assert methods == ["base", "vanilla", "retain", "mine", "npo"]


def test_whether_there_was_anything_to_forget_stands_below_the_tables_and_on_the_first_screen(
    folders: tuple[Path, Path],
) -> None:
    folder = folders[0]
    lines = sentences(pd.read_csv(folder / "knowledge.csv"))
    assert len(lines) >= 2, "of vanilla and of the base model"
    for name in ("table3.md", "summary.md"):
        text = (folder / name).read_text(encoding="utf-8")
        table, below = text.rsplit("|\n\n", 1)
        assert below.endswith("".join(f"- {line}\n" for line in lines)) and "|" in table, name
    page = (folder / "report.html").read_text(encoding="utf-8")
    screen = page[page.index('<section id="glance">') : page.index('<section id="findings">')]
    assert screen.index("Was there anything to forget?") < screen.index("Which method forgets best")
    for line in lines:
        assert (
            f"<li>{line.replace('`forget`', '<code>forget</code>').replace('`test`', '<code>test</code>')}</li>"
            in screen
        )


def test_the_page_shows_what_the_base_model_says(folders: tuple[Path, Path]) -> None:
    page = (folders[0] / "report.html").read_text(encoding="utf-8")
    assert '</span>base</th><th><span class="swatch" style="background:#999999"></span>vanilla</th>' in page
    assert page.count("<figure id=") == len(FIGURES)
