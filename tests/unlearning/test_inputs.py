"""What a loss receives: the groups and the vocabulary that its method declares, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import Scores
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, batch, units
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings
from unsee.unlearning import catalogue
from unsee.unlearning.method import Method, Needs, get
from unsee.unlearning.run import make_objective

GROUPS = ("forget", "retain")
OPTIONS = {name: {key: o.default for key, o in method.options.items()} for name, method in catalogue.read().items()}


def inputs_of(needs: Needs, model_spec: dict[str, Any], benchmark: Path) -> tuple[VisionLanguageModel, dict[str, Any]]:
    """The inputs of a loss that declares these needs, and the answer tokens of each group; the adapter changes the model."""
    vlm = load(model_spec)
    pairs = {group: read_pairs(benchmark, person_ids(benchmark, 25, group)[:1])[:3] for group in GROUPS}
    images = read_images(benchmark, {p.image_id for members in pairs.values() for p in members if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    step = {group: units(vlm, pictures, members, "none") for group, members in pairs.items()}
    add_lora(vlm, LoraSettings(rank=2, alpha=2), 0)
    vlm.model.eval()  # no dropout
    for key, weight in vlm.model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(len(key)))
    seen: dict[str, Any] = {group: batch(vlm, members).targets for group, members in step.items()}

    def loss(forget: Scores, retain: Scores, reference: Scores) -> Tensor:
        seen["inputs"] = {"forget": forget, "retain": retain, "reference": reference}
        return forget.nll()

    toy = Method("toy", needs, loss, ("forget", "retain", "reference"))
    make_objective(toy, vlm, pictures, {}, None, {})(step, Counters(), {group: 3 for group in GROUPS})
    return vlm, seen


@pytest.mark.parametrize("vocabulary", ["none", "forget", "retain", "both"])
@pytest.mark.parametrize("reference_on", GROUPS)
def test_the_vocabulary_is_that_of_the_declared_examples(
    vocabulary: Any, reference_on: Any, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    needs = Needs(retain_examples=True, reference="vanilla", reference_on=reference_on, vocabulary=vocabulary)
    vlm, seen = inputs_of(needs, model_spec, mini_benchmark)
    examples = {"forget": "forget", "retain": "retain", "reference": reference_on}
    for name, group in examples.items():
        scores = seen["inputs"][name]
        if vocabulary not in (group, "both"):
            assert scores.log_probs is None and scores.targets is None, name
            continue
        assert scores.log_probs.shape == (len(seen[group]), vlm.base.config.get_text_config().vocab_size)
        torch.testing.assert_close(scores.log_probs.exp().sum(-1), torch.ones(len(seen[group])))
        assert torch.equal(scores.targets, seen[group])
        assert torch.equal(scores.log_probs[torch.arange(len(scores.targets)), scores.targets], scores.token_log_probs)
    model, vanilla = seen["inputs"][reference_on], seen["inputs"]["reference"]
    assert not torch.equal(model.token_log_probs, vanilla.token_log_probs), "the adapter is off in the reference"
    assert model.token_log_probs.requires_grad and not vanilla.token_log_probs.requires_grad


@pytest.mark.parametrize("name", ["undial", "ce_u"])
def test_a_loss_of_the_vocabulary_does_not_depend_on_padding(
    name: str, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    """Of the positions of a batch, only those of answer tokens count: neither prompts nor what fills up shorter rows."""
    vlm = load(model_spec)
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget")[:1])
    images = read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    ordered = sorted(units(vlm, pictures, pairs, "none"), key=lambda unit: len(unit.requests[0].tokens))
    short, long = ordered[0], ordered[-1]
    assert len(short.requests[0].tokens) < len(long.requests[0].tokens)
    with torch.no_grad():
        for weight in vlm.base.get_output_embeddings().parameters():
            weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))  # so that examples differ
    add_lora(vlm, LoraSettings(rank=2, alpha=2), 0)
    vlm.model.eval()
    objective = make_objective(get(name), vlm, pictures, {}, None, OPTIONS[name])

    def loss(*members: Unit) -> float:
        return objective({"forget": members}, Counters(), {"forget": len(members)}).item()

    with torch.no_grad():
        alone = [loss(short), loss(long)]
        assert alone[0] != pytest.approx(alone[1], rel=1e-2)
        assert loss(short, long) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_no_retain_examples_are_read_where_their_weight_is_zero() -> None:
    needs = Needs(retain_examples=True, retain_weight="alpha")
    assert needs.with_options({"alpha": 0.0}) == Needs(retain_examples=False, retain_weight="alpha")
    assert needs.with_options({"alpha": 0.0}).groups == ["forget"]
    assert needs.with_options({"alpha": 0.5}) == needs.with_options({}) == needs
    assert needs.groups == ["forget", "retain"]
    always = Needs(retain_examples=True)
    assert always.with_options({"alpha": 0.0}) == always


def test_prepare_reads_nothing_where_an_option_says_so() -> None:
    needs = Needs(prepare="retain", prepare_unless={"space": False}, prepare_pictures={"reads": "image"})
    assert needs.with_options({"space": True, "reads": "image"}).groups == ["forget", "retain"]
    assert needs.with_options({"space": False}).groups == ["forget"]
    assert needs.sees({"space": True, "reads": "image"}) == "forget, retained pictures"
    assert needs.sees({"space": True, "reads": "text"}) == "forget, retained pairs"
    assert needs.sees({"space": False, "reads": "text"}) == "forget"
    assert needs.sees({"space": "tuned", "reads": "tuned"}) == "forget, retained pairs", "it may read all that it could"


@pytest.mark.parametrize(
    ("name", "options", "sees"),
    [
        ("ga", {}, "forget"),
        ("ga_diff", {}, "forget, retained pairs"),
        ("kl_min", {}, "forget, retained pairs"),
        ("npo", {}, "forget, retain-only"),
        ("npo", {"reference_model": "vanilla"}, "forget"),
        ("npo", {"alpha": 1.0}, "forget, retained pairs, retain-only"),
        ("npo", {"alpha": "tuned"}, "forget, retained pairs, retain-only"),
        ("vl_eraser", {}, "forget, retained pictures"),
        ("vl_eraser", {"vacuum_inputs": "both"}, "forget, retained pairs"),
        ("vl_eraser", {"vacuum": False, "vacuum_inputs": "both"}, "forget"),
    ],
)
def test_what_methods_see(name: str, options: dict[str, Any], sees: str) -> None:
    assert get(name).needs.sees({**OPTIONS[name], **options}) == sees
    assert catalogue.read()[name].needs == get(name).needs


def test_prepare_without_a_vacuum_is_given_no_retain_examples() -> None:
    needs = get("vl_eraser").needs
    assert needs.with_options({**OPTIONS["vl_eraser"], "vacuum": False}).groups == ["forget"]
