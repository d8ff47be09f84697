"""docs/adding-a-method.md, followed to the letter."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

MINI = Path(__file__).with_name("mini.yaml")


@pytest.mark.slow
def test_the_page_leads_to_a_row_of_the_table(snakemake: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "adding-a-method.md").read_text()
    (file,) = re.findall(r"`(src/unsee/unlearning/\w+\.py)`", page)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 40

    project = tmp_path / "project"
    for name in ("workflow", "src", "envs", "profiles"):
        shutil.copytree(root / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(root / name, project / name)
    (project / file).write_text(code)
    others = dict.fromkeys(yaml.safe_load((root / "config.yaml").read_text())["methods"], False)
    added = yaml.safe_load(entry)["methods"]
    preset = tmp_path / "preset.yaml"
    preset.write_text(yaml.safe_dump({**yaml.safe_load(MINI.read_text()), "methods": {**others, **added}}))

    folder = tmp_path / "run"
    outcome = snakemake(folder, "results/table3.csv", "--configfile", str(preset), root=project)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["unlearn"] == 1
    table = pd.read_csv(folder / "results" / "table3.csv")
    assert table["method"].tolist() == ["vanilla", "retain", *added] * 2
    scores = table.set_index(["method", "modality"]).filter(regex="rouge|classification|cloze")
    assert not scores.isna().any(axis=None)
    assert not scores.loc["vanilla"].equals(scores.loc[next(iter(added))]), "it acted"
