"""The fast low-rank layer against PEFT's."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn

from unsee.training.lora import LoraLinear, put_adapter


def _model(quick: bool, *, bias: bool, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(12, 20, bias=bias), nn.Tanh(), nn.Linear(20, 7, bias=bias))
    config = LoraConfig(r=3, lora_alpha=6, lora_dropout=dropout, target_modules=["0", "2"], init_lora_weights=False)
    return put_adapter(inner, config, hooked=not quick)  # type: ignore[arg-type]


def _run(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    x = x.clone().requires_grad_()
    torch.manual_seed(2)  # for dropout
    out = model(x)
    out.square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return out.detach(), {**gradients, "x": x.grad}


@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 12)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_outputs_and_gradients_equal_pefts(shape: tuple[int, ...], bias: bool, dropout: float) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    quick, plain = (_model(q, bias=bias, dropout=dropout).train() for q in (True, False))
    assert sum(isinstance(module, LoraLinear) for module in quick.modules()) == 2
    assert not any(isinstance(module, LoraLinear) for module in plain.modules())
    out, gradients = _run(quick, x)
    expected, wanted = _run(plain, x)
    assert out.shape == expected.shape
    torch.testing.assert_close(out, expected)
    assert set(gradients) == set(wanted) and len(wanted) == 5, "two adapters of two matrices, and the input"
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients[name], gradient, msg=name)


def test_gradients_equal_finite_differences() -> None:
    model = _model(True, bias=True).double().train()
    x = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    layer = next(module for module in model.modules() if isinstance(module, LoraLinear))
    assert torch.autograd.gradcheck(layer, (x,))
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    assert len(weights) == 2
    out = layer(x).square().sum()
    for weight, gradient in zip(weights, torch.autograd.grad(out, weights), strict=True):
        index = (1, 1)
        moved = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[index] += step
                moved.append(layer(x).square().sum())
                weight[index] -= step
        assert gradient[index].item() == pytest.approx(((moved[0] - moved[1]) / 2e-6).item(), rel=1e-6)


def test_unusual_cases_use_pefts_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    forward = lora.Linear.forward

    def counted(self: lora.Linear, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        calls.append("peft")
        return forward(self, x, *args, **kwargs)

    monkeypatch.setattr(lora.Linear, "forward", counted)
    x = torch.randn(2, 12)
    model = _model(True, bias=False).train()
    model(x)
    assert calls == []
    with model.disable_adapter():  # type: ignore[operator]
        off = model(x)
    assert len(calls) == 2
    torch.testing.assert_close(off, copy.deepcopy(model).unload()(x))  # type: ignore[operator]
    model.eval()(x)
    assert len(calls) == 4
    model.train().to(torch.bfloat16)(x.to(torch.bfloat16))
    assert len(calls) == 4
    layer = next(module for module in model.modules() if isinstance(module, LoraLinear))
    for matrix in (layer.lora_A, layer.lora_B):
        matrix.float()
    model(x.to(torch.bfloat16))
    assert len(calls) == 5, "of mixed types"
