"""A model stored in half precision computes what the same weights compute in float32, and loses nothing of an update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES
from safetensors.torch import load_file
from torch import nn

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.questions import read_questions
from unsee.models import half
from unsee.models.half import HalfEmbedding, HalfLinear
from unsee.models.likelihood import score
from unsee.models.model import DTYPES, VisionLanguageModel, load, merge
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.lora import add_lora, save_adapter
from unsee.training.settings import LoraSettings

HALF = ("bfloat16", "float16")


def rounded(vlm: VisionLanguageModel, dtype: str) -> VisionLanguageModel:
    """A float32 model whose large matrices hold what half precision would store."""
    for module in vlm.base.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data = module.weight.data.to(DTYPES[dtype]).float()
        for name, parameter in module.named_parameters(recurse=False):
            if not (isinstance(module, nn.Linear | nn.Embedding) and name == "weight"):
                parameter.data = parameter.data.to(DTYPES[dtype]).float()
    return vlm


@pytest.mark.parametrize("dtype", HALF)
def test_the_layer_equals_float32_arithmetic_on_the_stored_weight(dtype: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 5).to(DTYPES[dtype])
    layer.bias.data = layer.bias.data.float()
    weight = layer.weight.detach().float()
    HalfLinear.convert(layer)
    assert isinstance(layer, HalfLinear)
    layer.requires_grad_(False)
    x = torch.randn(2, 3, 7, requires_grad=True)
    down, up = torch.randn(2, 7), torch.randn(5, 2) * 1e-5
    layer.add(down[:1], up[:, :1])
    layer.add(down[1:], up[:, 1:])
    expected = nn.functional.linear(x.double(), (weight + up @ down).double(), layer.bias.double())
    out = layer(x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-6)
    gradient = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, x, gradient)[0],
        torch.autograd.grad(expected, x, gradient.double())[0],
        atol=1e-5,
        rtol=1e-5,
    )
    layer.widen()
    assert type(layer) is nn.Linear and layer.weight.dtype == torch.float32
    torch.testing.assert_close(layer(x), out, atol=1e-6, rtol=1e-6)


def test_pieces_of_a_large_matrix_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(8, 50, bias=False).to(torch.bfloat16)
    HalfLinear.convert(layer)
    layer.requires_grad_(False)
    x = torch.randn(3, 8, requires_grad=True)
    whole = layer(x)
    back = torch.autograd.grad(whole.square().sum(), x)[0]
    monkeypatch.setattr(half, "PIECE", 8 * 7)
    torch.testing.assert_close(layer(x), whole, atol=0, rtol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(layer(x).square().sum(), x)[0], back, atol=1e-5, rtol=1e-5)


def test_the_backward_pass_keeps_the_weight_as_it_is_stored() -> None:
    layer = nn.Linear(64, 64, bias=False).to(torch.bfloat16)
    HalfLinear.convert(layer)
    layer.requires_grad_(False)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (kept.append(tensor), tensor)[1], lambda t: t):
        layer(torch.randn(2, 64, requires_grad=True))
    assert [tensor.data_ptr() for tensor in kept] == [layer.weight.data_ptr()]


@pytest.mark.parametrize("dtype", HALF)
def test_every_family_computes_in_float32(family_spec: dict[str, Any], mini_benchmark: Path, dtype: str) -> None:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    images = read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id})
    outcomes = []
    for vlm in (load({**family_spec, "dtype": dtype}), rounded(load(family_spec), dtype)):
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        examples = batch(vlm, units(vlm, pictures, pairs, "person"))
        seen: list[torch.dtype] = []
        hooks = [
            m.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o.dtype))
            for m in vlm.base.modules()
            if isinstance(m, nn.Linear | nn.Embedding | nn.LayerNorm | nn.Conv2d | nn.Conv3d)
        ]
        outcomes.append(score(vlm, examples, pictures).token_log_probs)
        assert set(seen) == {torch.float32}
        for hook in hooks:
            hook.remove()
    torch.testing.assert_close(*outcomes, atol=1e-4, rtol=1e-5)


def test_only_large_matrices_are_stored_in_half(model_spec: dict[str, Any]) -> None:
    vlm = load({**model_spec, "dtype": "bfloat16"})
    for module in vlm.base.modules():
        for name, parameter in module.named_parameters(recurse=False):
            large = isinstance(module, HalfLinear | HalfEmbedding) and name == "weight"
            assert parameter.dtype == (torch.bfloat16 if large else torch.float32), (type(module), name)
    head, table = vlm.base.get_output_embeddings(), vlm.base.get_input_embeddings()
    assert head.weight.data_ptr() == table.weight.data_ptr(), "tied weights stay tied"


@pytest.fixture(scope="module", params=["low rank", "whole"])
def stacked(
    request: pytest.FixtureRequest, model_spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Vanilla's adapter and an unlearned model's, whose updates are far below half precision."""
    folders: list[Path] = []
    for seed in range(2):
        vlm = load({**model_spec, "dtype": "bfloat16"}, folders)
        if seed and request.param == "whole":
            names = [name for name, _ in vlm.base.named_modules() if name.endswith("down_proj")]
            for name in names:
                vlm.base.get_submodule(name).widen()
            vlm.model = get_peft_model(vlm.base, LoraConfig(target_modules=DUMMY_TARGET_MODULES, modules_to_save=names))
        else:
            add_lora(vlm, LoraSettings(rank=2, alpha=4, dropout=0.0, scope="both"), seed)
        torch.manual_seed(seed)
        for key, weight in vlm.model.named_parameters():
            if "lora_B" in key or ("modules_to_save" in key and "weight" in key):
                weight.data += torch.randn_like(weight) * (2e-4 if seed else 1e-2)
        folders.append(tmp_path_factory.mktemp("adapter"))
        save_adapter(vlm, folders[-1])
    return folders


def test_stacked_adapters_are_what_a_sum_of_float32_weights_gives(
    model_spec: dict[str, Any], stacked: list[Path], mini_benchmark: Path
) -> None:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    images = read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id})

    def change(vanilla: VisionLanguageModel, unlearned: VisionLanguageModel) -> torch.Tensor:
        nlls = []
        for vlm in (vanilla, unlearned):
            pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
            with torch.no_grad():
                nlls.append(-score(vlm, batch(vlm, units(vlm, pictures, pairs, "none")), pictures).sequence_sum())
        return nlls[1] - nlls[0]

    spec = {**model_spec, "dtype": "bfloat16"}
    ours = change(load(spec, stacked[:1]), load(spec, stacked))
    expected_models = []
    for adapters in (stacked[:1], stacked):
        vlm = rounded(load(model_spec), "bfloat16")
        for adapter in adapters:
            vlm.model = merge(vlm.model, adapter)
        expected_models.append(vlm)
    expected = change(*expected_models)
    assert expected.abs().max() > 1e-3
    assert (ours - expected).abs().max() < 0.05 * expected.abs().max()


def test_parts_of_an_update_follow_its_scale(model_spec: dict[str, Any], stacked: list[Path]) -> None:
    """What a layer adds to vanilla's output is the scale times what it adds at 1, to float32's digits."""
    spec = {**model_spec, "dtype": "bfloat16"}
    name = "model.language_model.layers.1.mlp.down_proj"
    x = torch.randn(4, load(spec).base.get_submodule(name).in_features)
    with torch.no_grad():
        vlm = load(spec, stacked[:1])
        start = vlm.base.get_submodule(name)(x).double()
        whole = load(spec, stacked).base.get_submodule(name)(x).double() - start
        assert 1e-5 < whole.abs().max() < 1e-1
        done = 0.0
        for scale in (0.25, 0.75, 1.0):
            vlm.model = merge(vlm.model, stacked[1], scale, done=done)
            done = scale
            part = vlm.base.get_submodule(name)(x).double() - start
            assert (part - scale * whole).abs().max() < 0.02 * whole.abs().max()


def test_stored_adapters_come_back_bit_for_bit(model_spec: dict[str, Any], stacked: list[Path]) -> None:
    weights = load_file(stacked[0] / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    vlm = load({**model_spec, "dtype": "bfloat16"}, stacked[:1])
    for key, tensor in weights.items():
        path, _, matrix = key.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".")
        layer = vlm.base.get_submodule(path)
        kept = layer.down if matrix == "lora_A" else layer.up
        assert kept is not None
        torch.testing.assert_close(kept.data, tensor if matrix == "lora_A" else tensor * 2, atol=0, rtol=0)


def test_features_of_a_tower_with_an_adapter_are_its_own(
    model_spec: dict[str, Any], stacked: list[Path], mini_benchmark: Path, tmp_path: Path
) -> None:
    """What is kept between jobs is told apart by the updates beside the tower's weights."""
    from unsee.core.cache import Cache

    spec = {**model_spec, "dtype": "bfloat16"}
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    image_id = next(pair.image_id for pair in pairs if pair.image_id)
    features = []
    for adapters in ([], stacked[:1]):
        vlm = load(spec, adapters)
        images = read_images(mini_benchmark, {image_id})
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=Cache(tmp_path))
        with torch.no_grad():
            features.append(pictures.features([image_id])[0])
    assert not torch.equal(*features)


@pytest.mark.parametrize("dtype", HALF)
def test_answers_do_not_depend_on_how_many_are_read_together(
    model_spec: dict[str, Any], mini_benchmark: Path, dtype: str
) -> None:
    vlm = load({**model_spec, "dtype": dtype})
    rows = read_questions(mini_benchmark, [25])[:60]
    images = read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]})
    answers = []
    for size in (1, 7):
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        settings = {"classification": "likelihood", "batch_size": size, "max_new_tokens": 4}
        answers.append(answer_questions(vlm, pictures, rows, settings))
    assert answers[0] == answers[1]
