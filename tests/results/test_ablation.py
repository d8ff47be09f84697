"""The ablation table against means and standard deviations computed by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from unsee.results.tables.ablation import ablation

TASKS = {"classification": "accuracy", "generation": "rouge_l", "cloze": "accuracy"}


def test_means_and_spread_over_seeds() -> None:
    value = {"vanilla": (90, 90, 90), "without": (50, 60, 100), "whole": (10, 20, 30)}
    scores = pd.DataFrame(
        [
            {
                "model": "m",
                "forget_percent": 5,
                "method": method,
                "seed": seed,
                "set": name,
                "modality": "image",
                "task": task,
                "metric": metric,
                "value": values[seed] / (1 if metric == "accuracy" else 100),
            }
            for method, values in value.items()
            for seed in range(3)
            for name in ("forget", "retain")
            for task, metric in TASKS.items()
        ]
    )
    table = ablation(scores, ["whole", "without"]).set_index("method")
    assert table.index.tolist() == ["vanilla", "whole", "without"]
    assert table.loc["without", "forget_classification"] == pytest.approx(70)
    assert table.loc["without", "retain_rouge_l_sd"] == pytest.approx(0.07**0.5)  # deviations -0.2, -0.1, 0.3: 0.14 / 2
    assert table.loc["whole", "retain_cloze_sd"] == pytest.approx(10)
    assert set(table["n_seeds"]) == {3}
    assert ablation(scores[scores["seed"] == 0], ["whole"])["retain_cloze_sd"].isna().all()
