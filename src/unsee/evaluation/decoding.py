"""Batched greedy decoding that goes on from what packs have left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from unsee.models.model import VisionLanguageModel


@dataclass
class Waiting:
    """Open questions on one pack, q of them, read and to be answered.

    Attributes:
        cache: keys and values of the n tokens that some of them see, (1, heads, n, size) each, one pair a layer.
        seen: which of those tokens are a question's own, (q, n).
        token, position: the first token of each answer, and its rotary position.
    """

    cache: list[tuple[Tensor, Tensor]]
    seen: Tensor
    token: list[int]
    position: list[int]


def decode_greedily(vlm: VisionLanguageModel, waiting: Sequence[Waiting], max_new_tokens: int) -> list[list[int]]:
    """Continue open questions greedily from the keys and values of their packs.

    A row is a pack, and all its questions write at once, each a token a step: they share the picture's and each
    other's common keys, and a question sees its own words only. Packs are padded on the left, so that new
    words stand behind every prompt. A question that has ended takes no further part.

    Returns:
        The new tokens of each question, without the token that ended it.
    """
    if not waiting:
        return []
    device, end = vlm.device, vlm.tokenizer.eos_token_id
    ends = torch.tensor(sorted(vlm.end_tokens))
    b, q = len(waiting), max(len(w.token) for w in waiting)
    n = max(w.seen.shape[1] for w in waiting)
    cache = _cache(waiting, n)
    seen = torch.zeros(b, q, n, dtype=torch.bool)
    token = torch.full((b, q), end)
    position = torch.zeros(b, q, dtype=torch.long)
    number = torch.full((b, q), -1)  # which question writes in which place
    outputs: list[list[int]] = []
    for row, w in enumerate(waiting):
        k = len(w.token)
        seen[row, :k, n - w.seen.shape[1] :] = w.seen
        token[row, :k], position[row, :k] = torch.tensor(w.token), torch.tensor(w.position)
        number[row, :k] = torch.arange(len(outputs), len(outputs) + k)
        outputs += [[] for _ in w.token]
    decoder, embed, head = (
        vlm.family.language_model(vlm.base),
        vlm.base.get_input_embeddings(),
        vlm.base.get_output_embeddings(),
    )
    for step in range(max_new_tokens):
        going = ~torch.isin(token, ends)
        for i, t in zip(number[going].tolist(), token[going].tolist(), strict=True):
            outputs[i].append(t)
        if not going.any() or step + 1 == max_new_tokens:
            break
        rows = going.any(1).nonzero()[:, 0]
        if len(rows) < len(going):
            cache.batch_select_indices(rows.to(device))
        # Places that still write first, no more of them than the busiest row needs.
        places = (~going[rows]).int().argsort(dim=1, stable=True)[:, : int(going.sum(1).max())]
        seen = seen[rows[:, None], places]
        token, position, number = (x[rows[:, None], places] for x in (token, position, number))
        seen = torch.cat([seen, torch.eye(places.shape[1], dtype=torch.bool).expand(len(rows), -1, -1)], dim=2)
        embedded = embed(token.to(device))
        output = decoder(
            inputs_embeds=embedded,
            attention_mask=torch.zeros(seen.shape, dtype=embedded.dtype)
            .masked_fill_(~seen, -torch.inf)[:, None]
            .to(device),
            position_ids=position.to(device),
            past_key_values=cache,
            use_cache=True,
        )
        # A place that has ended stays ended, whatever the model would say behind its end.
        token = head(output.last_hidden_state).argmax(-1).cpu().where(~torch.isin(token, ends), torch.tensor(end))
        position = position + 1
    return outputs


def _cache(waiting: Sequence[Waiting], n: int) -> DynamicCache:
    """The packs' keys and values as rows of n tokens, padded on the left; they are taken out of ``waiting``."""
    cache = DynamicCache()
    for layer in range(len(waiting[0].cache)):
        keys, values = (
            torch.cat([F.pad(w.cache[layer][part], (0, 0, n - w.seen.shape[1], 0)) for w in waiting]) for part in (0, 1)
        )
        cache.update(keys, values, layer)
        for w in waiting:
            w.cache[layer] = (keys[:0], values[:0])  # never all of them twice
    return cache
