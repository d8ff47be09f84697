"""VL-Eraser's three steps: vacuum space, distillation, deletion."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import LoraConfig, PeftModel
from torch.multiprocessing.reductions import StorageWeakRef

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, batch, units
from unsee.training.loop import gradient_checkpointing
from unsee.training.lora import put_adapter
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import vacuum
from unsee.unlearning.method import Context
from unsee.unlearning.methods import vl_eraser
from unsee.unlearning.run import unlearn


def test_vacuum_space_by_hand() -> None:
    # Inputs in the plane of the first two axes leave the third axis.
    inputs = torch.tensor([[1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    space = vacuum.vacuum_space(inputs, 1e-6)
    assert space.removed == 2
    torch.testing.assert_close(space(torch.eye(3)), torch.diag(torch.tensor([0.0, 0.0, 1.0])), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [3, 40])
def test_both_bases_give_a_projection_that_removes_the_inputs(n: int) -> None:
    inputs = torch.randn(n, 64, generator=torch.Generator().manual_seed(0))
    space = vacuum.vacuum_space(inputs, 1e-6)
    assert space.removed == n
    assert space.basis.shape[1] == min(n, 64 - n)
    matrix = space(torch.eye(64))
    torch.testing.assert_close(matrix @ matrix, matrix, atol=1e-5, rtol=0)
    torch.testing.assert_close(matrix, matrix.T, atol=1e-6, rtol=0)
    assert space(inputs).norm() < 1e-4 * inputs.norm()


@pytest.mark.parametrize("n", [3, 40])
def test_the_basis_is_float32_and_orthonormal(n: int) -> None:
    inputs = torch.randn(n, 64, generator=torch.Generator().manual_seed(0))
    space = vacuum.vacuum_space(inputs, 1e-6)
    assert space.basis.dtype == torch.float32
    product = space.basis.double().T @ space.basis.double()
    torch.testing.assert_close(product, torch.eye(len(product)).double(), atol=1e-6, rtol=0)


def test_the_loss_is_the_weighted_sum_and_each_term_can_be_left_out() -> None:
    forget = Scores(torch.tensor([-2.0]), torch.tensor([0]), 1)
    state = vl_eraser.State(_distances={"up": torch.tensor(0.5), "down": torch.tensor(1.5)})
    assert vl_eraser.vl_eraser(forget, state, weight=0.25).item() == pytest.approx(0.25 * 1.0 + 0.75 * 2.0)
    assert vl_eraser.vl_eraser(forget, state, weight=0.25, distil=False).item() == pytest.approx(0.75 * 2.0)
    assert vl_eraser.vl_eraser(forget, state, weight=0.25, ce=False).item() == pytest.approx(0.25 * 1.0)


def _rows(size: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs of ``size`` times the teachers' length or less, teachers, and weights."""
    random = torch.Generator().manual_seed(1)
    teacher = torch.randn(2, 5, 7, generator=random, dtype=torch.float64)
    output = torch.randn(2, 5, 7, generator=random, dtype=torch.float64)
    output *= size * teacher.norm(dim=-1, keepdim=True) / output.norm(dim=-1, keepdim=True)
    return output.requires_grad_(), teacher, torch.rand(2, 5, generator=random, dtype=torch.float64)


def test_above_the_floor_the_distance_is_torchs_cosine() -> None:
    output, teacher, weights = _rows(1.5 * vl_eraser.FLOOR)
    result = vl_eraser.distance(output, teacher, weights)
    expected = ((1 - torch.cosine_similarity(teacher, output, dim=-1)) * weights).sum()
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(torch.autograd.grad(result, output), torch.autograd.grad(expected, output))


def test_below_the_floor_the_distance_is_linear_in_the_output() -> None:
    output, teacher, weights = _rows(0.5 * vl_eraser.FLOOR)
    size = teacher.norm(dim=-1)
    expected = ((1 - (teacher * output).sum(-1) / (vl_eraser.FLOOR * size**2)) * weights).sum()
    result = vl_eraser.distance(output, teacher, weights)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(torch.autograd.grad(result, output), torch.autograd.grad(expected, output))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_at_zero_the_gradient_is_bounded_and_does_not_depend_on_the_scale(scale: float) -> None:
    output, teacher, weights = _rows(0.0)
    result = vl_eraser.distance(output, scale * teacher, weights)
    assert result.item() == pytest.approx(weights.sum().item())
    (gradient,) = torch.autograd.grad(result, output)
    # In units of the teacher's length: 1 / floor, along the teacher.
    expected = -weights[..., None] * teacher / (vl_eraser.FLOOR * teacher.norm(dim=-1, keepdim=True) ** 2)
    torch.testing.assert_close(gradient * scale, expected)


@pytest.mark.parametrize("size", [0.0, 0.5, 0.999, 1.001, 3.0])
def test_the_distances_gradient_equals_finite_differences(size: float) -> None:
    output, teacher, weights = _rows(size * vl_eraser.FLOOR)
    assert torch.autograd.gradcheck(
        lambda o: vl_eraser.distance(o, teacher, weights), (output,), eps=1e-7, atol=1e-3, rtol=1e-4
    )


def test_a_teacher_of_zero_gives_no_gradient() -> None:
    output = torch.ones(1, 3, requires_grad=True)
    result = vl_eraser.distance(output, torch.zeros(1, 3), torch.ones(1))
    assert result.item() == 1.0
    assert torch.autograd.grad(result, output)[0].abs().max() == 0


SETTINGS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "epochs": 4,
    "batch_size": 4,
    "lora": {"rank": 4, "alpha": 4, "dropout": 0.0, "scope": "language"},
    "weight": 0.5,
    "vacuum": True,
    "distil": True,
    "ce": True,
    "tolerance": 1e-6,
    "vacuum_inputs": "image",
}


@pytest.fixture(scope="module")
def context(model_spec: dict[str, Any], mini_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    vlm = load(model_spec)
    pairs = {role: read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, role)) for role in ("forget", "retain")}
    images = read_images(mini_benchmark, {p.image_id for members in pairs.values() for p in members if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    groups = {role: units(vlm, pictures, members, "none") for role, members in pairs.items()}
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=1, batch_size=4, lora=LoraSettings(rank=4, alpha=4, dropout=0.0)
    )
    return Context(vlm, pictures, groups, settings, 0, Counters(), tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("which", ["image", "text", "both"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_retained_inputs_are_the_mean_inputs_of_plain_passes(
    which: Any, dtype: str, context: Context, model_spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row per picture and one for the words of each question and answer, in one pass per picture."""
    vlm = load({**model_spec, "dtype": dtype})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, list(context.pictures._files.items()))
    # Two people's pairs with a picture, three of each, and one without.
    requests = [unit.requests[0] for unit in context.groups["retain"]]
    shown = {
        i: [r for r in requests if r.image_ids == (i,)][:3]
        for i in sorted({r.image_ids[0] for r in requests if r.images})[:2]
    }
    selected = [*sum(shown.values(), []), next(r for r in requests if not r.images)]
    copy = replace(
        context, vlm=vlm, pictures=pictures, counters=Counters(), groups={"retain": [Unit("all", tuple(selected))]}
    )
    lengths: list[int] = []
    decode = VisionLanguageModel.decode

    def watched(self: Any, embeddings: torch.Tensor, *arguments: Any) -> torch.Tensor:
        lengths.append(embeddings.shape[1])
        assert not torch.is_grad_enabled()
        return decode(self, embeddings, *arguments)

    monkeypatch.setattr(VisionLanguageModel, "decode", watched)
    pooled = vacuum.retained_inputs(copy, which)
    assert len(lengths) == copy.counters.forward_passes == (2 if which == "image" else 3)
    if which == "image":  # the words after the picture are not passed
        assert lengths == [
            max(i for i, token in enumerate(group[0].prompt) if token == vlm.image_token) + 1
            for group in shown.values()
        ]

    expected: dict[str, list[torch.Tensor]] = {name: [] for name in pooled}
    inputs: dict[str, torch.Tensor] = {}
    for name, module in vlm.base.named_modules():
        if name in pooled:
            module.register_forward_pre_hook(lambda m, arguments, n=name: inputs.update({n: arguments[0][0]}))

    def passed(request: Any) -> torch.Tensor:
        one = batch(vlm, [Unit("", (request,))])
        with torch.no_grad():
            vlm.hidden_states(one, pictures)
        return one.is_image[0]

    for group in [*shown.values(), [selected[-1]]]:
        for i, request in enumerate(group):
            is_image = passed(request)
            for name, rows in expected.items():
                if i == 0 and request.images and which != "text":
                    rows.append(inputs[name][is_image].mean(0))
                if which != "image":
                    rows.append(inputs[name][~is_image].mean(0))
    assert len(pooled) == 6, "gate, up and down of two layers"
    for name, rows in expected.items():
        assert pooled[name].dtype == torch.float32
        if which == "both":  # a picture's row comes before its questions', in order
            assert len(pooled[name]) == 2 + 7
        torch.testing.assert_close(pooled[name], torch.stack(rows), atol=1e-5, rtol=1e-4)


def _saved_bytes(vlm: VisionLanguageModel, forward: Callable[[], torch.Tensor]) -> int:
    """Bytes kept for the backward pass, without the weights and the blocks that will run again."""
    weights = {weight.untyped_storage().data_ptr() for weight in vlm.model.parameters()}
    weights |= {buffer.untyped_storage().data_ptr() for buffer in vlm.model.buffers()}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    assert loss.requires_grad
    return sum(saved.values())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_distillation_keeps_little_beside_a_plain_adapter(
    checkpointing: bool, context: Context, model_spec: dict[str, Any]
) -> None:
    members = context.groups["forget"][:4]
    saved = {}
    outputs: list[StorageWeakRef] = []
    for kind in ("plain", "vl_eraser"):
        vlm = load(model_spec)
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, list(context.pictures._files.items()))
        examples = batch(vlm, members)
        if kind == "plain":
            lora = LoraConfig(
                r=4, lora_alpha=4, target_modules=vlm.family.feed_forward_pattern(), lora_dropout=0.0, bias="none"
            )
            vlm.model = put_adapter(vlm.base, lora, hooked=True)
            state = None
        else:
            copy = replace(context, vlm=vlm, pictures=pictures, counters=Counters())
            state = vl_eraser.prepare(copy, vacuum=True, distil=True, tolerance=1e-6, vacuum_inputs="image")
            for _, layer in vl_eraser._adapted(copy):
                layer.base_layer.register_forward_hook(
                    lambda m, a, output: outputs.append(StorageWeakRef(output.untyped_storage()))
                )
        vlm.model.train()

        def forward(vlm: Any = vlm, pictures: Any = pictures, examples: Any = examples, state: Any = state) -> Any:
            if state is None:
                return score(vlm, examples, pictures).nll()
            state.begin(examples, len(members))
            return vl_eraser.vl_eraser(score(vlm, examples, pictures), state)

        with gradient_checkpointing(vlm) if checkpointing else nullcontext():
            saved[kind] = _saved_bytes(vlm, forward)
    n_tokens = examples.tokens.numel()
    assert outputs, "the teachers were watched"
    if checkpointing:
        assert all(reference.expired() for reference in outputs), "no teacher outlives its block's forward pass"
        assert saved["vl_eraser"] - saved["plain"] < 100, "a number a module"
    else:  # per module one tensor of its output's size, the gradient
        widths = 2 * (192 + 192 + 64)
        assert saved["vl_eraser"] - saved["plain"] < 1.05 * 4 * n_tokens * widths


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_stored_adapter_subtracts_the_distilled_one(
    dtype: str, checkpointing: bool, context: Context, model_spec: dict[str, Any]
) -> None:
    vlm = load({**model_spec, "dtype": dtype})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, list(context.pictures._files.items()))
    copy = replace(context, vlm=vlm, pictures=pictures, counters=Counters())
    state = vl_eraser.prepare(copy, vacuum=True, distil=True, tolerance=1e-6, vacuum_inputs="image")
    examples = batch(vlm, context.groups["forget"][:4])
    with gradient_checkpointing(vlm) if checkpointing else nullcontext():
        vlm.model.train()
        state.begin(examples, 4)
        loss = vl_eraser.vl_eraser(score(vlm, examples, pictures), state)
        assert len(state._distances) == 6
        loss.backward()
        assert len(state._distances) == 6, "a block that runs again counts once"
    vlm.model.eval()
    gradients = {name: w.grad for name, w in vlm.model.named_parameters() if w.grad is not None}
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients.values())
    assert any(gradient.abs().max() > 0 for name, gradient in gradients.items() if "lora_B" in name)
    x = {name: torch.randn(3, layer.in_features) for name, layer in vl_eraser._adapted(copy)}
    with torch.no_grad():
        for _, layer in vl_eraser._adapted(copy):
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.05)
        added = {name: layer(x[name]) - layer.base_layer(x[name]) for name, layer in vl_eraser._adapted(copy)}
        vl_eraser.finish(copy, state)
        for name, layer in vl_eraser._adapted(copy):
            assert isinstance(layer.lora_A["default"].weight, torch.nn.Parameter)
            assert layer.lora_A["default"].weight.dtype == torch.float32
            torch.testing.assert_close(layer(x[name]) - layer.base_layer(x[name]), -added[name], atol=1e-5, rtol=1e-4)


def test_the_stored_adapter_is_the_explicit_subtraction(
    context: Context, mini_benchmark: Path, model_spec: dict[str, Any], tmp_path: Path
) -> None:
    retained = vacuum.retained_inputs(context, "image")
    start = tmp_path / "start"
    _untrained_adapter(model_spec, start)
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=start,
        reference=None,
        method="vl_eraser",
        forget_percent=25,
        settings=SETTINGS,
        seed=0,
        threads=1,
        output=tmp_path / "run",
    )
    removed = pq.read_table(tmp_path / "run" / "vacuum.parquet")["directions_removed"].to_pylist()
    assert removed == [9] * 6

    plain, erased = load(model_spec), load(model_spec, [tmp_path / "run" / "adapter"])
    adapted = load(model_spec)
    adapted.model = PeftModel.from_pretrained(adapted.base, str(tmp_path / "run" / "adapter"))  # type: ignore[assignment]
    before = dict(plain.base.named_modules())
    after = dict(erased.base.named_modules())
    for name, module in adapted.base.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        change = module.scaling["default"] * module.lora_B["default"].weight @ module.lora_A["default"].weight
        assert change.abs().max() > 0
        # Merging the stored adapter is the explicit subtraction.
        torch.testing.assert_close(after[name].weight, before[name].weight + change, atol=1e-6, rtol=1e-6)
        # The outputs for retained inputs stay the same: |B A P h| <= 1e-4 |W h|.
        moved = (retained[name] @ change.T).norm(dim=-1)
        assert (moved <= 1e-4 * (retained[name] @ before[name].weight.T).norm(dim=-1)).all()

    tokens = torch.tensor([[1, 9, 17, 25]])
    with torch.no_grad():
        vanilla_logits = plain.base(input_ids=tokens).logits
        assert not torch.equal(adapted.model(input_ids=tokens).logits, vanilla_logits)
        for module in adapted.base.modules():
            if hasattr(module, "lora_A"):
                module.scaling["default"] = 0.0
        assert torch.equal(adapted.model(input_ids=tokens).logits, vanilla_logits), "scaled to nothing it is vanilla"


def test_the_cosine_improves_with_training(
    context: Context, mini_benchmark: Path, model_spec: dict[str, Any], tmp_path: Path
) -> None:
    start = tmp_path / "start"
    _untrained_adapter(model_spec, start)
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=start,
        reference=None,
        method="vl_eraser",
        forget_percent=25,
        settings={**SETTINGS, "ce": False, "weight": 1.0, "vacuum": False},
        seed=0,
        threads=1,
        output=tmp_path / "run",
    )
    losses = pq.read_table(tmp_path / "run" / "metrics.parquet")["loss"].to_pylist()
    assert not math.isnan(losses[-1])
    assert losses[-1] < losses[0] - 0.1


def _untrained_adapter(spec: dict[str, Any], folder: Path) -> None:
    from unsee.training.lora import add_lora, save_adapter

    vlm = load(spec)
    add_lora(vlm, LoraSettings(rank=2, alpha=2), 0)
    save_adapter(vlm, folder)
