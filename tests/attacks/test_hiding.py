"""A model that merely hides, on real weights: its update is smaller than a step of the rounding, which therefore undoes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tests.attacks.test_run import SETTINGS, Rows, forgotten_questions
from tests.attacks.test_weights import weights_of
from tests.results.attacked import summary_of
from unsee.attacks.attack import get
from unsee.attacks.matrices import matrices
from unsee.attacks.methods.nf4 import LEVELS, rounded
from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.results.statistics.attacked import AttackedRun
from unsee.results.statistics.robustness import robustness
from unsee.training.batches import batch, units

BLOCK = 64
#: Less than half the distance of the two levels that are closest.
WITHIN = 0.45 * min(b - a for a, b in zip(LEVELS, LEVELS[1:], strict=False))


def hide(vlm: VisionLanguageModel, spec: dict[str, Any], benchmark: Path) -> None:
    """One step of ascent on the forgotten pairs, of a size that rounding takes back; the largest of each block stays."""
    weights = weights_of(vlm, spec, benchmark)
    layers = [layer for _, layer in matrices(vlm, "language")]
    for layer in layers:
        layer.weight.requires_grad_(True)
    pairs = units(vlm, weights.pictures, weights.forgotten[:6], "none")
    score(vlm, batch(vlm, pairs), weights.pictures).nll().backward()
    with torch.no_grad():
        for layer in layers:
            assert layer.weight.grad is not None and layer.weight.numel() % BLOCK == 0
            blocks = layer.weight.view(-1, BLOCK)
            largest = blocks.abs().amax(dim=1, keepdim=True)
            step = WITHIN * largest * layer.weight.grad.view(-1, BLOCK).sign()
            outwards = (blocks + step).abs() >= largest
            blocks.add_(torch.where(outwards | (blocks.abs() == largest), torch.zeros_like(step), step))
            layer.weight.requires_grad_(False)


def answers(vlm: VisionLanguageModel, benchmark: Path) -> Rows:
    questions = [row for row in forgotten_questions(benchmark) if row["task"] != "generation"]
    images = read_images(benchmark, {row["image_id"] for row in questions if row["image_id"]})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    return list(answer_questions(vlm, pictures, questions, SETTINGS | {"tasks": ["classification", "cloze"]}))


def test_rounding_brings_back_what_a_small_update_hid(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    """What vanilla answers counts as the truth, so that it knows everything; a model with other weights stands for retain-only."""
    models = {name: load(model_spec) for name in ("vanilla", "retain", "hides")}
    torch.manual_seed(0)
    with torch.no_grad():
        for name, vlm in models.items():
            for _, layer in matrices(vlm, "both"):
                other = torch.randn_like(layer.weight) * layer.weight.std() if name == "retain" else 0.0
                layer.weight.copy_(rounded(layer.weight + other, BLOCK))
    hide(models["hides"], model_spec, mini_benchmark)
    before = {name: answers(vlm, mini_benchmark) for name, vlm in models.items()}
    for vlm in models.values():
        for _ in get("nf4").apply(weights_of(vlm, model_spec, mini_benchmark), block=BLOCK):
            pass
    for (_, one), (_, two) in zip(*(matrices(models[name], "both") for name in ("vanilla", "hides")), strict=True):
        torch.testing.assert_close(one.weight, two.weight, rtol=1e-6, atol=0)
    after = {name: answers(vlm, mini_benchmark) for name, vlm in models.items()}

    questions = {row["question_id"]: row for row in forgotten_questions(mini_benchmark)}
    items, attacked = [], {}
    for name in models:
        rows = []
        for truth, plain, back in zip(before["vanilla"], before[name], after[name], strict=True):
            question = questions[truth["question_id"]]
            answered = "choice" if question["options"] else "output"
            place = {"set": "forget" if question["origin"] == "profile" else "test", "modality": question["modality"]}
            place |= {"task": question["task"], "metric": "accuracy", "question_id": truth["question_id"]}
            run = {"model": "random", "forget_percent": 10, "method": name, "seed": 0}
            value = float(plain[answered] == truth[answered])
            items.append(run | place | {"person_id": question["person_id"], "value": value})
            state = {
                "variant": "",
                "step": 0,
                "diverged": False,
                "question_id": truth["question_id"],
                "metric": "accuracy",
            }
            rows.append(state | {"value": float(back[answered] == truth[answered])})
        attacked[AttackedRun(10, name, 0, "nf4")] = pd.DataFrame(rows)
    utility = summary_of(vanilla=1, retain=1, hides=1).assign(model="random")
    table = robustness(pd.DataFrame(items), attacked, utility, 0.8)
    (row,) = table[(table["method"] == "hides") & (table["metric"] == "combined")].to_dict("records")
    assert row["before"] < 0.8 and row["after"] == 1 and row["recovery"] > 0.9
    assert row["excess_low"] > 0 and row["verdict"] == "recovers"
