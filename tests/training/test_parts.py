"""No gradient depends on the parts in which a step is computed, on packing or on gradient checkpointing, whatever the method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from torch import Tensor

from tests import error_page
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.jobs.config import ConfigError
from unsee.jobs.config_checks import check
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, units
from unsee.training.finetune import finetune
from unsee.training.loop import train
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import catalogue
from unsee.unlearning.method import Context, get
from unsee.unlearning.reference import reference_scores
from unsee.unlearning.refusals import with_refusals
from unsee.unlearning.run import make_objective, unlearn

ROOT = Path(__file__).parents[2]
#: The number of pairs of each person: unequal within a group and between the groups, ten in each group.
N_PAIRS = {"forget": (2, 5, 3), "retain": (4, 1, 5)}


def _cases() -> Iterator[Any]:
    """Every method that trains with its defaults, and with each other choice of each option that allows a step in parts."""
    for name, description in catalogue.read().items():
        if not description.needs.training:
            continue
        defaults = {key: option.default for key, option in description.options.items()}
        yield pytest.param(name, defaults, id=name)
        for key, option in description.options.items():
            for choice in option.schema.get("enum", ()):
                if choice not in (option.default, description.needs.whole_step.get(key)):
                    yield pytest.param(name, defaults | {key: choice}, id=f"{name}-{key}-{choice}")


@pytest.mark.parametrize(("name", "options"), list(_cases()))
def test_no_gradient_depends_on_the_parts_of_a_step(
    name: str,
    options: dict[str, Any],
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = get(name)
    needs = method.needs.with_options(options)
    vlm = load(model_spec)
    groups: dict[str, dict[str, list[Unit]]] = {"none": {}, "person": {}}
    images: set[str] = set()
    pairs = {}
    for role, counts in N_PAIRS.items():
        pairs_of_people = [
            read_pairs(mini_benchmark, [person]) for person in person_ids(mini_benchmark, 25, role)[: len(counts)]
        ]
        # From both ends, so that some have a picture and some have none.
        pairs[role] = [
            p for all_, n in zip(pairs_of_people, counts, strict=True) for p in [*all_[: n // 2], *all_[n // 2 - n :]]
        ]
        images |= {pair.image_id for pair in pairs[role] if pair.image_id}
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, read_images(mini_benchmark, images))
    for packing, members in groups.items():
        for role in N_PAIRS:
            members[role] = units(vlm, pictures, pairs[role], packing)
    alternatives = {
        unit.key: unit
        for packing in groups
        for unit in units(vlm, pictures, with_refusals(pairs["forget"], 0), packing)
    }
    lengths = {len(unit.requests[0].tokens) for unit in groups["none"]["forget"]}
    assert len(lengths) > 2, "sequences of different lengths"
    scores_by_unit = {}
    if needs.reference == "retain_only":
        for members in groups.values():
            scores_by_unit |= reference_scores(vlm, pictures, members["forget"])

    settings = TrainingSettings(
        learning_rate=1e-12, batch_size=10, epochs=1, optimizer="sgd", lora=LoraSettings(rank=4, alpha=4, dropout=0.0)
    )
    state = None
    if method.prepare:
        taken = signature(method.prepare).parameters
        context = Context(vlm, pictures, groups["none"], settings, 0, Counters(), tmp_path)
        state = method.prepare(context, **{key: value for key, value in options.items() if key in taken})
    else:
        add_lora(vlm, settings.lora, 0)
    for key, weight in vlm.model.named_parameters():
        if "lora_B" in key:  # while B is zero, the gradient of A is zero
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(len(key)))
    objective = make_objective(method, vlm, pictures, scores_by_unit, state, options, alternatives)

    captured: list[Tensor] = []

    def clip(weights: list[Any], *_: Any) -> Tensor:
        captured.append(torch.cat([weight.grad.flatten().clone() for weight in weights]))
        return torch.ones(())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)

    def gradient(packing: str, parts: int, checkpointing: bool = False) -> tuple[float, Tensor]:
        stepped = groups[packing] if needs.retain_examples else {"forget": groups[packing]["forget"]}
        changed = replace(settings, gradient_accumulation=parts, gradient_checkpointing=checkpointing)
        progress = train(vlm, pictures, stepped, objective, changed, seed=0, description="")
        assert len(progress.rows) == 1
        assert progress.counters.backward_passes == min(parts, len(stepped["forget"]))
        return progress.rows[0]["loss"], captured.pop()

    loss, expected = gradient("none", 1)
    assert expected.norm() > 0
    for packing, parts, checkpointing in [
        ("none", 2, False),
        ("none", 3, False),
        ("none", 1, True),
        ("none", 3, True),
        ("person", 1, False),
        ("person", 2, False),
        ("person", 3, False),
        ("person", 2, True),
    ]:
        case = f"{packing}, {parts} parts, checkpointing {checkpointing}"
        other_loss, other = gradient(packing, parts, checkpointing)
        assert other_loss == pytest.approx(loss, rel=1e-6, abs=1e-6), case
        assert (other - expected).norm() <= 2e-6 * expected.norm(), case


def test_a_loss_of_the_whole_step_is_refused_in_parts(
    model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["methods"]["npo"]["level"] = "batch_mean"
    check(config, catalogue.read(), ROOT)
    config["unlearning"]["gradient_accumulation"] = 2
    with pytest.raises(ConfigError) as caught:
        check(config, catalogue.read(), ROOT)
    expected = (
        "methods.npo.level is batch_mean, a loss of the whole step, and gradient_accumulation 2 would compute it in parts; "
        "expected gradient_accumulation and num_processes 1, or another level"
    )
    assert expected in str(caught.value)
    error_page.check("npo.level batch_mean with a step in parts", "planning", str(caught.value))
    config["methods"]["npo"]["gradient_accumulation"] = 1
    check(config, catalogue.read(), ROOT)

    settings = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "level": "batch_mean", "num_processes": 2}
    with pytest.raises(
        ValueError, match="method 'npo': level is batch_mean.*num_processes 2 would compute it in parts"
    ):
        unlearn(
            model_spec,
            mini_benchmark,
            vanilla=tmp_path,  # without an adapter: the settings are refused before a model is loaded
            reference=tmp_path,
            method="npo",
            forget_percent=25,
            settings=settings,
            seed=0,
            threads=1,
            output=tmp_path / "run",
        )


def test_people_weigh_as_many_as_their_pairs_in_fine_tuning(
    model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three people with unequal numbers of pairs, in one part or in two."""

    def unequal(*arguments: Any) -> list[Unit]:
        first_three = units(*arguments)[:3]
        return [replace(unit, requests=unit.requests[-n:]) for unit, n in zip(first_three, (2, 5, 3), strict=True)]

    monkeypatch.setattr("unsee.training.finetune.units", unequal)
    losses, norms = [], []
    for parts in (1, 2):
        finetune(
            model_spec,
            mini_benchmark,
            forget_percent=25,
            role="vanilla",
            settings={
                "learning_rate": 1e-3,
                "epochs": 1,
                "batch_size": 3,
                "packing": "person",
                "gradient_accumulation": parts,
                "lora": {"dropout": 0.0},
            },
            seed=0,
            threads=1,
            output=tmp_path / str(parts),
        )
        (step,) = pq.read_table(tmp_path / str(parts) / "metrics.parquet").to_pylist()
        losses.append(step["loss"])
        norms.append(step["gradient_norm"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
