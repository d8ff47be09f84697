"""Each attack on weights against a few independent lines, and on a whole model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from unsee.attacks.attack import State, Weights, get
from unsee.attacks.matrices import matrices
from unsee.attacks.methods import int8, nf4, noise, prune, relearn
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.failures import DivergedError
from unsee.models.half import HalfLinear
from unsee.models.model import VisionLanguageModel, load, merge
from unsee.models.pictures import Pictures
from unsee.training.lora import add_lora, save_adapter
from unsee.training.settings import LoraSettings

#: The four-bit codes of a matrix, one digit each, and its eight-bit codes.
BITSANDBYTES_NF4 = (
    "036778c147779d15777ae26778bf36778c046779d157779e25777ae26778bf36778c046779d15777ae25778af36778b0"
    "36778c147779d15777ae26778bf36778c046779d157779e25778ae26778bf36778c147779d15777ae25778bf36778b04"
    "6779c147779d15777ae26778bf36778c046779d157779e25778ae36778b03677"
)
BITSANDBYTES_INT8 = (
    "81d4f700010e3b98dffb0002144bace8fd00041d5ebdefff00072773ccf500000b338ad8f900011041a0e2fc00031752"
    "b3ebfe00052065c3f1ff00082b7cd1f600010d3892dcfa00021347a7e6fd00031a59b9edfe0006246ec8f3ff000a2f84"
    "d5f800010f3d9be0fb0002154daee9fd00041e60bff0ff00072876cdf500000b348dd9f900011143a2e3fc00031854b5"
    "ecfe00052168c5f2ff00092c7fd2f700010d3a95ddfa00021449a9e7fd00041b5bbbeeff00062570caf4ff000a3187d7"
    "f800010f3f9de1fc00021650b0eafe00041f63c1f1ff00082979cff600010c3690dbfa00011245a5e5fc00031957b7ec"
    "fe0006236bc6f3ff00092e81d4f70001"
)
MATRIX = torch.tensor([[0.5, -2.0, 0.01, 1.27], [0.0, 0.1, -0.3, 0.2]])


def weights_of(
    vlm: VisionLanguageModel,
    spec: dict[str, Any],
    benchmark: Path,
    seed: int = 0,
    division: dict[str, Any] | None = None,
) -> Weights:
    """What an attack on a model receives."""
    forgotten, others = (read_pairs(benchmark, person_ids(benchmark, 25, role)) for role in ("forget", "retain"))
    images = read_images(benchmark, {pair.image_id for pair in [*forgotten, *others] if pair.image_id})
    return Weights(
        vlm,
        Pictures(vlm.family, vlm.base, vlm.processor, images),
        forgotten,
        others,
        seed,
        lambda: load(spec, to_gpu=False),
        division or {},
    )


def state_of(vlm: VisionLanguageModel) -> dict[str, Tensor]:
    """A copy of every weight."""
    return {name: weight.detach().clone() for name, weight in vlm.base.state_dict().items()}


def changed(before: dict[str, Tensor], vlm: VisionLanguageModel) -> set[str]:
    """The weights that are not as they were, to the last bit."""
    return {name for name, weight in vlm.base.state_dict().items() if not torch.equal(weight, before[name])}


# Pure functions


def test_eight_bits_are_255_even_steps_of_the_largest_of_a_row() -> None:
    rows = zip(MATRIX.tolist(), (2.0, 0.3), strict=True)
    expected = [[round(x / largest * 127) * largest / 127 for x in row] for row, largest in rows]
    assert int8.rounded(MATRIX).numpy() == pytest.approx(np.array(expected), rel=1e-6)
    assert torch.equal(int8.rounded(torch.zeros(2, 3)), torch.zeros(2, 3))
    step = 1 / 127
    hidden = torch.tensor([[1.0, 3 * step], [1.0, 3 * step + 0.49 * step]])
    assert torch.equal(*int8.rounded(hidden)), "an update below half a step is gone"


def test_the_four_bit_levels_are_quantiles_of_a_normal_distribution() -> None:
    """The construction of QLoRA's code: 8 levels above zero and 7 below, whose outermost quantile is the mean of two halves."""
    outermost = (1 - 1 / 32 + 1 - 1 / 30) / 2
    above = scipy.stats.norm.ppf(np.linspace(outermost, 0.5, 9)[:-1])
    below = -scipy.stats.norm.ppf(np.linspace(outermost, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([above, [0.0], below])) / above.max()
    assert np.array(nf4.LEVELS) == pytest.approx(levels, abs=2e-7)


@pytest.mark.parametrize("block", [4, 3, 64])
def test_four_bits_are_the_nearest_level_of_the_block(block: int) -> None:
    flat, expected = MATRIX.flatten().tolist(), []
    for start in range(0, len(flat), block):
        part = flat[start : start + block]
        largest = max(map(abs, part))
        expected += [min(nf4.LEVELS, key=lambda level, x=x: abs(level - x / largest)) * largest for x in part]
    assert nf4.rounded(MATRIX, block).flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_rounding_is_that_of_bitsandbytes() -> None:
    """Recorded from bitsandbytes 0.50.2 on a CPU: quantize_4bit(blocksize=64, quant_type="nf4") and int8_vectorwise_quant."""
    matrix = (torch.arange(256) * 37 % 251 - 125).view(2, 128).float() ** 3 / 2e7
    largest = torch.tensor([0.09765625, 0.09533119946718216, 0.09765625, 0.09765625])
    codes = [int(digit, 16) for digit in BITSANDBYTES_NF4]
    expected = torch.tensor(nf4.LEVELS)[torch.tensor(codes)].view(4, 64) * largest[:, None]
    assert torch.equal(nf4.rounded(matrix, 64), expected.view(2, 128))
    steps = torch.frombuffer(bytearray.fromhex(BITSANDBYTES_INT8), dtype=torch.int8).view(2, 128)
    assert torch.allclose(int8.rounded(matrix), steps * (0.09765625 / 127), rtol=1e-6, atol=0)


def test_pruning_keeps_the_largest_weights() -> None:
    kept = torch.tensor([[True, True, False, True], [False, False, True, False]])
    assert torch.equal(prune.pruned(MATRIX, 0.5), MATRIX * kept)
    assert torch.equal(prune.pruned(MATRIX, 0.1), MATRIX), "less than one weight"


def test_noise_has_the_norm_of_its_share() -> None:
    values = noise.scaled_noise(torch.full((50, 40), 0.3), 0.1, Random("x"))
    assert values.norm().item() == pytest.approx(0.1 * 0.3 * math.sqrt(2000), rel=1e-5)
    assert scipy.stats.kstest(values.flatten().numpy() / values.std().item(), "norm").pvalue > 0.001
    assert not torch.equal(values, noise.scaled_noise(torch.full((50, 40), 0.3), 0.1, Random("y")))


# On a model


@pytest.mark.parametrize(
    ("name", "rounded"),
    [
        ("int8", int8.rounded),
        ("nf4", lambda weight: nf4.rounded(weight, 64)),
        ("prune", lambda weight: prune.pruned(weight, 0.2)),
        ("noise", None),
    ],
)
@pytest.mark.parametrize("part", ["language", "both"])
def test_an_attack_changes_the_matrices_of_its_part_and_nothing_else(
    family_spec: dict[str, Any], mini_benchmark: Path, name: str, rounded: Callable[[Tensor], Tensor] | None, part: Any
) -> None:
    vlm = load(family_spec)
    before = state_of(vlm)
    names = {f"{layer}.weight" for layer, _ in matrices(vlm, part)}
    assert names and all(("language_model" in key) or part == "both" for key in names)
    states = list(get(name).apply(weights_of(vlm, family_spec, mini_benchmark), part=part))
    assert states == [State()]
    assert changed(before, vlm) == names
    for key, weight in vlm.base.state_dict().items():
        if key in names and rounded:
            assert torch.equal(weight, rounded(before[key])), key
        elif key in names:
            assert (weight - before[key]).norm().item() == pytest.approx(0.1 * before[key].norm().item(), rel=1e-4)


def test_noise_is_the_same_for_every_model(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    directions = []
    for scale in (1.0, 3.0):
        vlm = load(model_spec)
        for _, layer in matrices(vlm, "both"):
            layer.weight.mul_(scale)
        before = state_of(vlm)
        list(noise.noise(weights_of(vlm, model_spec, mini_benchmark)))
        directions.append({name: vlm.base.state_dict()[name] - before[name] for name in sorted(changed(before, vlm))})
    for name, direction in directions[0].items():
        assert torch.allclose(3 * direction, directions[1][name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_half_precision_are_attacked_in_float32_with_their_updates(
    model_spec: dict[str, Any], dtype: str, tmp_path: Path, mini_benchmark: Path
) -> None:
    """The update would be lost if it were rounded to half precision before it is rounded to eight bits."""
    spec = model_spec | {"dtype": dtype}
    trained = load(spec)
    add_lora(trained, LoraSettings(rank=2, alpha=2, dropout=0.0), seed=0)
    for name, weight in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    save_adapter(trained, tmp_path / "adapter")
    vlm = load(spec, [tmp_path / "adapter"])
    halves = {name: layer for name, layer in vlm.base.named_modules() if isinstance(layer, HalfLinear)}
    sums = {
        name: layer.weight.float() + layer.up @ layer.down
        for name, layer in halves.items()
        if layer.up is not None and layer.down is not None
    }
    assert sums
    list(int8.int8(weights_of(vlm, spec, mini_benchmark)))
    for name, whole in sums.items():
        weight = vlm.base.get_submodule(name).weight
        assert weight.dtype == torch.float32
        assert torch.allclose(weight, int8.rounded(whole), atol=1e-6)


def test_relearning_without_a_step_is_the_identity(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    vlm = load(model_spec)
    before = state_of(vlm)
    weights = weights_of(vlm, model_spec, mini_benchmark)
    tokens = torch.tensor([[1, 5, 9, 13]])
    expected = vlm.base.model.language_model(input_ids=tokens).last_hidden_state
    for state in relearn.relearn(weights, shares=[0.05, 1.0], steps=[0]):
        assert state.step == 0
        assert torch.equal(vlm.base.model.language_model(input_ids=tokens).last_hidden_state, expected)
    assert not changed(before, vlm), "the adapters are gone, and the model is as it was"


def test_relearning_starts_anew_with_each_share(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    """The curve of a share is the same with and without the smaller shares before it, and is that of ordinary training."""
    tokens = torch.tensor([[1, 5, 9, 13]])
    curves: list[dict[State, Tensor]] = []
    for shares in ([0.1, 1.0], [1.0]):
        vlm = load(model_spec)
        weights = weights_of(vlm, model_spec, mini_benchmark)
        curves.append({})
        for state in relearn.relearn(weights, shares=shares, steps=[1, 3], learning_rate=0.01):
            assert not vlm.model.training
            curves[-1][state] = vlm.base.model.language_model(input_ids=tokens).last_hidden_state
    assert list(curves[0]) == [State(f"{n} % of the pairs", step) for n in (10, 100) for step in (1, 3)]
    for state, hidden in curves[1].items():
        assert torch.equal(hidden, curves[0][state])
    one, three = curves[1].values()
    assert not torch.equal(one, three)


def test_training_that_diverges_costs_no_other_share(
    model_spec: dict[str, Any], mini_benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first share the second step diverges, of the other one none."""
    vlm = load(model_spec)
    before, weights = state_of(vlm), weights_of(vlm, model_spec, mini_benchmark)
    whole = relearn.train_stepwise

    def once(*arguments: Any, description: str, **more: Any) -> Any:
        for progress in whole(*arguments, description=description, **more):
            if description.startswith("10 %") and progress.counters.steps == 2:
                raise DivergedError("the loss is nan at step 2", "lower learning_rate")
            yield progress

    monkeypatch.setattr(relearn, "train_stepwise", once)
    states = []
    for state in relearn.relearn(weights, shares=[0.1, 1.0], steps=[0, 1, 3]):
        assert not vlm.model.training
        states.append(state)
    small = [State("10 % of the pairs", 0), State("10 % of the pairs", 1), State("10 % of the pairs", 3, diverged=True)]
    assert states == [*small, *(State("100 % of the pairs", step) for step in (0, 1, 3))]
    assert not changed(before, vlm), "the adapters are gone, and the model is as it was"


def test_a_rate_far_too_high_diverges(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    vlm = load(model_spec)
    weights = weights_of(vlm, model_spec, mini_benchmark)
    states = list(relearn.relearn(weights, shares=[1.0], steps=[9], learning_rate=1e30))
    assert states == [State("100 % of the pairs", 9, diverged=True)]


def test_relearning_in_parts_has_the_same_gradient(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    tokens = torch.tensor([[1, 5, 9, 13]])
    hidden = []
    for division in ({}, {"gradient_accumulation": 2, "gradient_checkpointing": True}):
        vlm = load(model_spec)
        weights = weights_of(vlm, model_spec, mini_benchmark, division=division)
        for _ in relearn.relearn(weights, shares=[1.0], steps=[1], learning_rate=0.01):
            assert not any(module.training for module in vlm.base.modules())
            hidden.append(vlm.base.model.language_model(input_ids=tokens).last_hidden_state)
    # Dropout differs between the parts of a step.
    assert torch.nn.functional.cosine_similarity(hidden[0].flatten(), hidden[1].flatten(), dim=0) > 0.99
    assert not torch.equal(hidden[0], load(model_spec).base.model.language_model(input_ids=tokens).last_hidden_state)


def test_a_larger_share_contains_the_smaller_one(mini_benchmark: Path) -> None:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    some, more = relearn.drawn(pairs, 2, seed=0), relearn.drawn(pairs, 9, seed=0)
    assert len(some) == 2 and len(more) == 9 and set(some) < set(more)
    assert relearn.drawn(pairs[::-1], 2, seed=0) == some, "in whatever order they come"
    assert relearn.drawn(pairs, 2, seed=1) != some
    assert relearn.drawn(pairs, 10**6, seed=0) == sorted(pairs, key=lambda pair: pair.pair_id)


def test_benign_relearning_never_sees_the_forgotten_people(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    weights = weights_of(load(model_spec), model_spec, mini_benchmark)
    weights.forgotten = weights.forgotten[:3]
    tokenised: list[str] = []
    request = weights.vlm.request

    def spy(prompt: str, answer: str | None, *more: Any, **options: Any) -> Any:
        tokenised.append(str(answer))
        return request(prompt, answer, *more, **options)

    weights.vlm.request = spy  # type: ignore[method-assign]
    list(relearn.relearn(weights, data="others", shares=[1.0], steps=[0]))
    assert len(tokenised) == 3 and set(tokenised) <= {pair.answer for pair in weights.others}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_original_tower_and_projector_are_put_back(
    family_spec: dict[str, Any], dtype: str, tmp_path: Path, mini_benchmark: Path
) -> None:
    spec = family_spec | {"dtype": dtype}
    trained = load(spec)
    add_lora(trained, LoraSettings(rank=2, alpha=2, dropout=0.0, scope="both"), seed=0)
    for name, weight in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    save_adapter(trained, tmp_path / "adapter")
    vlm, base = load(spec, [tmp_path / "adapter"]), load(spec)
    images = read_images(mini_benchmark, _first(mini_benchmark))
    image_id = images[0][0]

    def features(model: VisionLanguageModel) -> Tensor:
        return Pictures(model.family, model.base, model.processor, images).features([image_id])[0]

    assert not torch.equal(features(vlm), features(base))
    decoder = {name: weight.clone() for name, weight in vlm.family.language_model(vlm.base).state_dict().items()}
    assert list(get("projector").apply(weights_of(vlm, spec, mini_benchmark))) == [State()]
    assert torch.equal(features(vlm), features(base))
    after = vlm.family.language_model(vlm.base).state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in decoder.items())
    if dtype == "float32":
        assert any(
            not torch.equal(after[name], w) for name, w in base.family.language_model(base.base).state_dict().items()
        )


def _first(benchmark: Path) -> set[str]:
    pairs = read_pairs(benchmark, person_ids(benchmark, 25, "forget"))
    return {next(pair.image_id for pair in pairs if pair.image_id)}


def test_merging_and_attacks_agree_on_the_weights(model_spec: dict[str, Any], tmp_path: Path) -> None:
    """The attack sees the merged weights: those that :func:`unsee.models.model.merge` leaves."""
    trained = load(model_spec)
    add_lora(trained, LoraSettings(rank=2, alpha=2, dropout=0.0), seed=0)
    for name, weight in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    save_adapter(trained, tmp_path / "adapter")
    merged = load(model_spec, [tmp_path / "adapter"])
    again = merge(load(model_spec).base, tmp_path / "adapter")
    for name, layer in matrices(merged, "language"):
        assert type(layer) is torch.nn.Linear
        assert torch.equal(layer.weight, again.get_submodule(name).weight)
