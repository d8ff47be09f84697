"""RMU: the random direction, the distances, what is steered where, and which blocks are trained."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from transformers import LlavaForConditionalGeneration

from tests import error_page
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.jobs.config import ConfigError
from unsee.jobs.config_checks import check
from unsee.models.likelihood import Scores, score
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import catalogue
from unsee.unlearning.method import Context, block_number, get
from unsee.unlearning.methods import rmu
from unsee.unlearning.run import make_objective

ROOT = Path(__file__).parents[2]
NOTHING = Scores(torch.zeros(0), torch.zeros(0, dtype=torch.long), 0, hidden=torch.zeros(0, 1))


def with_hidden(rows: list[list[float]], example: list[int]) -> Scores:
    """Scores of examples whose hidden states are the rows."""
    return Scores(torch.zeros(len(rows)), torch.tensor(example), max(example) + 1, hidden=torch.tensor(rows))


def test_the_direction_is_unit_and_seeded_and_has_both_signs() -> None:
    u = rmu.direction(1000, 3)
    assert u.dtype == torch.float32 and u.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(u, rmu.direction(1000, 3))
    assert abs(u @ rmu.direction(1000, 4)) < 0.15, "two seeds: almost at right angles"
    assert 400 < (u > 0).sum() < 600
    # The official code draws components from 0 to 1: any two of its directions are about 41 degrees apart.
    first, second = (torch.rand(1000, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4))
    assert torch.cosine_similarity(first, second, dim=0) > 0.7


def test_rmu_by_hand() -> None:
    forget = with_hidden([[1.0, 0.0], [0.0, 0.0], [2.0, 3.0], [2.0, -2.0]], [0, 0, 0, 1])
    state = rmu.State(torch.tensor([1.0, 1.0]))
    # Squared distances 1, 2, 5 of the first example, 10 of the second.
    steering = ((1 + 2 + 5) / 3 + 10) / 2
    retain, reference = with_hidden([[1.0, 1.0], [0.0, 2.0]], [0, 1]), with_hidden([[1.0, 0.0], [2.0, 0.0]], [0, 1])
    drift = (1 + 8) / 2
    assert rmu.rmu(forget, retain, reference, state, alpha=1.0).item() == pytest.approx(steering + drift)
    weighted = rmu.rmu(forget, retain, reference, state, alpha=0.25)
    assert weighted.item() == pytest.approx(steering + drift / 4)
    assert rmu.rmu(forget, NOTHING, NOTHING, state).item() == pytest.approx(steering)
    assert rmu.rmu(NOTHING, retain, reference, state, alpha=1.0).item() == pytest.approx(drift)


def test_the_lengths_of_two_examples_do_not_mix() -> None:
    """The official code divides each example's sum by each example's length, and so the product of two means remains."""
    scores = with_hidden([[1.0], [1.0], [2.0], [3.0]], [0, 0, 0, 1])
    ours = ((1 + 1 + 4) / 3 + 9) / 2
    official = ((1 + 1 + 4) + 9) / 2 * (1 / 3 + 1) / 2
    assert rmu.distance(scores, torch.zeros(1)).item() == pytest.approx(ours) != pytest.approx(official)


@pytest.mark.parametrize(
    ("layer", "depth", "block"),
    [(0.25, 32, 8), (0.25, 4, 1), (0.5, 28, 14), (0.01, 4, 1), (0.99, 4, 4), (1, 4, 1), (4, 4, 4), (8.0, 32, 8)],
)
def test_a_layer_is_a_share_of_the_depth_or_a_number(layer: float, depth: int, block: int) -> None:
    assert block_number(layer, depth) == block


@pytest.mark.parametrize("layer", [5, 2.5, 0, -1])
def test_a_layer_that_is_none_is_refused(layer: float) -> None:
    with pytest.raises(ValueError, match=f"layer is {layer}; expected a share of the depth, .* from 1 to 4"):
        block_number(layer, 4)


@pytest.mark.parametrize(
    ("model", "layer", "problem"),
    [
        ({}, 5, "is 5; expected a share of the depth, above 0 and below 1, or the number of a block, from 1 to 4"),
        ({}, 1.5, "is 1.5; expected a share of the depth, above 0 and below 1, or the number of a block, from 1 to 4"),
        # Of a model that is not on this disk yet, the depth is known only if it is published.
        ({"path": "llava-hf/llava-1.5-7b-hf"}, 33, "is 33; expected .* from 1 to 32"),
        ({"path": "some/model"}, 2.5, "is 2.5; expected .* from 1$"),
    ],
)
def test_a_wrong_layer_is_refused_when_planning(model: dict[str, Any], layer: float, problem: str) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["model"] |= model
    config["methods"]["rmu"] = {"layer": layer}
    with pytest.raises(ConfigError) as caught:
        check(config, catalogue.read(), ROOT)
    (line,) = [line for line in str(caught.value).splitlines() if "methods.rmu.layer" in line]
    assert re.search(f"methods.rmu.layer {problem}", line)
    if not model and layer == 5:
        error_page.check("rmu.layer beyond the decoder's depth", "planning", str(caught.value))


def test_a_layer_may_have_a_value_for_each_ratio() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["methods"]["rmu"] = {"layer": {5: 0.25, "other": 4}}
    check(config, catalogue.read(), ROOT)
    config["methods"]["rmu"] = {"layer": {5: 0.25, "other": 5}}
    with pytest.raises(ConfigError, match=r"methods\.rmu\.layer is 5; expected"):
        check(config, catalogue.read(), ROOT)


@pytest.fixture
def context(model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path) -> Context:
    vlm = load(model_spec)
    pairs = {
        role: read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, role)[:2])[::7] for role in ("forget", "retain")
    }
    images = read_images(mini_benchmark, {p.image_id for ps in pairs.values() for p in ps if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    groups = {role: units(vlm, pictures, members, "none") for role, members in pairs.items()}
    settings = TrainingSettings(learning_rate=1e-3, batch_size=4, lora=LoraSettings(rank=2, alpha=2, dropout=0.0))
    return Context(vlm, pictures, groups, settings, 7, Counters(), tmp_path)


def plain_hidden(model: Any, context: Context, role: str, block: int) -> Scores:
    """Hidden states where answers are predicted, by transformers alone: one sequence at a time."""
    rows, example = [], []
    for i, unit in enumerate(context.groups[role]):
        (request,) = unit.requests
        tokens = torch.tensor([request.tokens])
        embeddings = model.get_input_embeddings()(tokens)
        if request.images:
            features = torch.cat(context.pictures.features([image for image, _ in request.images]))
            embeddings = embeddings.masked_scatter((tokens == context.vlm.image_token)[..., None], features)
        with torch.no_grad():
            output = model.model.language_model(inputs_embeds=embeddings, output_hidden_states=True)
        start = len(request.prompt)
        rows.append(output.hidden_states[block][0, start - 1 : -1])
        example += [i] * len(request.answer)
    return Scores(torch.zeros(len(example)), torch.tensor(example), len(rows), hidden=torch.cat(rows))


def test_hidden_states_are_those_of_plain_transformers(context: Context, model_spec: dict[str, Any]) -> None:
    """At the tokens that predict an answer, whatever else is in the batch: padding does not count."""
    model = LlavaForConditionalGeneration.from_pretrained(model_spec["path"], dtype=torch.float32).eval()
    expected = plain_hidden(model, context, "forget", 1)
    with torch.no_grad():
        scores = score(context.vlm, batch(context.vlm, context.groups["forget"]), context.pictures, block=1)
        without = score(context.vlm, batch(context.vlm, context.groups["forget"]), context.pictures)
    assert scores.hidden is not None and expected.hidden is not None
    assert torch.equal(scores.example, expected.example)
    torch.testing.assert_close(scores.hidden, expected.hidden, atol=1e-5, rtol=1e-5)
    assert without.hidden is None
    assert torch.equal(scores.token_log_probs, without.token_log_probs)


def test_the_loop_computes_the_formula(context: Context, model_spec: dict[str, Any]) -> None:
    """With a model that differs from vanilla, whose hidden states come from transformers alone."""
    block, weight = 1, 0.5
    options: dict[str, Any] = {"layer": 0.5, "steering": 2.0, "relative": True, "trained_blocks": None}
    state = rmu.prepare(context, **options)
    assert context.counters.forward_passes == len(context.groups["forget"])
    plain = LlavaForConditionalGeneration.from_pretrained(model_spec["path"], dtype=torch.float32).eval()
    vanilla = {role: plain_hidden(plain, context, role, block) for role in ("forget", "retain")}
    assert vanilla["forget"].hidden is not None
    norms = replace(vanilla["forget"], token_log_probs=vanilla["forget"].hidden.norm(dim=-1)).sequence_mean()
    torch.testing.assert_close(state.target, 2.0 * norms.mean() * rmu.direction(64, 7), atol=1e-5, rtol=1e-5)

    for name, parameter in context.vlm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    context.vlm.model.eval()
    counters = Counters()
    everything = options | {"alpha": weight}
    objective = make_objective(get("rmu"), context.vlm, context.pictures, {}, state, everything)
    n_in_step = {role: len(members) for role, members in context.groups.items()}
    loss = objective(context.groups, counters, n_in_step)
    assert counters.forward_passes == 3

    assert isinstance(context.vlm.model, PeftModel)
    merged: Any = context.vlm.model.merge_and_unload()
    now = {role: plain_hidden(merged, context, role, block) for role in ("forget", "retain")}

    def mean_square(scores: Scores, target: torch.Tensor) -> float:
        assert scores.hidden is not None
        squares = ((scores.hidden.double() - target) ** 2).sum(-1)
        return sum(float(squares[scores.example == i].mean()) for i in range(scores.n_examples)) / scores.n_examples

    assert vanilla["retain"].hidden is not None
    drift = mean_square(now["retain"], vanilla["retain"].hidden)
    assert drift > 1e-3, "the adapter does something"
    expected = mean_square(now["forget"], state.target) + weight * drift
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_an_absolute_size_needs_no_pass(context: Context) -> None:
    state = rmu.prepare(context, layer=2, steering=6.5, relative=False, trained_blocks=3)
    assert context.counters.forward_passes == 0
    assert state.target.norm().item() == pytest.approx(6.5, rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "trained_blocks", "scope", "blocks"),
    [(1, None, "language", {0}), (2, None, "language", {0, 1}), (2, 1, "language", {1}), (1, 1, "both", {0})],
)
def test_only_the_blocks_up_to_the_layer_have_adapters(
    layer: int, trained_blocks: int | None, scope: Any, blocks: set[int], context: Context
) -> None:
    lora = replace(context.settings.lora, scope=scope)
    changed = replace(context, settings=replace(context.settings, lora=lora))
    rmu.prepare(changed, layer=layer, steering=1.0, relative=False, trained_blocks=trained_blocks)
    adapted = [name for name, module in context.vlm.base.named_modules() if hasattr(module, "lora_A")]
    decoder = "model.language_model.layers."
    in_decoder = [name.removeprefix(decoder) for name in adapted if name.startswith(decoder)]
    assert {int(name.split(".")[0]) for name in in_decoder} == blocks
    assert len(in_decoder) == 7 * len(blocks), "attention and feed-forward"
    assert (len(adapted) > len(in_decoder)) == (scope == "both"), "the scope decides about the tower"


def test_the_norm_does_not_depend_on_the_order_of_pairs(context: Context) -> None:
    norm = rmu.mean_norm(context, 1)
    other = replace(context, groups={"forget": context.groups["forget"][::-1]})
    assert rmu.mean_norm(other, 1) == pytest.approx(norm, rel=1e-12) and math.isfinite(norm) and norm > 0
