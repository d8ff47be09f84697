"""The engine against the plain way, question for question; and the table that their speed goes into."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import plain
from bench.table import Table, exponent
from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.questions import read_questions
from unsee.models.model import load
from unsee.models.pictures import Pictures


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_engine_answers_as_the_plain_way_does(
    batch_size: int, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    vlm = load(model_spec)
    # A head of its own, or random weights only repeat the last token and any decoding would do.
    head = vlm.base.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(0)))
    rows = [row for row in read_questions(mini_benchmark, [25]) if row["person_id"] in ("000", "celebrity-002")]
    images = read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    settings = {"classification": "likelihood", "batch_size": 4, "max_new_tokens": 6}
    ours = answer_questions(vlm, pictures, rows, settings)
    theirs = plain.answer(vlm, pictures, rows, batch_size=batch_size, max_new_tokens=6)
    assert len(ours) == len(theirs) == len(rows)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["question_id"] == other["question_id"]
        assert (mine["output"], mine["choice"]) == (other["output"], other["choice"])
        assert mine["option_log_likelihoods"] == pytest.approx(other["option_log_likelihoods"], abs=2e-3)


def test_a_table_compares_within_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add("slow", 2.0, "questions/s")
    table.add("fast", 50.0, "questions/s", over="slow")
    with pytest.raises(KeyError):
        table.add("lost", 1.0, "s", over="nowhere")
    table.write(tmp_path / "new" / "bench.csv")
    rows = list(csv.DictReader((tmp_path / "new" / "bench.csv").open()))
    assert rows[0] == {"name": "slow", "value": "2.0", "unit": "questions/s", "baseline": "", "ratio": ""}
    assert rows[1] == {"name": "fast", "value": "50.0", "unit": "questions/s", "baseline": "slow", "ratio": "25.0"}
    assert "25.00 x slow" in capsys.readouterr().out


def test_the_exponent_of_a_power() -> None:
    sizes = [50, 100, 200, 500]
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7 for _ in sizes]) == pytest.approx(0, abs=1e-9)
