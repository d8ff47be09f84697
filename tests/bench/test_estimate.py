"""What a preset takes: operations by hand and by torch's own counter, times by hand, and the page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import check, estimate, geometry
from bench.cards import CARDS, Card
from bench.jobs import CHOICES, Prompting, answering, forgotten, jobs, reading, writing
from bench.operations import Cost, causal, encode, forward, training_pass
from tools.memory_page import configuration
from unsee import memory
from unsee.jobs.config import resolve
from unsee.models.likelihood import score
from unsee.models.packing import collate, pack
from unsee.models.pictures import Pictures
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[2]
TOWER = memory.Tower(
    layers=1,
    width=4,
    feed_forward=8,
    patches=5,
    attention=((4, 4),) * 3,
    other=((4, 4), (4, 8), (8, 4)),
    joins=((4, 6),),
    joined_tokens=4,
)
TINY = memory.Shapes(
    layers=2, width=6, feed_forward=10, heads=3, key_value_heads=1, head_width=2, vocabulary=20, tied=False, tower=TOWER, picture_tokens=4,
    context=64, stored=4,
)  # fmt: skip
LAYER = 6 * 6 + 2 * 6 * 2 + 6 * 6 + 3 * 6 * 10  # q, k and v, o, feed-forward


def test_a_forward_pass_by_hand() -> None:
    cost = forward(TINY, tokens=7, pairs=28, scored=3, cached=4)
    assert cost.products == 2 * 2 * LAYER * 7 + 2 * 20 * 6 * 3
    assert cost.attention == 4 * 2 * 6 * 28
    assert cost.bytes == (2 * LAYER + 20 * 6) * 4 + 4 * 2 * 2 * 2 * 4
    assert cost.blocks == 2 and causal(7) == 28


def test_weights_in_half_precision_are_read_written_and_read_again() -> None:
    half = memory.Shapes(**{**TINY.__dict__, "stored": 2})
    assert forward(half, 1, 1, 1).bytes == forward(TINY, 1, 1, 1).bytes / 4 * (2 + 4 + 4)


def test_a_training_pass_by_hand() -> None:
    once, blocks = forward(TINY, 7, 28, 3), forward(TINY, 7, 28, 0)
    adapter = 2 * 8 * ((6 + 6) + 2 * (6 + 2) + (6 + 6) + 3 * (6 + 10))  # rank 8 beside seven layers of two blocks
    cost = training_pass(TINY, 7, 28, 3, rank=8, scope="language", checkpointing=False)
    assert cost.products == 2 * once.products + 6 * adapter * 7
    assert cost.attention == 3.5 * once.attention
    again = training_pass(TINY, 7, 28, 3, rank=8, scope="language", checkpointing=True)
    assert again.products == cost.products + blocks.products + 2 * adapter * 7
    assert again.blocks == 3 * 2


@pytest.mark.parametrize("family", sorted(geometry.SMALL))
def test_torch_counts_the_same_operations(family: str) -> None:
    sizes = geometry.SMALL[family]
    vlm = geometry.trained_model(sizes)
    vlm.base.set_attn_implementation("eager")  # attention as products, which torch counts
    shapes = memory.read_shapes(
        vlm.base.config.to_dict(), vlm.processor.image_processor.to_dict(), "float32", (sizes.image, sizes.image)
    )
    assert shapes is not None
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, geometry.questions(1, sizes)[1])
    request = vlm.request(vlm.prompt("amber basin", with_image=True), "cedar", pictures, "0000")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pictures.features(["0000"])
    assert counter.get_total_flops() == pytest.approx(encode(shapes).flops, rel=0.03)
    n, scored = len(request.tokens), len(request.answer)
    in_place = {torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1]}  # which torch leaves out
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        score(vlm, collate([pack([request], vlm.image_token)], pad_token=vlm.pad_token), pictures).nll().backward()
    # Eager attention computes hidden pairs too, and keeps its probabilities: four products in the backward pass instead of five.
    cost = training_pass(shapes, n, n * n, scored, rank=8, scope="language", checkpointing=False)
    # The input of the first block needs no gradient: its queries, keys and values, and their adapters, have half a backward pass.
    first = 2 * n * sum(a * b + 8 * a for a, b in shapes.attention[:3])
    expected = cost.products + cost.attention / 3.5 * 3 - first
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


def test_answering_by_hand() -> None:
    lengths = memory.Lengths(words=0, answer=0, pairs=1, questions=36, options=8, open=8, picture=(0, 0), people=4)
    prompting = Prompting(batch=2, examples=(), letters=False, new=3)
    read = reading(TINY, lengths, prompting, people=3)
    assert read.products == 3 * (
        encode(TINY).products + forward(TINY, 4, 10, 0).products + forward(TINY, 36, 0, 8 + 8).products
    )
    pairs = 36 * 4 + 18 * causal(2)
    assert read.attention == 3 * (encode(TINY).attention + forward(TINY, 0, 10 + pairs, 0).attention)
    # Two batches, two tasks of four questions a person, two steps behind the first word.
    columns = 4 + 4 * (2 + 1)
    step = forward(TINY, 8, 8 * columns, 8, cached=2 * columns)
    assert writing(TINY, lengths, prompting, people=3) == step * 2 * 2 * 2
    settings = {"protocol": "unsee", "classification": "likelihood", "max_new_tokens": 3, "batch_size": 2}
    assert answering(TINY, lengths, settings, 3) == read + writing(TINY, lengths, prompting, 3)
    assert lengths.open + CHOICES == 18


def test_seconds_by_hand() -> None:
    card = Card(tf32=100, float32=20, bandwidth=1000, memory=80, source="")
    cost = Cost(products=1e14, attention=1e14, bytes=7e11, blocks=100)
    assert estimate.seconds(cost, card, stored=2, efficiency=0.5) == pytest.approx(2e14 / 5e13 + 1 + 0.05)
    assert estimate.seconds(cost, card, stored=4, efficiency=0.5) == pytest.approx(2e14 / 1e13 + 1 + 0.05)


def test_the_jobs_of_the_published_run() -> None:
    config = configuration("run-paper-llava-1.5-7b")
    entries = resolve(config, catalogue.read())
    shapes = memory.shapes_of(config["model"], ROOT, memory.LENGTHS["mllmu"].picture)
    assert shapes is not None
    by_name = {(job.rule, job.method): job for job in jobs(config, entries, shapes)}
    assert by_name["finetune", ""].count == 1 and by_name["train_reference", ""].count == 3
    assert {job.count for (rule, _), job in by_name.items() if rule == "unlearn"} == {3}
    assert by_name["predict", ""].count == 3 * (2 + 1 + 6)  # base and vanilla too, whose prompts depend on the ratio
    # 500 people, 14 pairs and 5 epochs, checkpointed: three passes of 832 tokens over 6.5 billion weights.
    pairs = 500 * 14 * 5
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert by_name["finetune", ""].cost.products == pytest.approx(pairs * 3 * 2 * weights * 832, rel=0.05)
    steps = [forgotten(500, percent) * 14 * 4 for percent in (5, 10, 15)]
    ga, both = (by_name["unlearn", name].cost.products for name in ("ga", "ga_diff"))
    assert ga == pytest.approx(sum(steps) * 3 * 2 * weights * 832, rel=0.05)
    assert both == pytest.approx(2 * ga, rel=0.05)


@pytest.mark.parametrize("card", ["a100-80gb", "h100-sxm", "l40s"])
@pytest.mark.parametrize("model", [(), ("overlay-qwen2-vl-7b",)])
def test_presets_give_their_jobs_enough_time(card: str, model: tuple[str, ...]) -> None:
    size = next(gb for gb in (80, 40, 24) if gb <= CARDS[card].memory)
    rows = estimate.estimate(["run-paper-llava-1.5-7b", *model, f"overlay-gpu-{size}gb"], CARDS[card])
    assert [row for row in rows if "short" in row["runtime, minutes"]] == []


def test_the_page_is_computed() -> None:
    text = estimate.PAGE.read_text(encoding="utf-8")
    assert estimate.page(text) == text, "python -m bench.estimate --write"


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = str(ROOT / "presets/run-paper-llava-1.5-7b.yaml")
    assert estimate.main([preset, "--card", "h200", "--csv", str(tmp_path / "table.csv")]) == 0
    assert "H200 Tensor Core GPU data sheet" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert tuple(rows[0]) == estimate.COLUMNS and rows[-1]["rule"] == "all"
    total = sum(float(row["GPU-hours"]) for row in rows[:-1])
    assert float(rows[-1]["GPU-hours"]) == pytest.approx(total, abs=0.2)
    assert estimate.main([str(ROOT / "presets/run-smollm2.yaml")]) == 1
    assert "the shapes of" in capsys.readouterr().err


def test_the_check_counts_what_is_computed() -> None:
    sizes = geometry.SMALL["llava"]
    work = geometry.work(sizes, 2, {"protocol": "mmunlearner", "shots": 0})
    shapes, lengths = check.shapes_of(work.vlm, sizes.image), check.lengths_of(work)
    prompting = Prompting(2, (), True, geometry.NEW_TOKENS)
    with geometry.counted(work.vlm) as count:
        geometry.shared_answers(work)
    again = forward(shapes, shapes.picture_tokens, 0, 0) * 2  # letters are asked in a call of their own
    predicted = reading(shapes, lengths, prompting, 2) + writing(shapes, lengths, prompting, 2) + again
    assert predicted.products == pytest.approx(count.products, rel=0.02)
    assert predicted.attention == pytest.approx(count.attention, rel=0.4)  # how much of it is hidden is estimated
