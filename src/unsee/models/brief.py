"""A tiny base model of any family taught in minutes: the celebrities' faces and facts, tower and decoder together.

It shows that a family runs from end to end; a base that knows faces well is made by :mod:`unsee.models.pretraining`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from unsee.benchmarks.synthetic import Portraits, celebrity_profiles
from unsee.models import tiny, tiny_qwen2_vl
from unsee.models.family import family
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Pack, collate, pack
from unsee.models.pictures import Pictures
from unsee.models.pretraining import Face, PretrainingSettings, one_cycle, said, texts

log = logging.getLogger(__name__)

_TINY: dict[str, Any] = {"llava": tiny, "qwen2_vl": tiny_qwen2_vl}
#: Views of a celebrity that are learned; the evaluation shows the first.
_VIEWS = range(1, 5)


def teach(output: Path, *, kind: str, settings: dict[str, Any], seed: int, threads: int) -> None:
    """Make a tiny base model from nothing.

    Args:
        output: the checkpoint folder to write.
        kind: the family.
        settings: of :class:`~unsee.models.pretraining.PretrainingSettings`: ``steps``, ``known_batch`` (people a step) and
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
    vlm = VisionLanguageModel(family(kind), model, processor)
    faces, pictures = _celebrities(vlm, seed)

    optimizer = torch.optim.AdamW(model.parameters(), lr=chosen.learning_rate, weight_decay=0.02, betas=(0.9, 0.98))
    random = Random(f"{seed}:brief")
    model.train()
    progress = tqdm(range(chosen.steps), desc="base", mininterval=10)
    for step in progress:
        pictures.choose = lambda image_id, step=step: step  # type: ignore[misc]
        packs = [
            _pack(vlm, pictures, face, random) for face in random.sample(faces, min(chosen.known_batch, len(faces)))
        ]
        batch = collate(packs, pad_token=vlm.pad_token)
        logits = vlm.answer_logits(vlm.hidden_states(batch, pictures), batch)
        loss = F.cross_entropy(logits, batch.targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        one_cycle(optimizer, step, chosen.steps, chosen.learning_rate)
        optimizer.step()
        if step % 20 == 19:
            progress.set_postfix(loss=f"{loss.item():.3f}")
    _TINY[kind].save(model.eval(), processor, output)


def _celebrities(vlm: VisionLanguageModel, seed: int) -> tuple[list[Face], Pictures]:
    shipped = Portraits()
    faces = [Face(profile, 40.0, tuple(_VIEWS), True) for profile in celebrity_profiles(shipped)]
    images = [
        (f"{face.profile.identity}-{view}", shipped.jpeg[face.profile.identity, view])
        for face in faces
        for view in face.rows
    ]
    return faces, Pictures(vlm.family, vlm.base, vlm.processor, images, seed=seed)


def _pack(vlm: VisionLanguageModel, pictures: Pictures, face: Face, random: Random) -> Pack:
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
            for modality, question, answer in said(face, random)
        ],
        vlm.image_token,
    )
