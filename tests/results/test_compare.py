"""The comparison of two results folders reports all differences and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unsee.results.compare import CompareError, compare, main, report
from unsee.results.tables.scores import gather, summarise


@pytest.fixture
def folders(world: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the world's results; in the second, ``alpha`` gets every multiple-choice question about retained people wrong."""
    items = gather(world.runs, world.questions, world.splits, (10, 20)).astype({"method": str})
    people = pd.DataFrame({"person_id": world.questions["person_id"].unique()}).assign(name="Ann", biography="{}")
    questions = world.questions.assign(question=world.questions["question_id"], answer="yes")
    for name in ("a", "b"):
        folder = tmp_path / name
        (folder / "benchmark").mkdir(parents=True)
        people.to_parquet(folder / "benchmark" / "people.parquet")
        questions.to_parquet(folder / "benchmark" / "questions.parquet")
        copied = items.copy()
        if name == "b":
            changed = (copied["method"] == "alpha") & (copied["set"] == "retain") & (copied["task"] == "classification")
            copied.loc[changed & (copied["metric"] == "accuracy"), "value"] = 0.0
        copied.to_parquet(folder / "scores.parquet")
        summarise(copied).to_csv(folder / "scores.csv", index=False)
        for run in world.runs:
            place = folder / "models" / "tiny" / f"forget{run.forget_percent}" / run.method / f"seed{run.seed}"
            _manifest(place)
    return tmp_path / "a", tmp_path / "b"


def _manifest(place: Path, **settings: Any) -> None:
    place.mkdir(parents=True, exist_ok=True)
    content = {
        "settings": {"learning_rate": 0.1, "lora": {"rank": 8}} | settings,
        "versions": {"torch": "2.13.0", "peft": "0.18"},
        "adapter_sha256": json.dumps(settings) or "same",
    }
    (place / "manifest.json").write_text(json.dumps(content))


def test_a_folder_equals_itself(folders: tuple[Path, Path]) -> None:
    a, _ = folders
    text, agrees = report(a, a)
    assert agrees and text.splitlines()[-1].startswith("Same: the 384 scores of 16 models")
    assert "Adapters: 14 of the 14 in both folders are the same" in text
    assert "Scores: 0 of 192 differ" in text and "|" not in text
    assert text.count("the same, as far as it was recorded") == 1


def test_differences_are_reported(folders: tuple[Path, Path]) -> None:
    a, b = folders
    for seed in (0, 1):
        _manifest(b / "models/tiny/forget10/alpha" / f"seed{seed}", lora={"rank": 4})
    _manifest(b / "models/tiny/forget10/new/seed0")
    record = b / "models/tiny/forget0/vanilla/seed0/manifest.json"
    record.write_text(record.read_text().replace("2.13.0", "2.12.1"))
    for folder, celebrities in ((a, 30), (b, 40)):
        whole = {
            "configuration": {"benchmark": {"celebrities": celebrities}, "seeds": [0, 1]},
            "versions": {"numpy": "2"},
        }
        (folder / "table3.manifest.json").write_text(json.dumps(whole))
    text, agrees = report(a, b)
    assert agrees, "two of a model's 24 scores are no more than one in five"
    assert "  lora.rank: 8 / 4  in forget10/alpha/seed0, forget10/alpha/seed1\n" in text
    assert "  benchmark.celebrities: 30 / 40\n" in text and "seeds" not in text
    assert "  torch: 2.13.0 / 2.12.1, 2.13.0\n" in text and "peft" not in text and "numpy" not in text
    assert "Adapters: 12 of the 14 in both folders" in text
    # Image and text, at two ratios.
    assert "Scores: 4 of 192 differ" in text
    paired = text[text.index("Scores: 4") :].split("\n\n")[0]
    rows = [line.split("|")[2:6] for line in paired.splitlines() if line.startswith("|")][2:]
    assert {tuple(cell.strip() for cell in row) for row in rows} == {
        ("alpha", "retain", modality, "classification") for modality in ("image", "text")
    }


def test_scores_are_paired_by_question(folders: tuple[Path, Path]) -> None:
    a, b = folders
    table = compare(a, b).set_index(["forget_percent", "method", "set", "modality", "task"])
    row = table.loc[(10, "alpha", "retain", "image", "classification")]
    items = pd.read_parquet(a / "scores.parquet")
    paired = items[(items["method"] == "alpha") & (items["forget_percent"] == 10) & (items["set"] == "retain")]
    paired = paired[
        (paired["modality"] == "image") & (paired["metric"] == "accuracy") & (paired["task"] == "classification")
    ]
    assert (row["a"], row["b"]) == (pytest.approx(100 * paired["value"].mean()), 0.0)
    assert row["difference"] == pytest.approx(-100 * paired["value"].mean())
    assert (row["n_questions"], row["n_people"]) == (2 * 18, 18)
    others = table.drop(
        index=[(p, "alpha", "retain", m, "classification") for p in (10, 20) for m in ("image", "text")]
    )
    assert (others["difference"] == 0).all() and (others["p"] == 1).all()


def test_without_a_common_seed_means_are_paired(folders: tuple[Path, Path]) -> None:
    a, b = folders
    for folder, seed in ((a, 0), (b, 1)):
        items = pd.read_parquet(folder / "scores.parquet")
        items[items["seed"] == seed].to_parquet(folder / "scores.parquet")
    row = (
        compare(a, b)
        .query(
            "forget_percent == 20 and method == 'zeta' and set == 'test' and modality == 'text' and task == 'generation'"
        )
        .iloc[0]
    )
    one, other = (
        pd.read_parquet(f / "scores.parquet").query(
            "forget_percent == 20 and method == 'zeta' and set == 'test' and modality == 'text' and metric == 'rouge_l'"
        ).astype({"person_id": str}).groupby("person_id")["value"].mean()
        for f in (a, b)
    )  # fmt: skip
    # As many questions a person: a paired t-test of people's means.
    assert row["p"] == pytest.approx(stats.ttest_rel(other, one).pvalue)
    assert row["difference"] == pytest.approx(float(np.mean(other - one)))


def test_other_people_are_not_compared(folders: tuple[Path, Path]) -> None:
    a, b = folders
    people = pd.read_parquet(b / "benchmark" / "people.parquet")
    people.assign(name="Bea").to_parquet(b / "benchmark" / "people.parquet")
    assert "Scores: the folders have no question in common" in report(a, b)[0]


def test_a_folder_without_results_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folders[0]), str(tmp_path / "none")]) == 2
    assert f"{tmp_path / 'none' / 'scores.csv'}: not there; expected a folder of results" in capsys.readouterr().err
    (folders[1] / "scores.parquet").unlink()
    with pytest.raises(CompareError, match="scores.parquet: not there; expected a folder of results"):
        compare(*folders)
    assert main([str(folders[0]), str(folders[0]), "--all"]) == 0
    assert capsys.readouterr().out.count("\n|") == (192 + 2) + (384 + 2)
