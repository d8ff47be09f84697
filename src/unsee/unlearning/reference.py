"""Scores of the forget examples under a reference model: a few numbers each, computed once and shared by all jobs.

The reference model is never in memory together with the model being unlearned: it is loaded, used and freed. It is not
even loaded if another job, with another beta, learning rate or seed, has cached the scores.
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
from unsee.models.families import source_of
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, feature_cache
from unsee.training.batches import Unit, batch, units


def cached_scores(
    model: dict[str, Any],
    adapter: Path,
    pairs: Sequence[Pair],
    images: Sequence[tuple[str, bytes]],
    packing: str,
    loss_tokens: str,
    *,
    cache: Cache,
) -> dict[str, Scores]:
    """Score every unit under the base model with an adapter, or read the scores from the cache.

    Args:
        model: The ``model`` section of the configuration.
        adapter: The adapter folder of the reference model.
        pairs: The examples.
        images: Their pictures at least; each is shown as it is, not as a variant.
        packing: See :func:`unsee.training.batches.units`.
        loss_tokens: See :func:`unsee.training.batches.units`.
        cache: Where the scores are stored.

    Returns:
        By the unit's key.
    """

    def compute() -> dict[str, Tensor]:
        vlm = load(model, [adapter])
        features = feature_cache(cache.folder, vlm.family, [adapter])
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=features)
        scores_of_units = reference_scores(vlm, pictures, units(vlm, pictures, pairs, packing, loss_tokens))
        return {
            f"{part} {key}": tensor
            for key, scores in scores_of_units.items()
            for part, tensor in (("log_probs", scores.token_log_probs), ("example", scores.example))
        }

    tensors = cache.get(
        _key(model, adapter, pairs, images, (packing, loss_tokens), cache) if cache.keeps else "", compute
    )
    gc.collect()  # free the model now, because it has reference cycles and the next one is loaded at once
    keys = [name.removeprefix("example ") for name in tensors if name.startswith("example ")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scores = {}
    for key in sorted(keys):
        example = tensors[f"example {key}"].to(device)
        scores[key] = Scores(tensors[f"log_probs {key}"].to(device), example, int(example.max()) + 1)
    return scores


def _key(
    model: dict[str, Any],
    adapter: Path,
    pairs: Sequence[Pair],
    images: Sequence[tuple[str, bytes]],
    tokenisation: tuple[str, str],
    cache: Cache,
) -> str:
    here = Path(__file__)
    sources = {*imported(here, here.parents[1]), *imported(source_of(model["family"]), here.parents[1])}
    code = environment_key(sources, "cuda" if torch.cuda.is_available() else "cpu")
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
        *tokenisation,
        *(repr(pair) for pair in pairs),
        *(part for image_id in shown for part in (image_id, encoded[image_id])),
    )


@torch.no_grad()
def reference_scores(vlm: VisionLanguageModel, pictures: Pictures, units: Sequence[Unit]) -> dict[str, Scores]:
    """Score each unit under a model, by the unit's key."""
    return {unit.key: score(vlm, batch(vlm, [unit]), pictures) for unit in units}


def concatenate(scores: Sequence[Scores]) -> Scores:
    """The scores of several units as the scores of one batch."""
    offsets = [sum(s.n_examples for s in scores[:i]) for i in range(len(scores))]
    return Scores(
        torch.cat([s.token_log_probs for s in scores]),
        torch.cat([s.example + offset for s, offset in zip(scores, offsets, strict=True)]),
        sum(s.n_examples for s in scores),
    )
