"""The GPU's script, at a size for a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bench import full_size, gpu
from unsee.models.packing import pack

WORK = gpu.Work(people=2, plain_people=1, batch_size=2, new_tokens=3, batches=(2, 4), repeats=1)


def test_it_says_that_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--output", str(tmp_path / "bench.csv")]) == 1
    assert "no CUDA GPU on this machine; expected one" in capsys.readouterr().err
    assert not (tmp_path / "bench.csv").exists()


def test_every_row_is_measured_at_a_tiny_size() -> None:
    torch.set_num_threads(1)  # two threads wait for each other where others are at work too
    table = gpu.measure(list(full_size.TINY.values()), "cpu", torch.float32, WORK)
    assert all(math.isfinite(row.value) for row in table.rows)
    assert all(row.value > 0 for row in table.rows if "memory" not in row.name)
    layer = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64  # attention, feed-forward, two norms
    assert table["tiny LLaVA, decoder weights"].value == pytest.approx(2 * layer / 1e9)
    for name in ("tiny LLaVA", "tiny Qwen2-VL"):
        assert table[f"{name}, evaluation, shared"].baseline == f"{name}, evaluation, plain"
        for kind in ("batch 2", "batch 4", "batch 4, checkpointed", "two people packed"):
            assert table[f"{name}, training, {kind}"].unit == "pairs/s"
            used = table[f"{name}, training, {kind}, model FLOP utilisation"]
            assert used.unit == "%" and 0 < used.value < 100


def test_what_the_minutes_do_not_suffice_for_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    work = gpu.Work(minutes=0)
    table = gpu.measure(list(full_size.TINY.values()), "cpu", torch.float32, work)
    assert [row.name for row in table.rows] == ["matrix products", "bandwidth"]
    assert "tiny Qwen2-VL: skipped, the 0 minutes are over" in capsys.readouterr().out


def test_what_does_not_fit_is_said_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run = gpu.Run("cpu", torch.float32, WORK)

    def too_much() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    run.part("batch 16", too_much)
    run.part("batch 4", lambda: run.table.add("batch 4", 1.0, "pairs/s"))
    assert "batch 16: skipped, does not fit the memory" in capsys.readouterr().out
    assert run.table["batch 4"].value == 1


def test_the_questions_are_as_many_as_published() -> None:
    rows, images = full_size.questions(3, full_size.TINY["llava"])
    assert len(rows) == 3 * 18 and len(images) == 3
    assert sum(row["task"] == "classification" for row in rows) == 30
    assert sum(row["image_id"] is not None for row in rows) == 27


@pytest.mark.parametrize(
    ("shape", "layer", "billions", "tokens"),
    [
        (full_size.LLAVA_7B, 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096, (7.0, 7.1), 576),
        # Keys and values of 4 heads of 128; all but the output have a bias.
        (
            full_size.QWEN2_VL_7B,
            2 * 3584**2 + 2 * 3584 * 512 + 3584 + 2 * 512 + 3 * 3584 * 18944 + 2 * 3584,
            (8.2, 8.4),
            144,
        ),
    ],
    ids=lambda value: getattr(value, "family", ""),
)
def test_the_full_size_is_the_published_one(
    shape: full_size.Shape, layer: int, billions: tuple[float, float], tokens: int
) -> None:
    vlm = full_size.build(shape, "meta", torch.bfloat16)
    layers = vlm.family.language_model(vlm.base).layers
    assert sum(p.numel() for p in layers.parameters()) == shape.layers * layer
    assert billions[0] < sum(p.numel() for p in vlm.base.parameters()) / 1e9 < billions[1]
    request = vlm.request(vlm.prompt("amber", with_image=True), None, None, None)
    assert len(pack([request], vlm.image_token)) < 30
    image = full_size.Image.new("RGB", (336, 336))
    assert vlm.family.image_tokens(vlm.base, vlm.processor, image) == tokens
