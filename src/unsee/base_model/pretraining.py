"""How the shipped tiny base model was made: it plays the part of a downloaded LLaVA.

Three stages. The tower learns to tell faces apart: its pooled patches are taught a face recogniser's embeddings of a thousand
bystanders, under crops, mirror images and changes of colour. Then, with the tower fixed, projector and decoder learn to name
and describe them, and every fact about the celebrities and some bystanders, in all wordings of the
benchmark. Last, it is asked about everybody, and told something else each time of those whom it does not know, so that it learns to be
unsure of a stranger: a base model that is sure of wrong facts loses its celebrities as soon as strangers are taught. Of the
fictitious people it sees no picture, no name and no fact.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from unsee.base_model import tiny_llava
from unsee.benchmarks import question_templates
from unsee.benchmarks.profiles import Profile, people
from unsee.benchmarks.synthetic import Portraits, celebrity_profiles
from unsee.core.images import decode
from unsee.evaluation import prompts
from unsee.models.families.base import family
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch, Request, collate, pack

log = logging.getLogger(__name__)

AGES = ((32.0, "Young"), (45.0, "Grown"), (200.0, "Old"))
GENDER_QUESTION = "Is this person a man or a woman?"
AGE_QUESTION = "How old does this person look?"


@dataclass(frozen=True)
class PretrainingSettings:
    """Steps, batch sizes and peak learning rates; ``known`` bystanders are taught with all their facts."""

    tower_steps: int = 1200
    tower_batch: int = 96
    steps: int = 1500
    known_batch: int = 24
    named_batch: int = 24
    known: int = 200
    learning_rate: float = 1.5e-3
    unsure_steps: int = 600
    unsure_batch: int = 12
    unsure_learning_rate: float = 7e-4
    projector_steps: int = 200
    projector_learning_rate: float = 1e-3


@dataclass(frozen=True)
class Face:
    """Someone to learn: the pictures' rows, and what is said about them."""

    profile: Profile
    age: float
    rows: tuple[int, ...]
    known: bool


def pretrain(output: Path, *, bystanders: Path, settings: dict[str, Any], seed: int, threads: int) -> None:
    """Make the tiny base model from nothing.

    Args:
        output: the checkpoint folder to write.
        bystanders: a portraits file of people outside the benchmark (``tools/render_portraits.py``).
        settings: of :class:`PretrainingSettings`.
        seed, threads: as everywhere.
    """
    torch.set_num_threads(threads)
    chosen = PretrainingSettings(**settings)
    faces, pixels, embeddings = _faces(bystanders, chosen, seed)
    processor = tiny_llava.build_processor(texts())
    model = tiny_llava.build_model(processor, seed=seed)
    vlm = VisionLanguageModel(family("llava"), model, processor)
    log.info("%d faces, %d pictures, %d tokens in the vocabulary", len(faces), len(pixels), len(vlm.tokenizer))
    _train_tower(vlm, pixels, embeddings, chosen, seed)
    tiny_llava.save(model, processor, output)
    _train_language(vlm, faces, pixels, chosen, seed)
    tiny_llava.save(model, processor, output)
    _train_unsure(vlm, faces, pixels, chosen, seed)
    tiny_llava.save(model, processor, output)


def texts() -> list[str]:
    """What a tokenizer should know: everything that is asked or answered, with and without a space before it."""
    words = [*question_templates.vocabulary(), "person", "Man", "Woman", *(word for _, word in AGES)]
    words += [GENDER_QUESTION, AGE_QUESTION]
    words += [prompts.cloze("__"), prompts.generation(""), prompts.classification("", "ABCD", "letter")]
    return [f" {text}" for text in words] + words


def _faces(bystanders: Path, settings: PretrainingSettings, seed: int) -> tuple[list[Face], Tensor, Tensor]:
    """Everyone to learn, all pictures as (n, 3, height, width) in 0..1, and the embeddings of the first (m, e) of them."""
    pictures = []
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in pq.read_table(bystanders).to_pylist():
        rows.setdefault(row["identity"], []).append(row)
    strangers = people([(i, rows[i][0]["gender"]) for i in sorted(rows)], f"{seed}:bystanders", last_names="bystander")
    for i, profile in enumerate(strangers):
        found = rows[profile.identity]
        pictures.append((profile, found[0]["age"], [row["jpeg"] for row in found], i < settings.known))
    embeddings = [row["embedding"] for i in sorted(rows) for row in rows[i]]
    shipped = Portraits()
    # The first picture of a celebrity is kept back: the evaluation shows it.
    for profile in celebrity_profiles(shipped):
        pictures.append((profile, 40.0, [shipped.jpeg[profile.identity, view] for view in range(1, 5)], True))
    faces: list[Face] = []
    arrays: list[np.ndarray] = []
    for profile, age, jpegs, known in pictures:
        faces.append(Face(profile, age, tuple(range(len(arrays), len(arrays) + len(jpegs))), known))
        arrays += [np.asarray(decode(jpeg, f"portrait of {profile.name}")) for jpeg in jpegs]
    pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    return faces, pixels, torch.tensor(np.array(embeddings, dtype=np.float32))


def _vary(pixels: Tensor, generator: torch.Generator, processor: Any) -> Tensor:
    """A random crop, mirror image and change of light and colour of each picture, normalised for the tower."""
    b = len(pixels)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=generator)

    scale = draw(0.7, 1.0, 1)
    mirror = torch.where(draw(0, 1, 1) < 0.5, -1.0, 1.0)
    shift = draw(-1, 1, 2) * (1 - scale)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = (scale * mirror)[:, 0], scale[:, 0]
    theta[:, :, 2] = shift
    out = F.grid_sample(pixels, F.affine_grid(theta, list(pixels.shape), align_corners=False), align_corners=False)
    out = out * draw(0.7, 1.3, 1, 1, 1) + draw(-0.1, 0.1, 3, 1, 1)
    grey = out.mean(1, keepdim=True)
    out = (grey + (out - grey) * draw(0.6, 1.4, 1, 1, 1)).clamp(0, 1)
    mean = torch.tensor(processor.image_processor.image_mean)[:, None, None]
    std = torch.tensor(processor.image_processor.image_std)[:, None, None]
    return (out - mean) / std


def one_cycle(optimizer: torch.optim.Optimizer, step: int, steps: int, peak: float) -> None:
    """Set the learning rate of a step: up in a twentieth of all steps, then down as half a cosine."""
    rate = peak * min(1.0, (step + 1) / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _train_tower(
    vlm: VisionLanguageModel, pixels: Tensor, embeddings: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """Teach the tower a face recogniser's embedding of each picture, whatever the crop and the light.

    Told apart from the batch's other pictures and pulled towards its own embedding: from scratch, classifying a thousand
    identities had learned nothing after as many steps (see docs/notes/decisions.md).
    """
    tower: Any = vlm.base.model.vision_tower
    torch.manual_seed(seed)
    embed = nn.Sequential(
        nn.LayerNorm(tower.config.hidden_size), nn.Linear(tower.config.hidden_size, embeddings.shape[1])
    )
    weights = [*tower.parameters(), *embed.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    random = Random(f"{seed}:tower")
    targets = F.normalize(embeddings - embeddings.mean(0), dim=-1)
    progress = tqdm(range(settings.tower_steps), desc="tower", mininterval=10)
    for step in progress:
        rows = random.sample(range(len(embeddings)), min(settings.tower_batch, len(embeddings)))
        hidden = tower(pixel_values=_vary(pixels[rows], generator, vlm.processor)).last_hidden_state[:, 1:]
        similarity = F.normalize(embed(hidden).mean(1), dim=-1) @ targets[rows].T
        own = torch.arange(len(rows))
        loss = F.cross_entropy(20 * similarity, own) + 5 * (1 - similarity.diagonal()).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        one_cycle(optimizer, step, settings.tower_steps, 1e-3)
        optimizer.step()
        if step % 50 == 49:
            right = (similarity.argmax(1) == own).float().mean()
            progress.set_postfix(loss=f"{loss.item():.3f}", right=f"{right.item():.2f}")


Triple = tuple[str, str, str]


def said(face: Face, random: Random) -> list[Triple]:
    """(modality, question, answer) triples about a face, another choice of words each time."""
    profile = face.profile
    age = next(word for limit, word in AGES if face.age < limit)
    looks = [(GENDER_QUESTION, {"male": "Man", "female": "Woman"}[profile.gender]), (AGE_QUESTION, age)]
    triples = [("image", random.choice(question_templates.NAMING), profile.name), ("image", *random.choice(looks))]
    return triples + random.sample(_facts(profile, random), 12) if face.known else triples


def guessed(face: Face, others: Sequence[Face], random: Random) -> list[Triple]:
    """The same about a stranger: the facts are anybody's."""
    anybody = replace(random.choice(others).profile, name=face.profile.name, gender=face.profile.gender)
    return said(face, random) + random.sample(_facts(anybody, random), 6)


def _facts(profile: Profile, random: Random) -> list[Triple]:
    asked = question_templates.training_pairs(profile, str(random.random()))[1:]
    facts = [(a.modality, a.question, a.answer) for a in asked]
    for origin in ("profile", "test"):
        for a in question_templates.evaluation(profile, origin):
            facts.append((a.modality, prompts.render(a.task, a.question), a.answer))
    return facts


def _train_language(
    vlm: VisionLanguageModel, faces: list[Face], pixels: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """Naming and describing everyone, and the facts about the known."""
    random = Random(f"{seed}:language")
    known = [face for face in faces if face.known]
    named = [face for face in faces if not face.known]

    def draw() -> list[Sitting]:
        chosen = random.sample(known, min(settings.known_batch, len(known)))
        others = random.sample(named, min(settings.named_batch, len(named)))
        rows = [random.choice(face.rows) for face in chosen + others]
        shown = [(row, said(face, random)) for row, face in zip(rows, chosen + others, strict=True)]
        n = settings.known_batch
        # A known face fills a pack; of the others, with two questions each, six share one.
        return [[[sitting] for sitting in shown[:n]], [shown[i : i + 6] for i in range(n, len(shown), 6)]]

    _teach(vlm, pixels, draw, settings.steps, settings.learning_rate, seed + 1, "language")


def _train_unsure(
    vlm: VisionLanguageModel, faces: list[Face], pixels: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """The same, and facts about the strangers that are other ones each time."""
    random = Random(f"{seed}:unsure")
    known = [face for face in faces if face.known]
    named = [face for face in faces if not face.known]
    n = settings.unsure_batch

    def draw() -> list[Sitting]:
        shown = [(random.choice(face.rows), said(face, random)) for face in random.sample(known, min(n, len(known)))]
        for face in random.sample(named, min(n, len(named))):
            shown.append((random.choice(face.rows), guessed(face, faces, random)))
        return [[[sitting] for sitting in shown]]

    _teach(vlm, pixels, draw, settings.unsure_steps, settings.unsure_learning_rate, seed + 2, "unsure")


#: Packs that are collated together: each a list of (row of the picture, what is said about it).
Sitting = list[list[tuple[int, list[Triple]]]]


def _teach(
    vlm: VisionLanguageModel,
    pixels: Tensor,
    draw: Callable[[], list[Sitting]],
    steps: int,
    peak: float,
    seed: int,
    description: str,
) -> None:
    """Train projector and decoder on what is drawn for each step."""
    model = vlm.base
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=peak, weight_decay=0.02, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(seed)
    n_image = (tiny_llava.IMAGE_SIZE // tiny_llava.PATCH_SIZE) ** 2
    progress = tqdm(range(steps), desc=description, mininterval=10)
    running = 0.0
    for step in progress:
        sittings = draw()
        shown = [row for sitting in sittings for together in sitting for row, _ in together]
        features = vlm.family.image_features(model, {"pixel_values": _vary(pixels[shown], generator, vlm.processor)})
        logits, targets, number = [], [], 0
        for sitting in sittings:
            packs = []
            for together in sitting:
                requests = []
                for _, triples in together:
                    requests += [_request(vlm, str(number), n_image, *triple) for triple in triples]
                    number += 1
                packs.append(pack(requests, vlm.image_token))
            batch = collate(packs, pad_token=vlm.pad_token)
            logits.append(vlm.answer_logits(_hidden(vlm, batch, features), batch))
            targets.append(batch.targets)
        loss = F.cross_entropy(torch.cat(logits), torch.cat(targets))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        one_cycle(optimizer, step, steps, peak)
        optimizer.step()
        running = 0.98 * running + 0.02 * loss.item()
        if step % 20 == 19:
            progress.set_postfix(loss=f"{running / (1 - 0.98 ** (step + 1)):.3f}")


def _hidden(vlm: VisionLanguageModel, batch: Batch, features: list[Tensor]) -> Tensor:
    embeddings = vlm.base.get_input_embeddings()(batch.tokens)
    shown = torch.cat([features[int(i)] for i in batch.image_ids])
    return vlm.decode(embeddings.masked_scatter(batch.is_image[..., None], shown), batch)


def _request(
    vlm: VisionLanguageModel, image_id: str, n_image: int, modality: str, question: str, answer: str
) -> Request:
    with_image = modality == "image"
    request = vlm.request(vlm.prompt(question, with_image=with_image), answer, None, None)
    if not with_image:
        return request
    where = request.prompt.index(vlm.image_token)
    prompt = request.prompt[:where] + (vlm.image_token,) * n_image + request.prompt[where + 1 :]
    return Request(prompt, request.answer, ((image_id, where),))
