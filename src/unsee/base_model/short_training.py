"""Base models that are taught the celebrities alone: a tiny one of any family, or one around a pretrained decoder.

A tiny one takes minutes, tower and decoder together, and shows that a family runs from end to end; one that knows faces well is made
by :mod:`unsee.base_model.pretraining`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import nn
from tqdm import tqdm

from unsee.base_model import smollm2, tiny_llava, tiny_qwen2_vl
from unsee.base_model.pretraining import AGE_QUESTION, Face, PretrainingSettings, Triple, one_cycle, said, texts
from unsee.benchmarks.synthetic import Portraits, celebrity_profiles
from unsee.models.families import load_family
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Pack, collate, pack
from unsee.models.pictures import Pictures

log = logging.getLogger(__name__)

_TINY: dict[str, Any] = {"llava": tiny_llava, "qwen2_vl": tiny_qwen2_vl}
#: Views of a celebrity that are learned; the evaluation shows the first.
_VIEWS = range(1, 5)


def teach(output: Path, *, kind: str, settings: dict[str, Any], seed: int, threads: int) -> None:
    """Make a tiny base model from nothing.

    Args:
        output: the checkpoint folder to write.
        kind: the family.
        settings: of :class:`~unsee.base_model.pretraining.PretrainingSettings`: ``steps``, ``known_batch`` (people a step) and
            ``learning_rate`` count here.
        seed, threads: as everywhere.

    Raises:
        ValueError: the family has no tiny model.
    """
    if kind not in _TINY:
        raise ValueError(f"model.family is {kind!r}; expected one of {sorted(_TINY)} with model.build: true")
    torch.set_num_threads(threads)
    chosen = PretrainingSettings(**settings)
    processor = _TINY[kind].build_processor(texts())
    model = _TINY[kind].build_model(processor, seed=seed)
    vlm = VisionLanguageModel(load_family(kind), model, processor)
    faces, pictures = _celebrities(vlm, seed)

    random = Random(f"{seed}:brief")

    def draw() -> list[Pack]:
        chosen_faces = random.sample(faces, min(chosen.known_batch, len(faces)))
        return [_pack(vlm, pictures, face, said(face, random), random) for face in chosen_faces]

    _learn(vlm, list(model.parameters()), pictures, draw, chosen.steps, chosen.learning_rate, "base")
    _TINY[kind].save(model.eval(), processor, output)


def align(
    output: Path, *, kind: str, language: Path, tower: Path, settings: dict[str, Any], seed: int, threads: int
) -> None:
    """Make a base model of a pretrained decoder and a trained tower.

    First the projector alone learns to say in the decoder's words who is shown; then decoder and projector learn
    the celebrities' facts, the decoder through an adapter that is merged into it.

    Args:
        output: the checkpoint folder to write.
        kind: the family that it will be read as.
        language: the decoder's checkpoint folder, see :mod:`unsee.base_model.smollm2`.
        tower: a LLaVA's, with the tower.
        settings: of :class:`~unsee.base_model.pretraining.PretrainingSettings`: ``projector_steps``, ``projector_learning_rate``,
            ``named_batch`` (people a step) for the projector alone, ``steps``, ``learning_rate``, ``known_batch`` for both.
        seed, threads: as everywhere.

    Raises:
        ValueError: another family, whose turns are not the decoder's.
    """
    if kind != smollm2.FAMILY:
        raise ValueError(
            f"model.family is {kind!r}; expected {smollm2.FAMILY} with pretraining.language_model: smollm2"
        )
    torch.set_num_threads(threads)
    chosen = PretrainingSettings(**settings)
    model, processor = smollm2.assemble(language, tower, seed=seed)
    if torch.cuda.is_available():
        nn.Module.to(model, "cuda")
    vlm = VisionLanguageModel(load_family(kind), model, processor)
    model.requires_grad_(False)
    faces, pictures = _celebrities(vlm, seed)
    random = Random(f"{seed}:align")
    projector = list(model.model.multi_modal_projector.parameters())

    def draw(about: Callable[[Face, Random], list[Triple]], n: int) -> list[Pack]:
        chosen_faces = random.sample(faces, min(n, len(faces)))
        return [_pack(vlm, pictures, face, about(face, random), random) for face in chosen_faces]

    for weight in projector:
        weight.requires_grad_(True)
    steps, rate = chosen.projector_steps, chosen.projector_learning_rate
    _learn(vlm, projector, pictures, lambda: draw(looks, chosen.named_batch), steps, rate, "projector")
    adapter = LoraConfig(r=16, lora_alpha=16, target_modules=vlm.family.linear_pattern("language"), bias="none")
    vlm.model = get_peft_model(model, adapter)
    for weight in projector:
        weight.requires_grad_(True)
    weights = [weight for weight in vlm.model.parameters() if weight.requires_grad]
    steps, rate = chosen.steps, chosen.learning_rate
    _learn(vlm, weights, pictures, lambda: draw(said, chosen.known_batch), steps, rate, "decoder")
    vlm.model.merge_and_unload()  # in place
    tiny_llava.save(model.eval(), processor, output)


def looks(face: Face, random: Random) -> list[Triple]:
    """What a picture shows: who it is, and a man or a woman."""
    return [triple for triple in said(replace(face, known=False), random) if triple[1] != AGE_QUESTION]


def _learn(
    vlm: VisionLanguageModel,
    weights: list[nn.Parameter],
    pictures: Pictures,
    draw: Callable[[], list[Pack]],
    steps: int,
    peak: float,
    description: str,
) -> None:
    """Train these weights on what is drawn for each step, every picture in another variant each time."""
    optimizer = torch.optim.AdamW(weights, lr=peak, weight_decay=0.02, betas=(0.9, 0.98))
    vlm.model.train()
    started = time.monotonic()
    progress = tqdm(range(steps), desc=description, mininterval=10)
    for step in progress:
        pictures.choose = lambda image_id, step=step: step  # type: ignore[misc]
        batch = collate(draw(), pad_token=vlm.pad_token).to(vlm.device)
        logits = vlm.answer_logits(vlm.hidden_states(batch, pictures), batch)
        loss = F.cross_entropy(logits, batch.targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        one_cycle(optimizer, step, steps, peak)
        optimizer.step()
        if step == 0 or step % 20 == 19:
            log.info("%s: loss %.3f at step %d", description, loss.item(), step + 1)
    vlm.model.eval()
    log.info("%s: %d steps, %.2f s each", description, steps, (time.monotonic() - started) / max(1, steps))


def _celebrities(vlm: VisionLanguageModel, seed: int) -> tuple[list[Face], Pictures]:
    shipped = Portraits()
    faces = [Face(profile, 40.0, tuple(_VIEWS), True) for profile in celebrity_profiles(shipped)]
    images = [
        (f"{face.profile.identity}-{view}", shipped.jpeg[face.profile.identity, view])
        for face in faces
        for view in face.rows
    ]
    return faces, Pictures(vlm.family, vlm.base, vlm.processor, images, seed=seed)


def _pack(vlm: VisionLanguageModel, pictures: Pictures, face: Face, triples: list[Triple], random: Random) -> Pack:
    """What is said about a face in a step, behind one of its pictures."""
    image_id = f"{face.profile.identity}-{random.choice(face.rows)}"
    return pack(
        [
            vlm.request(
                vlm.prompt(question, with_image=modality == "image"),
                answer,
                pictures,
                image_id if modality == "image" else None,
            )
            for modality, question, answer in triples
        ],
        vlm.image_token,
    )
