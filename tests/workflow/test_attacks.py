"""Attacks in the workflow: docs/adding-an-attack.md, followed to the letter, and what runs again after a change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

LIBRARY = "src/unsee/"
GA = "forget25/ga/seed0"
TARGETS = [f"results/models/tiny-llava/{GA}/attacks/{name}.parquet" for name in ("noise", "prune")]
NOISE, PRUNE = f"attack {GA}/noise", f"attack {GA}/prune"


@pytest.fixture(scope="module")
def attacked(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the finished run, with one model under two attacks."""
    project = finished.copy(tmp_path_factory.mktemp("attacks") / "project")
    text = project.settings.read_text() + "robustness: {forget_percents: [25]}\nattacks: {noise: {share: 0.1}}\n"
    project.settings.write_text(text)
    outcome = project.call(*TARGETS)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs == {"attack": 2}, "nothing else runs again"
    return project


@pytest.mark.parametrize(
    ("file", "pattern", "text", "again"),
    [
        ("README.md", r"\Z", "\n", set()),
        (LIBRARY + "attacks/methods/noise.py", r"\Z", "\nCHANGED = True\n", {NOISE}),
        (LIBRARY + "attacks/methods/noise.py", 'label="noise"', 'label="random noise"', set()),
        ("mini.yaml", "share: 0.1", "share: 0.2", {NOISE}),
        ("mini.yaml", r"\Z", "evaluation: {batch_size: 3}\n", set()),
        (LIBRARY + "attacks/matrices.py", r"\Z", "\nCHANGED = True\n", {NOISE, PRUNE}),
        (LIBRARY + "attacks/run.py", r"\Z", "\nCHANGED = True\n", {NOISE, PRUNE}),
        (LIBRARY + "unlearning/methods/ga.py", r"\Z", "\nCHANGED = True\n", {f"unlearn {GA}", NOISE, PRUNE}),
    ],
)
def test_a_change_runs_again_the_attacks_that_rest_on_it(
    attacked: Any, file: str, pattern: str, text: str, again: set[str]
) -> None:
    path = attacked.root / file
    before = path.read_text()
    path.write_text(re.sub(pattern, text, before, count=1))
    try:
        assert path.read_text() != before
        assert attacked.jobs(*TARGETS) == again
        if not any(job.startswith("unlearn") for job in again):
            assert attacked.jobs() == set(), "the tables do not wait for an attack"
    finally:
        path.write_text(before)


def test_the_page_leads_to_an_attack(attacked: Any, root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "adding-an-attack.md").read_text()
    (file,) = re.findall(r"`(src/unsee/attacks/methods/\w+\.py)`", page)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (target,) = re.findall(r"`snakemake --cores all (results/models/\S+)`", page)
    assert len(code.splitlines()) <= 20

    project = attacked.copy(tmp_path / "project")
    (project.root / file).write_text(code)
    settings = yaml.safe_load(project.settings.read_text())
    settings["attacks"] |= yaml.safe_load(entry)["attacks"]
    project.settings.write_text(yaml.safe_dump(settings))
    target = target.replace("forget10", "forget25")
    outcome = project.call(target, *TARGETS)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs == {"attack": 1}
    rows = pd.read_parquet(project.root / target)
    questions = pd.read_parquet(project.root / "results/benchmark/questions.parquet").set_index("question_id")
    asked_about = questions.loc[rows["question_id"]]
    assert len(rows) and set(asked_about["modality"]) == {"image"} and not rows["question_id"].duplicated().any()
    assert set(asked_about["origin"]) == {"profile", "test"}
