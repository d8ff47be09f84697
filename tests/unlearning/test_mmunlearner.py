"""MMUnlearner's mask, and that nothing outside it ever moves for the forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.loop import Counters, save_adapter, train
from unsee.training.pairs import batch, people, read_images, read_pairs, units
from unsee.training.scores import Scores, score
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning.method import Context, get
from unsee.unlearning.mmunlearner import MaskError, State, mask, mmunlearner, prepare, saliency
from unsee.unlearning.run import make_objective


def test_mask_by_hand() -> None:
    forget = torch.tensor([4.0, 1.0, 2.0, 0.0, 1e-20])
    preserve = torch.tensor([2.0, 2.0, 2.0, 0.0, 1.0])
    assert mask(forget, preserve, 1.0).tolist() == [True, False, True, True, False]
    assert mask(forget, preserve, 2.0).tolist() == [True, False, False, False, False]


def test_gradient_is_masked_ascent_plus_descent() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    state = State([weight], [torch.tensor([True, False, True])])
    example = torch.zeros(1, dtype=torch.long)
    forget = Scores(-(weight**2).sum()[None], example, 1)  # NLL = sum of squares, gradient 2 w
    retain = Scores(-(weight * torch.tensor([1.0, 10.0, 100.0])).sum()[None], example, 1)
    loss = mmunlearner(forget, retain, state)
    assert loss.item() == pytest.approx(1 + 20 + 300 - 14)
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1 - 2, 10, 100 - 6]


def test_adam_moves_nothing_outside_the_mask_for_the_forgotten() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    state = State([weight], [torch.tensor([True, False])])
    optimizer = torch.optim.Adam([weight], lr=0.1)
    example = torch.zeros(1, dtype=torch.long)
    for _ in range(5):
        optimizer.zero_grad()
        nothing = Scores((weight * 0).sum()[None], example, 1)
        mmunlearner(Scores(-(weight**2).sum()[None], example, 1), nothing, state).backward()
        optimizer.step()
    assert weight[0].item() != 1.0
    assert weight[1].item() == 2.0


@pytest.fixture
def prepared(model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path) -> Any:
    """A context of one person to forget and one to keep, and what ``prepare`` makes of it."""

    def make(scope: Any = "language", threshold: float = 1.0, parameters: Any = "adapter") -> tuple[Context, State]:
        vlm = load(model_spec)
        chosen = {role: people(mini_benchmark, 25, role)[:1] for role in ("forget", "retain")}
        pairs = {role: read_pairs(mini_benchmark, ids) for role, ids in chosen.items()}
        images = read_images(mini_benchmark, {p.image_id for found in pairs.values() for p in found if p.image_id})
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        groups = {role: units(vlm, pictures, found, "none") for role, found in pairs.items()}
        settings = TrainingSettings(
            learning_rate=1e-2,
            epochs=1,
            batch_size=6,
            alternation="sequential",
            lora=LoraSettings(rank=2, alpha=2, dropout=0.0, scope=scope),
        )
        context = Context(vlm, pictures, groups, settings, 0, Counters(), tmp_path)
        return context, prepare(context, threshold=threshold, parameters=parameters)

    return make


def _trained(vlm: VisionLanguageModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in vlm.model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("parameters", ["adapter", "full"])
def test_steps_about_the_forgotten_leave_what_is_outside_the_mask_to_the_last_bit(
    prepared: Any, parameters: str
) -> None:
    context, state = prepared(parameters=parameters)
    start = _trained(context.vlm)
    objective = make_objective(get("mmunlearner"), context.vlm, context.pictures, {}, state, {})
    # First steps about the retained, so that Adam has momentum everywhere; then three about the forgotten.
    settings, seen = context.settings, []

    def watched(step: Any) -> Any:
        seen.append(_trained(context.vlm))
        return state.restrict(step)

    groups = {"retain": context.groups["retain"], "forget": context.groups["forget"]}
    train(context.vlm, context.pictures, groups, objective, settings, seed=0, description="", restrict=watched)
    assert len(seen) == 6
    after, end = seen[3], _trained(context.vlm)
    assert any(not torch.equal(after[name], start[name]) for name in start), "the retained moved something"
    inside = 0
    for (name, weight), chosen in zip(end.items(), state.masks, strict=True):
        assert torch.equal(weight[~chosen], after[name][~chosen])
        inside += int((weight[chosen] != after[name][chosen]).sum())
    assert inside > 0
    selected = pq.read_table(context.output / "mask.parquet")["selected"].to_pylist()
    assert len(selected) == len(end) and 0 < sum(selected) < len(selected)


@pytest.mark.parametrize(
    ("scope", "places"),
    [
        ("language", {"language_model"}),
        ("vision", {"vision_tower", "multi_modal_projector"}),
        ("both", {"language_model", "vision_tower", "multi_modal_projector"}),
    ],
)
def test_a_scope_trains_its_own_modules(prepared: Any, scope: str, places: set[str]) -> None:
    context, state = prepared(scope=scope)
    names = list(_trained(context.vlm))
    assert {
        place for place in ("language_model", "vision_tower", "multi_modal_projector") for n in names if place in n
    } == places
    assert 0 < sum(int(m.sum()) for m in state.masks) < sum(m.numel() for m in state.masks)


@pytest.mark.parametrize("parameters", ["adapter", "full"])
def test_saliency_is_the_squared_gradient_of_each_example(prepared: Any, parameters: str) -> None:
    context, _ = prepared(parameters=parameters)
    vlm, weights = context.vlm, _trained_parameters(context.vlm)
    examples = context.groups["forget"]
    context.settings = replace(context.settings, gradient_accumulation=3)
    at_once = 2 * 2  # six pairs a step in three parts, as many of either group
    assert len(examples) > at_once and len(examples) % at_once, "several batches, the last one not full"
    assert len({len(unit.requests[0].tokens) for unit in examples}) > 1, "some rows should be padded"
    passes = context.counters.forward_passes
    found = saliency(context, examples, weights)
    assert context.counters.forward_passes - passes == -(-len(examples) // at_once)
    expected = [torch.zeros_like(weight) for weight in weights]
    for unit in examples:  # one at a time
        loss = score(vlm, batch(vlm, [unit]), context.pictures).nll()
        for sum_, gradient in zip(expected, torch.autograd.grad(loss, weights), strict=True):
            sum_ += gradient**2 / len(examples)
    for one, other in zip(found, expected, strict=True):
        assert one.max() > 0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.max()))


def test_whole_weights_are_stored_as_an_adapter_and_load_as_one(
    prepared: Any, model_spec: dict[str, Any], tmp_path: Path
) -> None:
    context, _ = prepared(parameters="full")
    with torch.no_grad():
        for weight in _trained_parameters(context.vlm):
            weight.add_(0.01)
    save_adapter(context.vlm, tmp_path / "adapter")
    tokens = torch.tensor([[1, 9, 17, 25]])
    with torch.no_grad():
        context.vlm.model.eval()
        expected = context.vlm.model(input_ids=tokens).logits
        assert torch.equal(load(model_spec, [tmp_path / "adapter"]).base(input_ids=tokens).logits, expected)
        assert not torch.equal(load(model_spec).base(input_ids=tokens).logits, expected)
    assert all("language_model" in name for name in load_file(tmp_path / "adapter" / "adapter_model.safetensors"))


def _trained_parameters(vlm: VisionLanguageModel) -> list[nn.Parameter]:
    return [weight for weight in vlm.model.parameters() if weight.requires_grad]


@pytest.mark.parametrize(("threshold", "share"), [(0.0, "100%"), (1e30, "0%")])
def test_a_mask_that_selects_everything_or_nothing_stops_the_job(prepared: Any, threshold: float, share: str) -> None:
    with pytest.raises(MaskError, match=f"selects {share} of the weights.*change threshold"):
        prepared(threshold=threshold)
