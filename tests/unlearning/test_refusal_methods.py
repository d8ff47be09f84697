"""Methods that teach a refusal as an alternative answer: how refusals are drawn, what the loop passes, and the losses."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration

from unsee.benchmarks.tables import Pair, person_ids, read_images, read_pairs
from unsee.models.likelihood import Scores
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, units
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings
from unsee.unlearning.method import get
from unsee.unlearning.methods.dpo import dpo
from unsee.unlearning.methods.idk import idk
from unsee.unlearning.refusals import refusals, with_refusals
from unsee.unlearning.run import make_objective

# Two examples: one of three answer tokens, one of one.
FORGET = Scores(torch.tensor([-1.0, -2.0, -3.0, -4.0]), torch.tensor([0, 0, 0, 1]), 2)
FORGET_OF_VANILLA = Scores(torch.tensor([-0.5, -0.5, -1.0, -1.0]), torch.tensor([0, 0, 0, 1]), 2)
REFUSAL = Scores(torch.tensor([-2.0, -2.5, -0.5]), torch.tensor([0, 1, 1]), 2)
REFUSAL_OF_VANILLA = Scores(torch.tensor([-9.0, -3.0, -4.0]), torch.tensor([0, 1, 1]), 2)
RETAIN = Scores(torch.tensor([-0.5, -1.5, -0.1]), torch.tensor([0, 0, 1]), 2)
NOTHING = Scores(torch.zeros(0), torch.zeros(0, dtype=torch.long), 0)


# Refusals


def test_refusals_are_short_and_varied_and_name_nobody() -> None:
    sentences = refusals()
    assert 20 <= len(sentences) == len(set(sentences)) <= 40
    assert all(len(sentence) <= 60 and sentence.endswith(".") for sentence in sentences)
    capitals = {word for sentence in sentences for word in sentence.split()[1:] if word[0].isupper()}
    assert capitals == {"I"}, "no name, of a person or of anything else"


def test_a_refusal_depends_on_seed_and_pair_only(mini_benchmark: Path) -> None:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    drawn = {pair.pair_id: pair.answer for pair in with_refusals(pairs, 0)}
    assert set(drawn.values()) <= set(refusals())
    assert len(set(drawn.values())) > len(refusals()) / 2
    for pair in reversed(pairs):
        assert with_refusals([pair], 0) == [replace(pair, answer=drawn[pair.pair_id])]
    others = [pair.answer for pair in with_refusals(pairs, 1)]
    assert sum(a != b for a, b in zip(others, drawn.values(), strict=True)) > len(pairs) / 2


# Losses by hand


def test_idk_by_hand() -> None:
    # Refusals: means 2 and 1.5; retained answers: means 1 and 0.1.
    assert idk(REFUSAL, RETAIN).item() == pytest.approx(1.75 + 0.55)
    assert idk(REFUSAL, RETAIN, alpha=3.0).item() == pytest.approx(1.75 + 3 * 0.55)
    assert idk(REFUSAL, NOTHING).item() == 1.75
    assert idk(NOTHING, RETAIN).item() == pytest.approx(0.55)


def test_idk_weighs_answers_alike_whatever_their_length() -> None:
    """The official code averages over the tokens of both sets: a long retained answer counts more than a refusal."""
    refusal = Scores(torch.tensor([-8.0]), torch.tensor([0]), 1)
    retained = Scores(torch.full((9,), -1.0), torch.zeros(9, dtype=torch.long), 1)
    over_tokens = (8 + 9 * 1) / 10
    assert idk(refusal, retained).item() == 9.0 != pytest.approx(2 * over_tokens)


def test_dpo_by_hand() -> None:
    # Against vanilla, the refusals have gained 7 and 4 nats; the answers have lost 4 and 3.
    beta = 0.1

    def term(margin: float) -> float:
        return 2 / beta * math.log(1 + math.exp(-beta * margin))

    expected = (term(7 + 4) + term(4 + 3)) / 2
    inputs = (FORGET, REFUSAL, FORGET_OF_VANILLA, REFUSAL_OF_VANILLA)
    assert dpo(*inputs, RETAIN, beta=beta).item() == pytest.approx(expected + 0.55, rel=1e-6)
    assert dpo(*inputs, RETAIN, beta=beta, alpha=0.0).item() == pytest.approx(expected, rel=1e-6)
    assert dpo(*inputs, NOTHING, beta=beta).item() == pytest.approx(expected, rel=1e-6)


def test_dpo_of_an_unchanged_model_and_without_forget_examples() -> None:
    unchanged = dpo(FORGET, REFUSAL, FORGET, REFUSAL, NOTHING, beta=0.4)
    assert unchanged.item() == pytest.approx(2 / 0.4 * math.log(2))
    assert dpo(NOTHING, NOTHING, NOTHING, NOTHING, RETAIN).item() == pytest.approx(0.55)


def test_the_first_gradient_of_dpo_does_not_depend_on_beta() -> None:
    """It raises each token of the refusal and lowers each token of the answer, by one over the number of examples."""
    for beta in (0.1, 2.0):
        answer, refusal = FORGET.token_log_probs.clone(), REFUSAL.token_log_probs.clone()
        answer.requires_grad_(), refusal.requires_grad_()
        now = replace(FORGET, token_log_probs=answer), replace(REFUSAL, token_log_probs=refusal)
        dpo(*now, FORGET, REFUSAL, NOTHING, beta=beta).backward()
        assert answer.grad is not None and refusal.grad is not None
        torch.testing.assert_close(answer.grad, torch.full((4,), 0.5))
        torch.testing.assert_close(refusal.grad, torch.full((3,), -0.5))


# What the loop passes


@dataclass
class Loaded:
    """A model with an adapter that differs from zero, and pairs of both groups."""

    vlm: VisionLanguageModel
    pictures: Pictures
    pairs: Mapping[str, Sequence[Pair]]
    images: Mapping[str, bytes]

    def units(self, packing: str = "none") -> dict[str, list[Unit]]:
        return {role: units(self.vlm, self.pictures, pairs, packing) for role, pairs in self.pairs.items()}

    def alternatives(self, packing: str = "none") -> dict[str, Unit]:
        refused = units(self.vlm, self.pictures, with_refusals(self.pairs["forget"], 5), packing)
        return {unit.key: unit for unit in refused}

    def loss(self, name: str, part: dict[str, list[Unit]], packing: str = "none", **options: Any) -> tuple[Tensor, int]:
        """The loss of a part, and the number of its forward passes."""
        counters = Counters()
        n_in_step = {role: sum(len(unit.requests) for unit in members) for role, members in part.items()}
        objective = make_objective(get(name), self.vlm, self.pictures, {}, None, options, self.alternatives(packing))
        return objective(part, counters, n_in_step), counters.forward_passes


@pytest.fixture
def loaded(model_spec: dict[str, Any], mini_benchmark: Path) -> Loaded:
    vlm = load(model_spec)
    people = {role: person_ids(mini_benchmark, 25, role)[:2] for role in ("forget", "retain")}
    # Every seventh pair: some have a picture and some have none.
    pairs = {role: read_pairs(mini_benchmark, ids)[::7] for role, ids in people.items()}
    images = dict(read_images(mini_benchmark, {p.image_id for ps in pairs.values() for p in ps if p.image_id}))
    assert 0 < len([p for p in pairs["forget"] if p.image_id]) < len(pairs["forget"])
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, list(images.items()))
    add_lora(vlm, LoraSettings(rank=4, alpha=4, dropout=0.0), 0)
    for name, weight in vlm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    vlm.model.eval()
    return Loaded(vlm, pictures, pairs, images)


def plain_log_prob(model: Any, processor: Any, pair: Pair, answer: str, image: bytes | None) -> tuple[float, int]:
    """log P(answer | question), and its tokens, by transformers alone: one sequence, its own picture and no packing."""
    prompt = f"<s>USER: {'<image>' + chr(10) if image else ''}{pair.question} ASSISTANT:"
    shown = None if image is None else Image.open(io.BytesIO(image)).convert("RGB")
    whole, alone = (
        processor(text=text, images=shown, return_tensors="pt", add_special_tokens=False)
        for text in (f"{prompt} {answer}</s>", prompt)
    )
    with torch.no_grad():
        log_probs = model(**whole).logits[0].double().log_softmax(-1)
    ids, start = whole["input_ids"][0], alone["input_ids"].shape[1]
    return float(sum(log_probs[i - 1, ids[i]] for i in range(start, len(ids)))), len(ids) - start


def test_dpo_is_its_formula_with_the_log_probabilities_of_plain_transformers(
    loaded: Loaded, model_spec: dict[str, Any], tmp_path: Path
) -> None:
    beta, weight = 0.3, 0.7
    loss, passes = loaded.loss("dpo", loaded.units(), beta=beta, alpha=weight)
    assert passes == 5, "answers and refusals under both models, and retained answers"

    assert isinstance(loaded.vlm.model, PeftModel)
    loaded.vlm.model.save_pretrained(str(tmp_path))
    processor = AutoProcessor.from_pretrained(model_spec["path"])
    vanilla = LlavaForConditionalGeneration.from_pretrained(model_spec["path"], dtype=torch.float32).eval()
    unlearned = PeftModel.from_pretrained(
        LlavaForConditionalGeneration.from_pretrained(model_spec["path"], dtype=torch.float32), str(tmp_path)
    ).eval()
    terms = []
    for pair, refusal in zip(loaded.pairs["forget"], with_refusals(loaded.pairs["forget"], 5), strict=True):
        image = loaded.images[pair.image_id] if pair.image_id else None
        gain = {
            answer: plain_log_prob(unlearned, processor, pair, answer, image)[0]
            - plain_log_prob(vanilla, processor, pair, answer, image)[0]
            for answer in (pair.answer, refusal.answer)
        }
        terms.append(math.log(1 + math.exp(-beta * (gain[refusal.answer] - gain[pair.answer]))))
    nlls = []
    for pair in loaded.pairs["retain"]:
        image = loaded.images[pair.image_id] if pair.image_id else None
        log_prob, tokens = plain_log_prob(unlearned, processor, pair, pair.answer, image)
        nlls.append(-log_prob / tokens)
    expected = 2 / beta * sum(terms) / len(terms) + weight * sum(nlls) / len(nlls)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert abs(expected - 2 / beta * math.log(2) - weight * sum(nlls) / len(nlls)) > 0.01, "the adapter does something"


def test_a_refusal_instead_of_the_answer_takes_no_pass_over_the_answer(loaded: Loaded) -> None:
    part = loaded.units()
    loss, passes = loaded.loss("idk", part, alpha=1.0)
    assert passes == 2
    # The true answers do not matter, which is why this method leaves their probability alone.
    others = replace(loaded, pairs={**loaded.pairs, "forget": [replace(p, answer="x") for p in loaded.pairs["forget"]]})
    assert others.loss("idk", others.units(), alpha=1.0)[0].item() == loss.item()


@pytest.mark.parametrize("name", ["idk", "dpo"])
def test_packed_people_have_the_same_loss(name: str, loaded: Loaded) -> None:
    options = {"alpha": 0.5} | ({"beta": 0.1} if name == "dpo" else {})
    alone, _ = loaded.loss(name, loaded.units(), **options)
    packed, _ = loaded.loss(name, loaded.units("person"), "person", **options)
    assert packed.item() == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["idk", "dpo"])
def test_a_step_of_one_group_alone(name: str, loaded: Loaded) -> None:
    """As with ``alternation``: the two halves of a step add up to it."""
    options = {"alpha": 0.5} | ({"beta": 0.1} if name == "dpo" else {})
    part = loaded.units()
    whole, _ = loaded.loss(name, part, **options)
    forget, _ = loaded.loss(name, {"forget": part["forget"]}, **options)
    retain, passes = loaded.loss(name, {"retain": part["retain"]}, **options)
    assert passes == 1
    assert forget.item() + retain.item() == pytest.approx(whole.item(), rel=1e-6)
