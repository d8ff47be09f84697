"""MMUnlearner's mask: forget examples move no weight outside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.loop import train
from unsee.training.lora import save_adapter
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import saliency as saliency_module
from unsee.unlearning.method import Context, get
from unsee.unlearning.methods.mmunlearner import MaskError, State, mask, mmunlearner, prepare
from unsee.unlearning.run import make_objective
from unsee.unlearning.saliency import saliency


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


def test_forget_examples_move_nothing_outside_the_mask_with_adam() -> None:
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
    """A context of one person to forget and one to keep, and the state that ``prepare`` returns."""

    def make(
        scope: Any = "language",
        threshold: float = 1.0,
        parameters: Any = "adapter",
        checkpointing: bool = False,
        dtype: str = "float32",
    ) -> tuple[Context, State]:
        vlm = load({**model_spec, "dtype": dtype})
        people = {role: person_ids(mini_benchmark, 25, role)[:1] for role in ("forget", "retain")}
        pairs = {role: read_pairs(mini_benchmark, ids) for role, ids in people.items()}
        images = read_images(mini_benchmark, {p.image_id for members in pairs.values() for p in members if p.image_id})
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        groups = {role: units(vlm, pictures, members, "none") for role, members in pairs.items()}
        settings = TrainingSettings(
            learning_rate=1e-2,
            epochs=1,
            batch_size=6,
            alternation="sequential",
            gradient_checkpointing=checkpointing,
            lora=LoraSettings(rank=2, alpha=2, dropout=0.0, scope=scope),
        )
        context = Context(vlm, pictures, groups, settings, 0, Counters(), tmp_path)
        return context, prepare(context, threshold=threshold, parameters=parameters)

    return make


def _trained(vlm: VisionLanguageModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in vlm.model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("parameters", ["adapter", "full"])
def test_steps_of_forget_examples_change_no_bit_outside_the_mask(prepared: Any, parameters: str) -> None:
    context, state = prepared(parameters=parameters)
    start = _trained(context.vlm)
    objective = make_objective(get("mmunlearner"), context.vlm, context.pictures, {}, state, {})
    # First steps of retain examples, so that Adam has momentum everywhere; then three of forget examples.
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
    for (name, weight), inside_mask in zip(end.items(), state.masks, strict=True):
        assert torch.equal(weight[~inside_mask], after[name][~inside_mask])
        inside += int((weight[inside_mask] != after[name][inside_mask]).sum())
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


def _probed(context: Context) -> None:
    """Give A the gradient that it would have with a random B, without changing any output."""
    random = torch.Generator().manual_seed(context.seed)

    def hook_with(probe: torch.Tensor) -> Any:
        def hook(layer: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
            direction = layer.scaling["default"] * layer.lora_A["default"](arguments[0].detach()) @ probe.T
            return output + (direction - direction.detach())

        return hook

    for layer in context.vlm.base.modules():
        if isinstance(layer, LoraLayer):
            layer.register_forward_hook(hook_with(torch.randn(layer.lora_B["default"].weight.shape, generator=random)))


@pytest.mark.parametrize(
    ("scope", "parameters", "dtype", "checkpointing"),
    [
        ("language", "adapter", "float32", False),
        ("language", "adapter", "float32", True),
        ("language", "adapter", "bfloat16", True),
        ("language", "adapter", "float16", False),
        ("language", "full", "float32", False),
        ("language", "full", "float32", True),
        ("both", "adapter", "float32", False),
        ("both", "adapter", "float32", True),
        ("vision", "full", "float32", True),
    ],
)
def test_saliency_is_the_squared_gradient_of_each_example(
    prepared: Any, scope: str, parameters: str, dtype: str, checkpointing: bool
) -> None:
    context, _ = prepared(scope=scope, parameters=parameters, dtype=dtype, checkpointing=checkpointing)
    vlm, weights = context.vlm, _trained_parameters(context.vlm)
    assert weights, "they are trained again"
    examples = context.groups["forget"]
    context.settings = replace(context.settings, gradient_accumulation=3)
    at_once = 2 * 2 if scope == "language" else 1  # six pairs per step in three parts, of two groups
    assert len(examples) > at_once and (at_once == 1 or len(examples) % at_once), (
        "several batches, the last one not full"
    )
    assert len({len(unit.requests[0].tokens) for unit in examples}) > 1, "some rows should be padded"
    passes = context.counters.forward_passes
    saliencies = saliency(context, examples, weights)
    assert context.counters.forward_passes - passes == -(-len(examples) // at_once)
    assert not any(hasattr(m, "gradient_checkpointing") and m.gradient_checkpointing for m in vlm.base.modules())
    _probed(context)
    expected = [torch.zeros_like(weight) for weight in weights]
    for unit in examples:  # one at a time
        loss = score(vlm, batch(vlm, [unit]), context.pictures).nll()
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
            for sum_, gradient in zip(expected, gradients, strict=True):
                sum_ += gradient**2 / len(examples)
    for (name, _), one, other in zip(_named(vlm), saliencies, expected, strict=True):
        assert one.dtype == torch.float32
        assert other.max() > 0 or "k_proj.bias" in name, f"{name}: a constant added to all keys changes no attention"
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * max(float(other.max()), 1e-10))


def test_the_saliency_of_a_layer_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    g = torch.tensor([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
    down, probe = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0], [0.0], [2.0]])
    to_down, to_up = torch.zeros(1, 2), torch.zeros(3, 1)
    saliency_module._low_rank(down, probe, 0.5, to_down, to_up)(x, g)
    # g B is -1 for the first token and 2 for the second: half of -1 * (1, 2) + 2 * (0, 1).
    assert to_down.tolist() == [[0.25, 0.0]]
    # A x is 1 and 0: half of the first token's g.
    assert to_up.tolist() == [[0.25], [0.0], [0.25]]


def test_the_ratio_of_saliencies_does_not_depend_on_the_size_of_the_probe() -> None:
    random = torch.Generator().manual_seed(0)
    down, probe = torch.randn(2, 8, generator=random), torch.randn(6, 2, generator=random)
    x, g = torch.randn(2, 5, 8, generator=random), torch.randn(2, 5, 6, generator=random)
    ratios = []
    for size in (1.0, 64.0):
        both = [torch.zeros(2, 8) for _ in range(2)]
        for sum_, one, back in zip(both, x, g, strict=True):
            saliency_module._low_rank(down, size * probe, 1.0, sum_, torch.zeros(6, 2))(one, back)
        ratios.append(both[0] / both[1])
    torch.testing.assert_close(*ratios, rtol=1e-6, atol=0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_saliency_keeps_the_tensors_of_one_block_only(
    prepared: Any, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted are the inputs and outputs of the trained layers."""
    context, _ = prepared(checkpointing=checkpointing)
    weights = _trained_parameters(context.vlm)
    blocks = context.vlm.family.language_model(context.vlm.base).layers
    inputs: list[StorageWeakRef] = []
    outputs: list[StorageWeakRef] = []
    alive: dict[str, list[tuple[int, int]]] = {"forward": [], "backward": []}

    def living(references: list[StorageWeakRef]) -> int:
        references[:] = [reference for reference in references if not reference.expired()]
        return len(set(references))

    def watch(layer: Any, arguments: Any, output: torch.Tensor) -> None:
        inputs.append(StorageWeakRef(arguments[0].untyped_storage()))
        outputs.append(StorageWeakRef(output.untyped_storage()))

    for layer in context.vlm.base.modules():
        if isinstance(layer, LoraLayer):
            layer.register_forward_hook(watch)
    take, backward = saliency_module._Taps._take, saliency_module._Taps.backward

    def watched_take(self: Any, *arguments: Any) -> None:
        alive["backward"].append((living(inputs), living(outputs)))
        take(self, *arguments)

    def watched_backward(self: Any, loss: torch.Tensor) -> None:
        alive["forward"].append((living(inputs), living(outputs)))
        backward(self, loss)

    monkeypatch.setattr(saliency_module._Taps, "_take", watched_take)
    monkeypatch.setattr(saliency_module._Taps, "backward", watched_backward)
    saliency(context, context.groups["forget"], weights)
    a_block = 4  # queries, keys and values have one input, gate and up another, then the output's and down's
    assert len(alive["backward"]) == 7 * len(blocks) * len(alive["forward"]), "each layer counts once a pass"
    most = {phase: max(n for n, _ in seen) for phase, seen in alive.items()}
    if checkpointing:
        assert most == {"forward": 0, "backward": a_block}
        assert max(n for _, n in alive["forward"]) == 0
        assert max(n for _, n in alive["backward"]) <= 7
    else:
        assert most == {"forward": a_block * len(blocks), "backward": a_block * len(blocks)}


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


def _named(vlm: VisionLanguageModel) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in vlm.model.named_parameters() if weight.requires_grad]


def _trained_parameters(vlm: VisionLanguageModel) -> list[nn.Parameter]:
    return [weight for _, weight in _named(vlm)]


@pytest.mark.parametrize(("threshold", "share"), [(0.0, "100%"), (1e30, "0%")])
def test_a_mask_that_selects_everything_or_nothing_stops_the_job(prepared: Any, threshold: float, share: str) -> None:
    with pytest.raises(MaskError, match=f"selects {share} of the weights.*change threshold"):
        prepared(threshold=threshold)
