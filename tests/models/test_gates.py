"""Gates multiply neurons exactly, whatever the precision of the weights, and a part of them is a power."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unsee.models.gates import Gates, Side, gate
from unsee.models.half import HalfLinear
from unsee.models.model import load, merge
from unsee.models.pictures import adapts_encoder
from unsee.models.stored import AdapterError, Instruction, config_of, instruction_of

DOWN = "model.language_model.layers.1.mlp.down_proj"
UP = "model.language_model.layers.0.mlp.up_proj"
FC1 = "model.vision_tower.encoder.layers.0.mlp.fc1"


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    layer.weight.data = torch.tensor(weight)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def test_gates_on_two_neurons_are_what_one_computes_by_hand() -> None:
    inputs = linear([[1.0, 2.0], [3.0, 4.0]], [10.0, 20.0])
    gate(inputs, "input", torch.tensor([0.5, 0.0]))
    assert inputs.weight.tolist() == [[0.5, 0.0], [1.5, 0.0]] and inputs.bias.tolist() == [10.0, 20.0]
    outputs = linear([[1.0, 2.0], [3.0, 4.0]], [10.0, 20.0])
    gate(outputs, "output", torch.tensor([0.5, 0.0]))
    assert outputs.weight.tolist() == [[0.5, 1.0], [0.0, 0.0]] and outputs.bias.tolist() == [5.0, 0.0]


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_merging_equals_multiplying_what_goes_in_or_comes_out(side: Side, stored: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    if stored != torch.float32:
        layer.weight.data = layer.weight.data.to(stored)
        HalfLinear.convert(layer)
        assert isinstance(layer, HalfLinear)
        layer.add(torch.randn(2, 6), torch.randn(5, 2))
    factors, x = torch.rand(6 if side == "input" else 5), torch.randn(3, 6)
    expected = layer(x * factors) if side == "input" else layer(x) * factors
    gate(layer, side, factors)
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-6)


def test_half_precision_loses_no_gate_and_later_updates_are_not_gated() -> None:
    torch.manual_seed(0)
    layer: Any = nn.Linear(6, 5)
    layer.weight.data = layer.weight.data.bfloat16()
    bits = layer.weight.data.clone()
    HalfLinear.convert(layer)
    first, second, g, h = torch.randn(2, 6), torch.randn(2, 6), 0.999 * torch.ones(6), torch.rand(5)
    ups = torch.randn(2, 5, 2)
    bias = layer.bias.data.clone()
    layer.add(first, ups[0])
    for _ in range(2):
        gate(layer, "input", g)
    gate(layer, "output", h)
    layer.add(second, ups[1])
    assert torch.equal(layer.weight, bits), "0.999 would be rounded to 1 in the weights"
    whole = h[:, None] * (bits.float() + ups[0] @ first) * g**2 + ups[1] @ second
    x = torch.randn(4, 6)
    expected = x @ whole.T + h * bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    layer.widen()
    assert type(layer) is nn.Linear
    torch.testing.assert_close(layer.weight.data, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "factors", [torch.ones(3), torch.tensor([1.0, -0.1]), torch.tensor([1.0, torch.inf]), torch.tensor([torch.nan, 1])]
)
def test_factors_that_do_not_fit_are_refused(factors: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected 2 finite factors from 0"):
        gate(linear([[1.0, 2.0], [3.0, 4.0]]), "input", factors)


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """Gates on the inputs of a layer, and on the outputs of two, of which one is in the tower; some are 0."""
    random = torch.Generator().manual_seed(0)
    factors = {DOWN: torch.rand(192, generator=random), UP: torch.rand(192, generator=random)}
    factors[UP][:5] = 0
    factors[FC1] = torch.ones(576).index_fill(0, torch.tensor([7]), 0)
    Gates(factors, {DOWN: "input", UP: "output", FC1: "output"}).save(tmp_path / "gates")
    return tmp_path / "gates"


def test_gates_are_loaded_in_the_list_of_adapters(model_spec: dict[str, Any], gates: Path) -> None:
    before, after = (dict(load(model_spec, folders).base.named_parameters()) for folders in ([], [gates]))
    g = Gates.read(gates)
    assert config_of(gates) == {"kind": "gates", "sides": {DOWN: "input", UP: "output", FC1: "output"}}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{DOWN}.weight", f"{UP}.weight", f"{FC1}.weight"}
    assert torch.equal(after[f"{DOWN}.weight"], before[f"{DOWN}.weight"] * g.factors[DOWN])
    assert torch.equal(after[f"{UP}.weight"], before[f"{UP}.weight"] * g.factors[UP][:, None])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_part_of_gates_is_their_power_and_nothing_of_them_is_vanilla(
    model_spec: dict[str, Any], gates: Path, dtype: str
) -> None:
    spec = {**model_spec, "dtype": dtype}
    tokens = torch.tensor([[1, 5, 6, 7]])

    def logits(vlm: Any) -> torch.Tensor:
        with torch.no_grad():
            return vlm.base(input_ids=tokens).logits

    vanilla, vlm, whole = load(spec), load(spec), load(spec, [gates])
    vlm.model = merge(vlm.model, gates, 0.0)
    assert torch.equal(logits(vlm), logits(vanilla)), "at 0 to the last bit, also where a gate is 0"
    done = 0.0
    for scale in (0.25, 0.75, 1.0):
        vlm.model = merge(vlm.model, gates, scale, done=done)
        done = scale
        expected = load(spec)
        g = Gates.read(gates)
        Gates({name: values**scale for name, values in g.factors.items()}, g.sides).merge(expected.base)
        torch.testing.assert_close(logits(vlm), logits(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(vlm), logits(whole), rtol=1e-4, atol=1e-5)
    assert not torch.equal(logits(whole), logits(vanilla))
    assert ((torch.tensor([0.0, 0.25]) ** 0.5) == torch.tensor([0.0, 0.5])).all(), "a removed neuron has no halfway"


def test_gates_of_another_model_are_refused(model_spec: dict[str, Any], tmp_path: Path) -> None:
    Gates({"model.language_model.layers.9.mlp.down_proj": torch.ones(2)}, {}).save(tmp_path / "gates")
    with pytest.raises(ValueError, match="the model has no linear module of that name"):
        load(model_spec, [tmp_path / "gates"])
    (tmp_path / "gates" / "adapter_config.json").write_text('{"kind": "filter"}')
    with pytest.raises(ValueError, match="kind is 'filter'; expected adapter, gates or instruction"):
        load(model_spec, [tmp_path / "gates"])


def test_damaged_gates_are_refused(model_spec: dict[str, Any], gates: Path) -> None:
    (gates.parent / "manifest.json").write_text(json.dumps({"adapter_sha256": "0" * 64}))
    with pytest.raises(AdapterError, match="damaged"):
        load(model_spec, [gates])


def test_features_are_shared_unless_a_gate_is_in_the_tower(
    model_spec: dict[str, Any], gates: Path, tmp_path: Path
) -> None:
    family = load(model_spec).family
    assert adapts_encoder(family, gates)
    Gates({DOWN: torch.ones(192)}, {DOWN: "input"}).save(tmp_path / "decoder")
    assert not adapts_encoder(family, tmp_path / "decoder")


def test_an_instruction_stands_in_front_of_every_question(family_spec: dict[str, Any], tmp_path: Path) -> None:
    Instruction("Forget Ann.").save(tmp_path / "first")
    Instruction("Forget Bo.").save(tmp_path / "second")
    assert instruction_of(tmp_path / "first") == "Forget Ann."
    plain, instructed = load(family_spec), load(family_spec, [tmp_path / "first", tmp_path / "second"])
    for with_image in (True, False):
        expected = plain.prompt("Forget Ann. Forget Bo. Where was Ann born?", with_image=with_image)
        assert instructed.prompt("Where was Ann born?", with_image=with_image) == expected
    first = instructed.tokenizer.bos_token or ""
    for text in ("USER: Who? ASSISTANT:", f"{first}USER: Who? ASSISTANT:"):
        assert instructed.raw(text) == f"{first}Forget Ann. Forget Bo. USER: Who? ASSISTANT:"
    before, after = dict(plain.base.named_parameters()), dict(instructed.base.named_parameters())
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    with pytest.raises(ValueError, match="an instruction has no part"):
        merge(instructed.model, tmp_path / "first", 0.5)
