"""Make the tiny base model that takes the place of a downloaded LLaVA. The shipped one was made by this file.

Training has three stages.
(1) The vision tower learns to tell faces apart: the mean of its patches is trained to predict a face recogniser's embeddings of a
    thousand bystanders, with random crops, mirror images and colours.
(2) With the tower fixed, projector and decoder learn to name and describe these people, and all facts about the celebrities and some
    bystanders, in every wording of the benchmark.
(3) The model is asked about all of them. For an unknown person the answers are different at each step, so that the model becomes
    unsure about strangers. A base model that is sure of wrong facts forgets its celebrities as soon as it learns new people.
It sees no picture, no name and no fact of the fictitious people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsee.base_model import tiny_llava
from unsee.base_model.lessons import Face, Lesson, guesses_about, lessons_about, tokenizer_texts
from unsee.base_model.loop import minimise
from unsee.benchmarks.profiles import people
from unsee.benchmarks.synthetic import Portraits, celebrity_profiles
from unsee.core.images import decode
from unsee.models.families import load_family
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch, Request, collate, pack

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainingSettings:
    """Steps, batch sizes and highest learning rates. The model learns all facts about ``known`` of the bystanders."""

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


def pretrain(output: Path, *, bystanders: Path, settings: dict[str, Any], seed: int, threads: int) -> None:
    """Make the tiny base model from nothing.

    Args:
        output: the checkpoint folder to write.
        bystanders: a portraits file of people outside the benchmark (``tools/render_portraits.py``).
        settings: fields of :class:`PretrainingSettings`.
        seed: of weights, wordings and picture variants.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    stages = PretrainingSettings(**settings)
    faces, pixels, embeddings = _faces(bystanders, stages, seed)
    processor = tiny_llava.build_processor(tokenizer_texts())
    model = tiny_llava.build_model(processor, seed=seed)
    vlm = VisionLanguageModel(load_family("llava"), model, processor)
    log.info("%d faces, %d pictures, %d tokens in the vocabulary", len(faces), len(pixels), len(vlm.tokenizer))
    _train_tower(vlm, pixels, embeddings, stages, seed)
    tiny_llava.save(model, processor, output)
    _train_language(vlm, faces, pixels, stages, seed)
    tiny_llava.save(model, processor, output)
    _train_unsure(vlm, faces, pixels, stages, seed)
    tiny_llava.save(model, processor, output)


def _faces(bystanders: Path, settings: PretrainingSettings, seed: int) -> tuple[list[Face], Tensor, Tensor]:
    """The people to learn, all pictures, (n, 3, height, width) in 0..1, and the embeddings of the first m pictures, (m, e)."""
    pictures = []
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in pq.read_table(bystanders).to_pylist():
        rows.setdefault(row["identity"], []).append(row)
    strangers = people([(i, rows[i][0]["gender"]) for i in sorted(rows)], f"{seed}:bystanders", last_names="bystander")
    for i, profile in enumerate(strangers):
        portraits = rows[profile.identity]
        pictures.append((profile, portraits[0]["age"], [row["jpeg"] for row in portraits], i < settings.known))
    embeddings = [row["embedding"] for i in sorted(rows) for row in rows[i]]
    shipped = Portraits()
    # The evaluation shows the first picture of a celebrity, so training does not.
    for profile in celebrity_profiles(shipped):
        pictures.append((profile, 40.0, [shipped.jpeg[profile.identity, view] for view in range(1, 5)], True))
    faces: list[Face] = []
    arrays: list[np.ndarray] = []
    for profile, age, jpegs, with_facts in pictures:
        faces.append(Face(profile, age, tuple(range(len(arrays), len(arrays) + len(jpegs))), with_facts))
        arrays += [np.asarray(decode(jpeg, f"portrait of {profile.name}")) for jpeg in jpegs]
    pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    return faces, pixels, torch.tensor(np.array(embeddings, dtype=np.float32))


def _vary(pixels: Tensor, generator: torch.Generator, processor: Any) -> Tensor:
    """Each picture with a random crop, mirroring, brightness and colour, normalised for the tower."""
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


def _train_tower(
    vlm: VisionLanguageModel, pixels: Tensor, embeddings: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """Teach the tower a face recogniser's embedding of each picture.

    The loss contrasts a picture with the others of its batch and also pulls it towards its own embedding. Classifying a thousand
    identities learned nothing in as many steps (docs/notes/decisions.md).
    """
    tower: Any = vlm.base.model.vision_tower
    torch.manual_seed(seed)
    embed = nn.Sequential(
        nn.LayerNorm(tower.config.hidden_size), nn.Linear(tower.config.hidden_size, embeddings.shape[1])
    )
    generator = torch.Generator().manual_seed(seed)
    random = Random(f"{seed}:tower")
    targets = F.normalize(embeddings - embeddings.mean(0), dim=-1)

    def step_loss(step: int) -> Tensor:
        rows = random.sample(range(len(embeddings)), min(settings.tower_batch, len(embeddings)))
        hidden = tower(pixel_values=_vary(pixels[rows], generator, vlm.processor)).last_hidden_state[:, 1:]
        similarity = F.normalize(embed(hidden).mean(1), dim=-1) @ targets[rows].T
        return F.cross_entropy(20 * similarity, torch.arange(len(rows))) + 5 * (1 - similarity.diagonal()).mean()

    weights = [*tower.parameters(), *embed.parameters()]
    minimise(
        step_loss,
        weights,
        steps=settings.tower_steps,
        learning_rate=1e-3,
        description="tower",
        weight_decay=0.05,
        betas=(0.9, 0.999),
    )


def _train_language(
    vlm: VisionLanguageModel, faces: list[Face], pixels: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """Teach names and looks of all people, and the facts about those to be known."""
    random = Random(f"{seed}:language")
    with_facts = [face for face in faces if face.with_facts]
    strangers = [face for face in faces if not face.with_facts]

    def draw() -> list[Sitting]:
        people_shown = random.sample(with_facts, min(settings.known_batch, len(with_facts)))
        people_shown += random.sample(strangers, min(settings.named_batch, len(strangers)))
        rows = [random.choice(face.rows) for face in people_shown]
        shown = [(row, lessons_about(face, random)) for row, face in zip(rows, people_shown, strict=True)]
        n = settings.known_batch
        # A person taught with facts fills a pack. Six strangers, with two questions each, share one.
        return [[[sitting] for sitting in shown[:n]], [shown[i : i + 6] for i in range(n, len(shown), 6)]]

    _teach(vlm, pixels, draw, settings.steps, settings.learning_rate, seed + 1, "language")


def _train_unsure(
    vlm: VisionLanguageModel, faces: list[Face], pixels: Tensor, settings: PretrainingSettings, seed: int
) -> None:
    """Teach the same, and random facts about the unknown people, other ones at each step."""
    random = Random(f"{seed}:unsure")
    with_facts = [face for face in faces if face.with_facts]
    strangers = [face for face in faces if not face.with_facts]
    n = settings.unsure_batch

    def draw() -> list[Sitting]:
        shown = [
            (random.choice(face.rows), lessons_about(face, random))
            for face in random.sample(with_facts, min(n, len(with_facts)))
        ]
        for face in random.sample(strangers, min(n, len(strangers))):
            shown.append((random.choice(face.rows), guesses_about(face, faces, random)))
        return [[[sitting] for sitting in shown]]

    _teach(vlm, pixels, draw, settings.unsure_steps, settings.unsure_learning_rate, seed + 2, "unsure")


#: Packs to collate together; each is a list of (row of a picture, lessons about it).
Sitting = list[list[tuple[int, list[Lesson]]]]


def _teach(
    vlm: VisionLanguageModel,
    pixels: Tensor,
    draw: Callable[[], list[Sitting]],
    steps: int,
    peak: float,
    seed: int,
    description: str,
) -> None:
    """Train projector and decoder on the sittings that ``draw`` returns for each step."""
    model = vlm.base
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    n_image = (tiny_llava.IMAGE_SIZE // tiny_llava.PATCH_SIZE) ** 2

    def step_loss(step: int) -> Tensor:
        sittings = draw()
        shown = [row for sitting in sittings for together in sitting for row, _ in together]
        features = vlm.family.image_features(model, {"pixel_values": _vary(pixels[shown], generator, vlm.processor)})
        logits, targets, number = [], [], 0
        for sitting in sittings:
            packs = []
            for together in sitting:
                requests = []
                for _, lessons in together:
                    requests += [_request(vlm, str(number), n_image, *lesson) for lesson in lessons]
                    number += 1
                packs.append(pack(requests, vlm.image_token))
            batch = collate(packs, pad_token=vlm.pad_token)
            logits.append(vlm.answer_logits(_hidden(vlm, batch, features), batch))
            targets.append(batch.targets)
        return F.cross_entropy(torch.cat(logits), torch.cat(targets))

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    minimise(step_loss, weights, steps=steps, learning_rate=peak, description=description)


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
