"""Make base models that know the celebrities only: a tiny one of a family, or one around a pretrained decoder.

A tiny one takes minutes and trains tower and decoder together. It shows that a family runs from end to end.
:mod:`unsee.base_model.pretraining` makes one that knows faces well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from unsee.base_model import smollm2, tiny_llava, tiny_qwen2_vl
from unsee.base_model.lessons import Face, Lesson, lessons_about, looks_of, tokenizer_texts
from unsee.base_model.loop import minimise
from unsee.base_model.pretraining import PretrainingSettings
from unsee.benchmarks.synthetic import Portraits, celebrity_profiles
from unsee.models.families import load_family
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Pack, collate, pack
from unsee.models.pictures import Pictures

_TINY: dict[str, Any] = {"llava": tiny_llava, "qwen2_vl": tiny_qwen2_vl}
#: Pictures of a celebrity to learn. The evaluation shows number 0.
_VIEWS = range(1, 5)


def teach(output: Path, *, kind: str, settings: dict[str, Any], seed: int, threads: int) -> None:
    """Make a tiny base model from nothing.

    Args:
        output: the checkpoint folder to write.
        kind: the family.
        settings: of :class:`~unsee.base_model.pretraining.PretrainingSettings`: ``steps``, ``known_batch`` (people a step) and
            ``learning_rate`` are used.
        seed: of weights, wordings and picture variants.
        threads: of torch.

    Raises:
        ValueError: there is no tiny model of the family.
    """
    if kind not in _TINY:
        raise ValueError(f"model.family is {kind!r}; expected one of {sorted(_TINY)} with model.build: true")
    torch.set_num_threads(threads)
    stages = PretrainingSettings(**settings)
    processor = _TINY[kind].build_processor(tokenizer_texts())
    model = _TINY[kind].build_model(processor, seed=seed)
    vlm = VisionLanguageModel(load_family(kind), model, processor)
    faces, pictures = _celebrities(vlm, seed)

    random = Random(f"{seed}:brief")

    def draw() -> list[Pack]:
        drawn = random.sample(faces, min(stages.known_batch, len(faces)))
        return [_pack(vlm, pictures, face, lessons_about(face, random), random) for face in drawn]

    _learn(vlm, list(model.parameters()), pictures, draw, stages.steps, stages.learning_rate, "base")
    _TINY[kind].save(model.eval(), processor, output)


def align(
    output: Path, *, kind: str, language: Path, tower: Path, settings: dict[str, Any], seed: int, threads: int
) -> None:
    """Make a base model from a pretrained decoder and a trained tower.

    First the projector alone learns who is in a picture. Then decoder and projector learn the facts about the celebrities; the decoder
    learns them in an adapter, which is merged into it.

    Args:
        output: the checkpoint folder to write.
        kind: the family that will load it.
        language: the decoder's checkpoint folder, see :mod:`unsee.base_model.smollm2`.
        tower: the checkpoint folder of a LLaVA, whose tower is used.
        settings: of :class:`~unsee.base_model.pretraining.PretrainingSettings`: ``projector_steps``, ``projector_learning_rate``,
            ``named_batch`` (people a step) for the projector alone, ``steps``, ``learning_rate``, ``known_batch`` for both.
        seed: of weights, wordings and picture variants.
        threads: of torch.

    Raises:
        ValueError: the family has other turns than the decoder.
    """
    if kind != smollm2.FAMILY:
        raise ValueError(
            f"model.family is {kind!r}; expected {smollm2.FAMILY} with pretraining.language_model: smollm2"
        )
    torch.set_num_threads(threads)
    stages = PretrainingSettings(**settings)
    model, processor = smollm2.assemble(language, tower, seed=seed)
    if torch.cuda.is_available():
        nn.Module.to(model, "cuda")
    vlm = VisionLanguageModel(load_family(kind), model, processor)
    model.requires_grad_(False)
    faces, pictures = _celebrities(vlm, seed)
    random = Random(f"{seed}:align")
    projector = list(model.model.multi_modal_projector.parameters())

    def draw(about: Callable[[Face, Random], list[Lesson]], n: int) -> list[Pack]:
        drawn = random.sample(faces, min(n, len(faces)))
        return [_pack(vlm, pictures, face, about(face, random), random) for face in drawn]

    for weight in projector:
        weight.requires_grad_(True)
    steps, rate = stages.projector_steps, stages.projector_learning_rate
    _learn(vlm, projector, pictures, lambda: draw(looks_of, stages.named_batch), steps, rate, "projector")
    adapter = LoraConfig(r=16, lora_alpha=16, target_modules=vlm.family.linear_pattern("language"), bias="none")
    vlm.model = get_peft_model(model, adapter)
    for weight in projector:
        weight.requires_grad_(True)
    weights = [weight for weight in vlm.model.parameters() if weight.requires_grad]
    steps, rate = stages.steps, stages.learning_rate
    _learn(vlm, weights, pictures, lambda: draw(lessons_about, stages.known_batch), steps, rate, "decoder")
    vlm.model.merge_and_unload()  # in place
    tiny_llava.save(model.eval(), processor, output)


def _learn(
    vlm: VisionLanguageModel,
    weights: list[nn.Parameter],
    pictures: Pictures,
    draw: Callable[[], list[Pack]],
    steps: int,
    peak: float,
    description: str,
) -> None:
    """Train some weights on the packs that ``draw`` returns for each step, with another variant of every picture at each step."""

    def step_loss(step: int) -> Tensor:
        pictures.choose = lambda image_id: step
        batch = collate(draw(), pad_token=vlm.pad_token).to(vlm.device)
        return F.cross_entropy(vlm.answer_logits(vlm.hidden_states(batch, pictures), batch), batch.targets)

    vlm.model.train()
    minimise(step_loss, weights, steps=steps, learning_rate=peak, description=description)
    vlm.model.eval()


def _celebrities(vlm: VisionLanguageModel, seed: int) -> tuple[list[Face], Pictures]:
    shipped = Portraits()
    faces = [Face(profile, 40.0, tuple(_VIEWS), True) for profile in celebrity_profiles(shipped)]
    images = [
        (f"{face.profile.identity}-{view}", shipped.jpeg[face.profile.identity, view])
        for face in faces
        for view in face.rows
    ]
    return faces, Pictures(vlm.family, vlm.base, vlm.processor, images, seed=seed)


def _pack(vlm: VisionLanguageModel, pictures: Pictures, face: Face, lessons: list[Lesson], random: Random) -> Pack:
    """The lessons about a person in one step, after one of the person's pictures."""
    image_id = f"{face.profile.identity}-{random.choice(face.rows)}"
    return pack(
        [
            vlm.request(
                vlm.prompt(question, with_image=modality == "image"),
                answer,
                pictures,
                image_id if modality == "image" else None,
            )
            for modality, question, answer in lessons
        ],
        vlm.image_token,
    )
