"""The GPU's script, at a size for a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bench import gpu
from unsee.models.packing import pack


def test_it_says_that_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--output", str(tmp_path / "bench.csv")]) == 1
    assert "no CUDA GPU here; expected one" in capsys.readouterr().err
    assert not (tmp_path / "bench.csv").exists()


def test_every_row_is_measured_at_a_tiny_size() -> None:
    table = gpu.measure(gpu.TINY, "cpu", torch.float32, people=2, plain_people=1, batch_size=2, new_tokens=3)
    assert all(math.isfinite(row.value) for row in table.rows)
    assert all(row.value > 0 for row in table.rows if "memory" not in row.name)
    assert {row.unit for row in table.rows} >= {"questions/s", "pairs/s", "TFLOP/s", "GB/s", "s"}
    assert table["evaluation, shared"].baseline == "evaluation, plain"
    layer = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64  # attention, feed-forward, two norms
    assert table["decoder weights"].value == pytest.approx(2 * layer / 1e9)


def test_the_questions_are_as_many_as_published() -> None:
    rows, images = gpu.questions(3, gpu.TINY)
    assert len(rows) == 3 * 18 and len(images) == 3
    assert sum(row["task"] == "classification" for row in rows) == 30
    assert sum(row["image_id"] is not None for row in rows) == 27


def test_the_full_size_is_llavas() -> None:
    with torch.device("meta"):
        vlm = gpu.build(gpu.LLAVA_7B, "meta", torch.bfloat16)
    layers = vlm.family.language_model(vlm.base).layers
    assert sum(p.numel() for p in layers.parameters()) == 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert 7.0e9 < sum(p.numel() for p in vlm.base.parameters()) < 7.1e9
    request = vlm.request(vlm.prompt("amber", with_image=True), None, None, None)
    assert len(pack([request], vlm.image_token)) < 20
    image = gpu.Image.new("RGB", (336, 336))
    assert vlm.family.image_tokens(vlm.base, vlm.processor, image) == 576
