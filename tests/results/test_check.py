"""The verdict on two folders: the same, agreeing within margins that are computed by hand, or differing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.check import Run, compare_scores, only_in_one, runs_of, verdict
from unsee.results.columns import table_metrics
from unsee.results.compare import main

SCORES = [
    (name, modality, metric.task, metric.name, metric.scale)
    for name in ("forget", "test", "retain", "celebrity")
    for modality in ("image", "text")
    for metric in table_metrics()
]


def scores(
    methods: tuple[str, ...] = ("vanilla", "ga"), seeds: tuple[int, ...] = (0,), **changed: float
) -> pd.DataFrame:
    """24 scores of each model at 10 %: half of the scale, with intervals of a tenth of it to either side.

    Args:
        methods, seeds: the models.
        changed: by method, what is added to its first scores, as a share of the scale: the number of scores before the point.
    """
    rows = []
    for method in methods:
        for seed in seeds:
            for i, (name, modality, task, metric, scale) in enumerate(SCORES):
                by, count = np.modf(changed.get(method, 0.0))
                value = scale * (0.5 + (by if i < count else 0.0))
                key = {"model": "tiny", "forget_percent": 10, "method": method, "seed": seed}
                score = {"set": name, "modality": modality, "task": task, "metric": metric}
                rows.append(key | score | {"value": value, "low": value - 0.1 * scale, "high": value + 0.1 * scale})
    return pd.DataFrame(rows)


def test_equal_scores_are_the_same() -> None:
    result = verdict(scores(), scores())
    assert result.agrees and result.sentence == (
        "Same: the 48 scores of 2 models that both folders have are equal to the last digit."
    )


def test_the_margin_is_that_of_both_intervals() -> None:
    """Half widths of 10 and 10 points: the root of 200."""
    table = compare_scores(scores(), scores(ga=1.14))
    row = table[table["method"] == "ga"].iloc[0]
    assert (row["a"], row["b"]) == (50, pytest.approx(64)) and row["difference"] == pytest.approx(14)
    assert row["margin"] == pytest.approx(200**0.5) and not row["outside"]
    assert compare_scores(scores(), scores(ga=1.15))["outside"].sum() == 1


def test_the_spread_over_seeds_widens_the_margin() -> None:
    """Seeds at 40, 50 and 60: a standard deviation of 10, twice of it for each folder."""
    three = pd.concat([scores(("ga",), (seed,)).assign(value=40.0 + 10 * seed) for seed in range(3)])
    three = three.assign(low=three["value"] - 10, high=three["value"] + 10)
    table = compare_scores(three, scores(("ga",), (1,)))
    classification = table[table["task"] == "classification"]
    assert classification["margin"].tolist() == pytest.approx([(200 + 2 * 20**2) ** 0.5] * 8)
    assert compare_scores(scores(("ga",), (1,)), three)["margin"].tolist() == pytest.approx(table["margin"].tolist())


@pytest.mark.parametrize(("outside", "agrees"), [(4, True), (5, False)])
def test_a_model_differs_with_more_than_a_score_in_five(outside: int, agrees: bool) -> None:
    """Of 24; 4 are 17 %, 5 are 21 %."""
    result = verdict(scores(), scores(ga=outside + 0.3))
    assert result.agrees == agrees
    assert result.sentence == (
        "Agree: 44 of the 48 scores of 2 models that both folders have differ by no more than their margins, and no model does in "
        "more than one score of five."
        if agrees
        else "Differ: GA at 10 %, seed 0 (5 of 24 scores) differ by more than the margins, of 2 models in both folders."
    )


def test_only_models_of_both_are_compared() -> None:
    """A default run beside the reference results."""
    reference, default = scores(("vanilla", "ga", "npo"), (0, 1, 2)), scores()
    result = verdict(reference, default)
    assert result.agrees and "the 48 scores of 2 models" in result.sentence
    here, there = runs_of(reference), runs_of(default)
    assert only_in_one(here, there) == ["method npo", "seeds 1, 2"]
    assert only_in_one(there, here) == []
    single = {Run(5, "ga", 0), Run(10, "ga", 0)}
    assert only_in_one(single, {Run(5, "npo", 0), Run(5, "ga", 1)}) == ["ratio 10", "forget5/ga/seed0"]
    with pytest.raises(ValueError, match="no score of a model is in both"):
        verdict(reference, default.assign(model="large"))


def test_a_score_about_one_person_is_not_judged() -> None:
    alone = {"low": np.nan, "high": np.nan}
    assert not compare_scores(scores().assign(**alone), scores(ga=24.4).assign(**alone))["outside"].any()


def test_other_settings_are_named() -> None:
    result = verdict(scores(), scores(ga=24.4), ["methods.ga.settings.steps", "finetune.epochs"])
    assert result.sentence.endswith("These settings are not the same: methods.ga.settings.steps and finetune.epochs.")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """As docs/reference is, and the results of a default run on the same machine."""
    reference, default = tmp_path / "docs", tmp_path / "results"
    _write(reference, scores(("vanilla", "ga", "npo"), (0, 1, 2)), {"ga": 0.1, "npo": 0.2}, [0, 1, 2])
    _write(default, scores(), {"ga": 0.1}, [0])
    return reference, default


def _write(folder: Path, table: pd.DataFrame, rates: dict[str, float], seeds: list[int], **sections: Any) -> None:
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "scores.csv", index=False)
    methods = {name: {"method": name, "settings": {"learning_rate": rate}} for name, rate in rates.items()}
    content = {"configuration": {"methods": methods, "seeds": seeds} | sections, "made": {"versions": {"torch": "2"}}}
    (folder / "table3.manifest.json").write_text(json.dumps(content))


def test_an_installation_that_computes_the_same(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*map(str, folders)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:10] == [
        *("", "Configuration", "  the same, as far as it was recorded"),
        *("  only in A: method npo", "  only in A: seeds 1, 2", "", "Versions", "  the same"),
    ]
    assert lines[-1].startswith("Same: the 48 scores of 2 models")
    assert main([*map(str, reversed(folders))]) == 0


def test_one_that_agrees_and_one_that_does_not(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    reference, default = folders
    _write(default, scores(ga=24.1), {"ga": 0.1}, [0])
    assert main([str(reference), str(default)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Agree: 48 of the 48 scores")
    _write(default, scores(ga=24.3), {"ga": 0.4}, [0], finetune={"epochs": 3})
    assert main([str(reference), str(default)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  methods.ga.settings.learning_rate: 0.1 / 0.4" in lines
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| GA")]
    assert rows[0] == ["GA at 10 %, seed 0", "forget, image, classification", "50.0", "80.0", "30.0", "14.1"]
    assert len(rows) == 24
    assert lines[-1].startswith("Differ: GA at 10 %, seed 0 (24 of 24 scores) differ by more than the margins")
    assert lines[-1].endswith("not the same: methods.ga.settings.learning_rate and finetune.epochs.")


def test_nothing_to_compare(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    reference, default = folders
    _write(default, scores().assign(seed=7), {"ga": 0.1}, [7])
    assert main([str(reference), str(default)]) == 2
    assert "no score of a model is in both; expected two runs of the same base model" in capsys.readouterr().err
