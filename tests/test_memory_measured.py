"""The arithmetic of unsee.memory against measured peaks: real widths and vocabularies, one and two blocks, on a CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.initialization import no_init_weights

from tests.live_bytes import LiveBytes
from tools import memory_page
from unsee import memory
from unsee.base_model import tiny_llava
from unsee.benchmarks import question_templates
from unsee.benchmarks.tables import read_images, read_table
from unsee.evaluation import engine
from unsee.evaluation.predict import answer_questions
from unsee.models import attention, packing
from unsee.models.families import load_family
from unsee.models.half import compute_in_float32
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Request
from unsee.models.pictures import Pictures
from unsee.training.batches import Unit, batch
from unsee.training.loop import train
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import catalogue
from unsee.unlearning.method import Context, get
from unsee.unlearning.run import UNTRAINED, make_objective

TOLERANCE = 0.15
MB = 2**20
IMAGE_TOKEN = 4
VANILLA_RANK = 8


def nop(module: nn.Module) -> None:
    """No random weights."""


def build(kind: str, layers: int, *, side: int = 336, pixels: int = 14) -> Any:
    """A model of real width with random weights in bfloat16, and a tower of two blocks."""
    model: Any
    torch.set_default_dtype(torch.bfloat16)
    try:
        # What torch and transformers would draw takes a minute, and is replaced below.
        with (
            no_init_weights(),
            patch.multiple(nn.Linear, reset_parameters=nop),
            patch.multiple(nn.Embedding, reset_parameters=nop),
        ):
            if kind == "llava":
                text = LlamaConfig(vocab_size=32064, num_hidden_layers=layers, max_position_embeddings=4096)
                vision = CLIPVisionConfig(
                    hidden_size=1024,
                    intermediate_size=4096,
                    num_hidden_layers=2,
                    num_attention_heads=16,
                    image_size=side,
                    patch_size=pixels,
                )
                model = LlavaForConditionalGeneration(
                    LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE_TOKEN)
                )
            else:
                decoder = {
                    "vocab_size": 152064,
                    "hidden_size": 3584,
                    "intermediate_size": 18944,
                    "num_hidden_layers": layers,
                    "num_attention_heads": 28,
                    "num_key_value_heads": 4,
                    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
                }
                tower = {"depth": 2, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16}
                model = Qwen2VLForConditionalGeneration(
                    Qwen2VLConfig(text_config=decoder, vision_config=tower, image_token_id=IMAGE_TOKEN)
                )
    finally:
        torch.set_default_dtype(torch.float32)
    noise = torch.empty(2**20 + 7).uniform_(-0.01, 0.01, generator=torch.Generator().manual_seed(0)).bfloat16()
    for name, weight in model.named_parameters():
        for part in weight.data.view(-1).split(len(noise)):  # as fast as copying
            part.copy_(noise[: len(part)])
        if "norm" in name:
            weight.data.fill_(1.0)
    return model


def load(kind: str, model: Any, processor: Any) -> VisionLanguageModel:
    """As unsee.models.model.load does, with vanilla's adapter beside the weights."""
    model.eval().requires_grad_(False)
    compute_in_float32(model)
    family = load_family(kind)
    decoder: Any = family.language_model(model)
    decoder.set_attn_implementation(attention.NAME)
    for module in decoder.modules():
        if isinstance(module, nn.Linear):
            module.add(
                torch.full((VANILLA_RANK, module.in_features), 1e-4), torch.zeros(module.out_features, VANILLA_RANK)
            )  # type: ignore[operator]
    return VisionLanguageModel(family, model, processor)


def shapes_of(vlm: VisionLanguageModel, resident: int, picture_tokens: int) -> memory.Shapes:
    """The shapes of a built model; its weights as they lie in memory."""
    text = vlm.base.config.get_text_config()
    return memory.Shapes(
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        feed_forward=text.intermediate_size,
        heads=text.num_attention_heads,
        key_value_heads=text.num_key_value_heads,
        head_width=text.hidden_size // text.num_attention_heads,
        vocabulary=text.vocab_size,
        tied=False,
        tower=memory.Tower(2, 1024, 4096, picture_tokens + 1, (), (), (), picture_tokens),
        picture_tokens=picture_tokens,
        context=4096,
        stored=2,
        counted=resident // 2,
    )


class NoPictures:
    """Features of pictures, without a tower."""

    def __init__(self, features: torch.Tensor) -> None:
        self._features = features

    def freeze_training_state(self) -> None:
        """As :class:`Pictures`."""

    def vary_by_epoch(self, epoch: int) -> None:
        """As :class:`Pictures`."""

    def features(self, image_ids: list[str]) -> list[torch.Tensor]:
        """One tensor for all."""
        return [self._features for _ in image_ids]


@dataclass(frozen=True)
class Case:
    """A job, and what it is about: tokens of a picture, of the words behind it, and of the answer among these."""

    job: str
    kind: str
    layers: int
    picture: int
    words: int
    answer: int
    checkpointing: bool = False
    piece: int = 2**20
    optimizer: str = "sgd"

    @property
    def name(self) -> str:
        """As a row of the page says it."""
        size = f"{self.layers} block{'s' if self.layers > 1 else ''}"
        how = ", checkpointing" if self.checkpointing else ""
        model = {"llava": "LLaVA-1.5", "qwen2_vl": "Qwen2-VL"}[self.kind]
        return f"{self.job} | {model}, {size} | {self.picture} + {self.words}{how}"


CASES = [
    Case("finetune", "llava", 1, 576, 64, 32, piece=memory.PIECE),
    Case("finetune", "llava", 2, 0, 64, 32, checkpointing=True, optimizer="adam"),
    Case("ga", "llava", 2, 0, 64, 32),
    Case("ga_diff", "llava", 1, 0, 64, 32),
    Case("kl_min", "llava", 1, 0, 64, 48),
    Case("dpo", "llava", 1, 0, 64, 32),
    Case("rmu", "llava", 1, 0, 64, 32),
    Case("undial", "llava", 1, 0, 64, 48),
    Case("ce_u", "llava", 1, 0, 64, 48),
    Case("mmunlearner", "llava", 1, 0, 64, 32),
    Case("mmunlearner", "llava", 2, 0, 64, 32, checkpointing=True),
    Case("vl_eraser", "llava", 1, 32, 32, 16),
    Case("vl_eraser", "llava", 2, 32, 32, 16, checkpointing=True),
    Case("kvw", "llava", 2, 320, 64, 16),
    Case("finetune", "qwen2_vl", 1, 0, 64, 16),
    Case("kl_min", "qwen2_vl", 1, 0, 64, 16, checkpointing=True),
]


def row(name: str, predicted: float, measured: float) -> str:
    """A row of docs/memory.md."""
    return f"| {name} | {predicted / MB:.0f} | {measured / MB:.0f} | {predicted / measured:.2f} |\n"


def check(name: str, predicted: float, measured: float) -> None:
    """Hold a prediction to what was measured, and the page to having such a row; with ``WRITE_PAGES`` set, write it."""
    page = memory_page.PAGE.read_text(encoding="utf-8")
    start, end = "<!-- measured -->\n", "<!-- end of measured -->\n"
    rows = page.split(start)[1].split(end)[0].splitlines(keepends=True)[2:]
    if os.environ.get("WRITE_PAGES"):
        order = [case.name for case in CASES]
        rows = [old for old in rows if not old.startswith(f"| {name} |")] + [row(name, predicted, measured)]
        rows.sort(
            key=lambda line: next((i for i, case_name in enumerate(order) if line.startswith(f"| {case_name} |")), 99)
        )
        head = "| job | model | picture + words, tokens | predicted, MB | measured, MB | ratio |\n|---|---|---|--:|--:|--:|\n"
        memory_page.PAGE.write_text(memory_page.between(page, "measured", head + "".join(rows)), encoding="utf-8")
    assert abs(predicted / measured - 1) <= TOLERANCE, row(name, predicted, measured)
    assert any(line.startswith(f"| {name} |") for line in rows), (
        f"docs/memory.md lacks this row:\n{row(name, predicted, measured)}"
    )


def unit(case: Case, group: int) -> Unit:
    """A pair of a picture, words and an answer; others are others."""
    prompt = [1, *[IMAGE_TOKEN] * case.picture, *range(5 + group, 4 + case.words - case.answer + group)]
    positions = np.tile(np.arange(len(prompt) + case.answer), (3, 1)) if case.kind == "qwen2_vl" else None
    images = (("a", 1),) if case.picture else ()
    return Unit(f"{group}", (Request(tuple(prompt), tuple(range(300, 300 + case.answer)), images, positions),))


def train_under(case: Case, output: Path) -> tuple[float, float]:
    """(predicted, measured) bytes above the weights of a training job: a step, and with Adam one more, which finds its moments there."""
    processor = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0, eos_token_id=2, bos_token=None))
    vlm = load(case.kind, build(case.kind, case.layers), processor)
    width = vlm.base.config.get_text_config().hidden_size
    pictures: Any = NoPictures(torch.full((case.picture, width), 0.01))
    lora = {"rank": 8, "alpha": 8, "dropout": 0.05, "scope": "language"}
    shared = {"batch_size": 1, "gradient_checkpointing": case.checkpointing, "optimizer": case.optimizer}
    settings = TrainingSettings(
        learning_rate=1e-5, steps=1 + (case.optimizer == "adam"), lora=LoraSettings(**lora), **shared
    )  # type: ignore[arg-type]
    # Two of each: MMUnlearner's squared gradients take as many at once as a step has.
    groups = {"forget": [unit(case, 0), unit(case, 1)], "retain": [unit(case, 2), unit(case, 3)]}
    objective: Callable[..., torch.Tensor]
    resident = [*vlm.base.parameters(), *vlm.base.buffers(), pictures._features]
    options: dict[str, Any] = {}
    method = None if case.job == "finetune" else get(case.job)
    with LiveBytes(resident) as live:
        state = None
        if method is None:
            add_lora(vlm, settings.lora, 0)
            groups = {"forget": groups["forget"]}

            def objective(part: Any, *_: Any) -> torch.Tensor:
                return score(vlm, batch(vlm, part["forget"]), pictures).nll()
        else:
            options = {key: option.default for key, option in catalogue.read()[case.job].options.items()}
            context = Context(vlm, pictures, groups, settings, 0, Counters(), output)
            if method.prepare is None:
                add_lora(vlm, settings.lora, 0)
            else:
                taken = signature(method.prepare).parameters
                state = method.prepare(context, **{key: value for key, value in options.items() if key in taken})
            retained = method.needs.with_options(options).retain_examples
            groups = groups if retained else {"forget": groups["forget"]}
            # A refusal as long as the answer.
            alternatives = {example.key: replace(unit(case, 4), key=example.key) for example in groups["forget"]}
            objective = make_objective(method, vlm, pictures, {}, state, options, alternatives)
        train(vlm, pictures, groups, objective, settings, seed=0, description=case.job)
    lengths = memory.Lengths(case.words, case.answer, 1, 0, 0, 0, (1, 1), 1)
    need = memory.training(
        shapes_of(vlm, live.start, case.picture),
        lengths,
        {**shared, "lora": lora},
        needs=method.needs if method else None,
        method=case.job,
        options=options,
        retained=1,
        on_gpu=False,
    )
    return need.bytes - need.parts["weights"], live.above


def read_under(case: Case, output: Path) -> tuple[float, float]:
    """(predicted, measured) bytes above the weights of a job that does not train."""
    processor = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0, eos_token_id=2, bos_token=None))
    vlm = load(case.kind, build(case.kind, case.layers), processor)
    pictures: Any = NoPictures(torch.full((case.picture, vlm.base.config.get_text_config().hidden_size), 0.01))
    in_words = replace(case, picture=0)
    groups = {group: [unit(case, 2 * i), unit(in_words, 2 * i + 1)] for i, group in enumerate(("forget", "retain"))}
    options = {key: option.default for key, option in catalogue.read()[case.job].options.items()}
    context = Context(vlm, pictures, groups, TrainingSettings(**UNTRAINED), 0, Counters(), output)
    with LiveBytes([*vlm.base.parameters(), *vlm.base.buffers(), pictures._features]) as live:
        get(case.job).loss(context, **options)
    lengths = memory.Lengths(case.words, case.answer, 1, 0, 0, 0, (1, 1), 1)
    need = memory.reading(shapes_of(vlm, live.start, case.picture), lengths, beside=VANILLA_RANK, gated=True)
    return need.bytes - need.parts["weights"] - need.parts["vanilla's adapter"], live.above


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_training_takes_what_the_arithmetic_says(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what lies above the weights: with them, a prediction would hold by the weights alone."""
    # Small pieces, or the float32 copy of one would hide the activations.
    monkeypatch.setattr("unsee.models.half.PIECE", case.piece)
    monkeypatch.setattr("unsee.memory.blocks.PIECE", case.piece)
    trains = case.job == "finetune" or get(case.job).needs.training
    check(case.name, *(train_under if trains else read_under)(case, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("packs", [1, 2])
def test_answering_takes_what_the_arithmetic_says(
    packs: int, mini_benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsee.models.half.PIECE", 2**20)
    monkeypatch.setattr("unsee.memory.blocks.PIECE", 2**20)
    monkeypatch.setattr(packing, "blocks", lambda ends, seen: None)  # a GPU has a mask instead
    processor = tiny_llava.build_processor(question_templates.vocabulary(), vocabulary_size=1000)
    model = build("llava", 2, side=96, pixels=24)
    model.config.image_token_index = processor.tokenizer.convert_tokens_to_ids("<image>")
    vlm = load("llava", model, processor)
    rows = [row for row in read_table(mini_benchmark, "questions").to_pylist() if row["origin"] == "profile"]
    people = sorted({row["person_id"] for row in rows})[:packs]
    questions = [row for row in rows if row["person_id"] in people and row["image_id"]]
    images = read_images(mini_benchmark, {row["image_id"] for row in questions if row["image_id"]})
    pictures = Pictures(vlm.family, vlm.base, processor, images)
    packed_tasks: list[tuple[int, int, int]] = []
    pack = engine.pack

    def noting(requests: Any, image_token: int) -> Any:
        packed = pack(requests, image_token)
        options = sum(len(request.answer) for request in requests)
        packed_tasks.append((len(packed), options, sum(not request.answer for request in requests)))
        return packed

    monkeypatch.setattr(engine, "pack", noting)
    settings = {
        "protocol": "unsee",
        "classification": "likelihood",
        "cloze_rule": "exact",
        "batch_size": packs,
        "max_new_tokens": 3,
    }
    with LiveBytes([*vlm.base.parameters(), *vlm.base.buffers()]) as live:
        answer_questions(vlm, pictures, questions, settings)
    shapes = shapes_of(vlm, live.start, 16)
    # Each task is read and decoded in passes of its own: the largest of them counts.
    needs = [
        memory.answering(
            shapes, memory.Lengths(0, 0, 0, tokens - 16, options, opened, (1, 1), 1), settings, beside=VANILLA_RANK
        )
        for tokens, options, opened in packed_tasks
    ]
    predicted = max(need.bytes - need.parts["weights"] - need.parts["adapters"] for need in needs)
    tokens = max(length for length, _, _ in packed_tasks)
    check(
        f"predict, {packs} pack{'s' if packs > 1 else ''} | LLaVA-1.5, 2 blocks | 16 + {tokens - 16}",
        predicted,
        live.above,
    )
