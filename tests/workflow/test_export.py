"""The model card of a run of the workflow: its scores beside the controls, or a refusal where they are of other files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests import error_page
from tests.workflow.conftest import Finished
from unsee.export.__main__ import main

RUN = "results/models/tiny-llava/forget25/ga/seed0"


@pytest.mark.slow
def test_the_card_of_a_finished_run(finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = finished.copy(tmp_path / "copy").root
    assert main([str(project / RUN), "--to", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out/README.md").read_text()
    assert "# tiny-llava, made to forget 2 of 8 people by GA" in card and "apache-2.0" in card
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if "ROUGE-L" in line]
    scores = pd.read_csv(project / "results/scores.csv").query("metric == 'rouge_l' and forget_percent == 25")
    assert len(rows) == len(scores.query("method == 'ga'")) > 4
    for about, modality, _, *cells in rows:
        here = scores[(scores["set"] == about) & (scores["modality"] == modality)].set_index("method")
        for method, cell in zip(("ga", "vanilla", "retain"), cells[:3], strict=True):
            row = here.loc[method]
            assert cell.split()[0] == f"{row['value']:.3f}"
            assert pd.isna(row["low"]) or cell.endswith(f"({row['low']:.3f} to {row['high']:.3f})")
        assert [int(cell) for cell in cells[3:]] == [here.loc["ga", "n_questions"], here.loc["ga", "n_people"]]

    # Scores of other files are not shown: here the answers were scored anew, and scores.csv was not.
    receipt = project / "results/jobs/evaluate/tiny-llava/forget25/ga/seed0/cloze.json"
    content = json.loads(receipt.read_text())
    whole = receipt.read_text()
    next(iter(content["outputs"].values()))["sha256"] = "0" * 64
    receipt.write_text(json.dumps(content))
    message = refused(project, tmp_path, capsys)
    assert "scores.csv: was not made from the files that are there now" in message
    receipt.write_text(whole)
    (project / "results/scores.csv").write_text("edited")
    error_page.check("export of a run whose scores.csv has changed", "job", refused(project, tmp_path, capsys))


def refused(project: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main([str(project / RUN), "--to", str(folder / "none")]) == 2
    assert not (folder / "none").exists()
    return re.sub(rf"{re.escape(str(folder))}", "FOLDER", capsys.readouterr().err.strip().splitlines()[-1])
