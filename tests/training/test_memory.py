"""Checkpointing, packing and answer-only logits save memory or time and change no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, batch, units
from unsee.training.finetune import finetune
from unsee.training.loop import gradient_checkpointing
from unsee.training.lora import add_lora
from unsee.training.settings import LoraSettings

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "epochs": 1,
    "batch_size": 6,
    "packing": "person",
    "optimizer": "sgd",
}


def _trained(
    folder: Path, spec: dict[str, Any], benchmark: Path, scope: str, **changed: Any
) -> dict[str, torch.Tensor]:
    lora = {"rank": 4, "alpha": 4, "dropout": 0.0, "scope": scope}
    settings = {**SETTINGS, **changed, "lora": lora}
    finetune(
        spec,
        benchmark,
        forget_percent=25,
        role="vanilla",
        settings=settings,
        seed=0,
        threads=1,
        output=folder,
    )
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("scope", ["language", "both"])
def test_checkpointing_trains_the_same_adapter(
    scope: str, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    passes: list[bool] = []
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: (passes.append(x.requires_grad), forward(self, x))[1])
    plain = _trained(tmp_path / "plain", model_spec, mini_benchmark, scope)
    n = len(passes)
    saved = _trained(tmp_path / "saved", model_spec, mini_benchmark, scope, gradient_checkpointing=True)
    assert len(passes) == 3 * n, "each block runs again in the backward pass"
    assert all(passes[n:]), "the blocks' inputs ask for a gradient"
    assert all(weight.abs().max() > 0 for weight in saved.values())
    for name, weight in plain.items():
        torch.testing.assert_close(saved[name], weight, atol=1e-6, rtol=1e-4)


def test_under_checkpointing_the_loss_of_words_needs_no_gradient_if_the_tower_is_trained(
    loaded: tuple[VisionLanguageModel, Pictures, list[Any]],
) -> None:
    vlm, pictures, pairs = loaded
    add_lora(vlm, LoraSettings(rank=4, alpha=4, dropout=0.0, scope="vision"), 0)
    vlm.model.train()
    with gradient_checkpointing(vlm):
        for with_image in (False, True):
            selected_units = units(vlm, pictures, [p for p in pairs if bool(p.image_id) == with_image][:2], "none")
            assert score(vlm, batch(vlm, selected_units), pictures).nll().requires_grad == with_image


@pytest.fixture
def loaded(model_spec: dict[str, Any], mini_benchmark: Path) -> tuple[VisionLanguageModel, Pictures, list[Any]]:
    vlm = load(model_spec)
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    images = read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id})
    return vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), pairs


@pytest.mark.parametrize("scope", ["language", "vision", "both"])
def test_a_packed_person_has_the_gradients_of_the_pairs(
    scope: Any, loaded: tuple[VisionLanguageModel, Pictures, list[Any]]
) -> None:
    vlm, pictures, pairs = loaded
    add_lora(vlm, LoraSettings(rank=4, alpha=4, dropout=0.0, scope=scope), 0)
    weights = {name: weight for name, weight in vlm.model.named_parameters() if weight.requires_grad}
    for name, weight in weights.items():
        if "lora_B" in name:  # while B is zero, the gradient of A is zero
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    losses, gradients = [], []
    for packing in ("person", "none"):
        selected_units = units(vlm, pictures, pairs, packing)
        loss = score(vlm, batch(vlm, selected_units), pictures).nll()
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, list(weights.values())))
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    for name, packed, plain in zip(weights, *gradients, strict=True):
        assert plain.abs().max() > 0, name
        torch.testing.assert_close(packed, plain, atol=1e-6, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")


def test_only_answers_are_projected(loaded: tuple[VisionLanguageModel, Pictures, list[Any]]) -> None:
    vlm, pictures, pairs = loaded
    selected_units = units(vlm, pictures, pairs, "person")
    projected: list[Any] = []
    hook = vlm.base.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: projected.append(tuple(output.shape))
    )
    with torch.no_grad():
        score(vlm, batch(vlm, selected_units), pictures)
    hook.remove()
    n = sum(len(request.answer) for unit in selected_units for request in unit.requests)
    assert projected == [(n, vlm.base.config.text_config.vocab_size)]


def test_log_probabilities_are_of_float32_logits(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    vlm = load({**model_spec, "dtype": "bfloat16"})
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))[-3:]
    selected_units: list[Unit] = units(
        vlm, Pictures(vlm.family, vlm.base, vlm.processor, []), [p for p in pairs if not p.image_id], "none"
    )
    examples = batch(vlm, selected_units)
    with torch.no_grad():
        scores = score(vlm, examples, None)
        logits = vlm.answer_logits(vlm.hidden_states(examples, None), examples)
    assert logits.dtype == scores.token_log_probs.dtype == torch.float32
    expected = torch.stack([row.double().log_softmax(0)[t] for row, t in zip(logits, examples.targets, strict=True)])
    torch.testing.assert_close(scores.token_log_probs.double(), expected, atol=1e-5, rtol=1e-6)
