"""What the reference model says of the forget examples: a few numbers each, computed once and shared by all jobs.

The reference never lies in memory beside the model that is unlearned: it is loaded, asked and let go, and not even loaded where its
answers are known from another job, of another beta, learning rate or seed.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unsee.benchmarks.tables import Pair
from unsee.core.cache import Cache, digest, environment_key
from unsee.core.sources import imported
from unsee.models.checkpoints import checkpoint_files, folder_of
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, feature_cache
from unsee.training.batches import Unit, batch, units


def known_scores(
    model: dict[str, Any],
    adapter: Path,
    pairs: Sequence[Pair],
    images: Sequence[tuple[str, bytes]],
    packing: str,
    loss_tokens: str,
    *,
    cache: Cache,
) -> dict[str, Scores]:
    """Scores of every unit of the pairs under base and adapter, by the unit's key.

    Args:
        model: the configuration's ``model`` section.
        adapter: of the reference model.
        pairs, images: the examples, and at least their pictures; each is shown as it is, not in a varied copy.
        packing, loss_tokens: how the pairs make units, and which of their words are scored.
        cache: where the scores are kept.
    """

    def compute() -> dict[str, Tensor]:
        vlm = load(model, [adapter])
        features = feature_cache(cache.folder, vlm.family, [adapter])
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=features)
        found = reference_scores(vlm, pictures, units(vlm, pictures, pairs, packing, loss_tokens))
        return {
            f"{part} {key}": tensor
            for key, scores in found.items()
            for part, tensor in (("log_probs", scores.token_log_probs), ("example", scores.example))
        }

    tensors = cache.get(
        _key(model, adapter, pairs, images, (packing, loss_tokens), cache) if cache.keeps else "", compute
    )
    gc.collect()  # a model has cycles; the next one is loaded at once
    keys = [name.removeprefix("example ") for name in tensors if name.startswith("example ")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = {}
    for key in sorted(keys):
        example = tensors[f"example {key}"].to(device)
        found[key] = Scores(tensors[f"log_probs {key}"].to(device), example, int(example.max()) + 1)
    return found


def _key(
    model: dict[str, Any],
    adapter: Path,
    pairs: Sequence[Pair],
    images: Sequence[tuple[str, bytes]],
    how: tuple[str, str],
    cache: Cache,
) -> str:
    here = Path(__file__)
    code = environment_key(imported(here, here.parents[1]), "cuda" if torch.cuda.is_available() else "cpu")
    files = [
        *checkpoint_files(folder_of(model)),
        *(adapter / f"adapter_{part}" for part in ("config.json", "model.safetensors")),
    ]
    encoded = dict(images)
    shown = sorted({pair.image_id for pair in pairs if pair.image_id is not None})
    return digest(
        code,
        model["family"],
        model["dtype"],
        *(part for file in files for part in (file.name, cache.file_digest(file))),
        *how,
        *(repr(pair) for pair in pairs),
        *(part for image_id in shown for part in (image_id, encoded[image_id])),
    )


@torch.no_grad()
def reference_scores(vlm: VisionLanguageModel, pictures: Pictures, chosen: Sequence[Unit]) -> dict[str, Scores]:
    """What a model says of each unit's answers, by the unit's key."""
    return {unit.key: score(vlm, batch(vlm, [unit]), pictures) for unit in chosen}


def concatenate(scores: Sequence[Scores]) -> Scores:
    """Scores of several units as those of one batch."""
    offsets = [sum(s.n_examples for s in scores[:i]) for i in range(len(scores))]
    return Scores(
        torch.cat([s.token_log_probs for s in scores]),
        torch.cat([s.example + offset for s, offset in zip(scores, offsets, strict=True)]),
        sum(s.n_examples for s in scores),
    )
