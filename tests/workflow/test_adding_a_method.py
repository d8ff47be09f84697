"""docs/adding-a-method.md, followed to the letter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml


@pytest.mark.slow
def test_the_page_leads_to_a_row_of_the_table(finished: Any, root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "adding-a-method.md").read_text()
    (file,) = re.findall(r"`(src/unsee/unlearning/methods/\w+\.py)`", page)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 40

    project = finished.copy(tmp_path / "project")
    (project.root / file).write_text(code)
    settings = yaml.safe_load(project.settings.read_text())
    others = dict.fromkeys(yaml.safe_load((root / "config.yaml").read_text())["methods"], False)
    added = yaml.safe_load(entry)["methods"]
    # Four passes over the people to forget, so that the method changes answers.
    settings |= {"methods": {**others, **added}, "unlearning": {"epochs": 4, "steps": None}}
    project.settings.write_text(yaml.safe_dump(settings))

    outcome = project.call("results/table3.csv")
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["unlearn"] == 1 and not {"finetune", "train_reference"} & set(outcome.jobs)
    table = pd.read_csv(project.root / "results" / "table3.csv")
    assert table["method"].tolist() == ["base", "vanilla", "retain", *added] * 2
    scores = table.set_index(["method", "modality"]).filter(regex="rouge|classification|cloze")
    assert not scores.isna().any(axis=None)
    assert not scores.loc["vanilla"].equals(scores.loc[next(iter(added))]), "it acted"
