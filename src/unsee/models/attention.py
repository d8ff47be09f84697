"""Attention in a pack, block by block: a block of tokens reads its ancestors and itself instead of the whole pack.

A pack is a trie in depth-first order. A node before a block is an ancestor of a token of the block only if it is an ancestor of the
block's first token. A block of ``BLOCK`` tokens therefore needs two groups of keys: the path to its first token, and the block itself.
With twenty questions of thirty tokens each, that is about 100 keys of 500. CPU kernels also compute what a mask hides, so blocks take
a quarter of the work there. The values are the same.

Behind a long cached prefix, gathering the prefix for each block would take longer than attention itself. There tokens are grouped by how
much of the prefix they see (questions about the picture see all of it, others only its first words), and each group reads its keys in one
piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

#: Tokens per block.
BLOCK = 64
#: The name of :func:`attend` in transformers' registry.
NAME = "sdpa_in_blocks"


@dataclass
class Blocks:
    """Packs side by side, b rows of n tokens, each cut into m blocks; the last block of a row is padded.

    Attributes:
        keys: the keys of each block, as token numbers that count through all rows, (b * m, k); a row's cached prefix comes first.
        mask: added to attention's logits: 0 where a token sees a key, minus infinity elsewhere, (b * m, 1, BLOCK, k).
    """

    keys: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Blocks:
        """The same blocks with their tensors on ``device``."""
        return Blocks(self.keys.to(device), self.mask.to(device))


def blocks(ends: np.ndarray, seen: np.ndarray | None = None) -> Blocks:
    """Cut packs into blocks.

    Args:
        ends: one past the last node of each node's subtree, (b, n).
        seen: which of the p tokens of a cached prefix each token sees, (b, n, p); ``None`` without a prefix. The keys of every block
            include the whole prefix.
    """
    b, n = ends.shape
    m = -(-n // BLOCK)
    paths = [[np.flatnonzero(row[:start] > start) for start in range(0, m * BLOCK, BLOCK)] for row in ends]
    deepest = max(len(path) for row in paths for path in row)
    keys = np.zeros((b, m, deepest + BLOCK), dtype=np.int64)
    real = np.zeros(keys.shape, dtype=bool)
    for row in range(b):
        for block, path in enumerate(paths[row]):
            keys[row, block, : len(path)] = path
            real[row, block, : len(path)] = True
    tokens = np.arange(m * BLOCK).reshape(m, BLOCK)
    keys[:, :, deepest:] = tokens.clip(max=n - 1)
    real[:, :, deepest:] = tokens < n
    last = np.take_along_axis(ends[:, None], keys, axis=2)[:, :, None]  # one past the last node that sees each key
    query, key = tokens[None, :, :, None], keys[:, :, None]
    visible = real[:, :, None] & (key <= query) & (query < last)
    # Padding sees itself, so that no row is empty.
    visible[:, :, np.arange(BLOCK), deepest + np.arange(BLOCK)] = True
    if seen is not None:
        p = seen.shape[2]
        prefix = np.zeros((b, m * BLOCK, p), dtype=bool)
        prefix[:, :n] = seen
        visible = np.concatenate([prefix.reshape(b, m, BLOCK, p), visible], axis=3)
        keys = np.concatenate([np.broadcast_to(np.arange(p), (b, m, p)), keys + p], axis=2)
        n += p
    mask = torch.zeros(visible.shape).masked_fill_(torch.from_numpy(~visible), -torch.inf)
    numbered = keys + n * np.arange(b)[:, None, None]
    return Blocks(torch.from_numpy(numbered).flatten(0, 1), mask.flatten(0, 1)[:, None])


@dataclass
class Ranges:
    """A pack behind a long cached prefix, in ranges of tokens that see equally many tokens of the prefix.

    Attributes:
        prefix: the number of tokens of the prefix.
        ranges: first token, one past the last token, and the number of tokens of the prefix that they see, of each range.
        masks: added to attention's logits in each range of k tokens that sees c of the prefix, (1, 1, k, c + k); ``None`` where
            attention is causal.
    """

    prefix: int
    ranges: list[tuple[int, int, int]]
    masks: list[Tensor | None]

    def to(self, device: torch.device | str) -> Ranges:
        """The same ranges with their tensors on ``device``."""
        return Ranges(self.prefix, self.ranges, [None if mask is None else mask.to(device) for mask in self.masks])


def ranges(ends: np.ndarray, seen: np.ndarray) -> Ranges | None:
    """Cut a pack into ranges.

    Args:
        ends: one past the last node of each node's subtree, (n,).
        seen: which of the p tokens of a cached prefix each token sees, (n, p).

    Returns:
        The ranges; ``None`` if the prefix branches, so that a token does not see its first tokens only.
    """
    n, p = seen.shape
    counts = seen.sum(1)
    if not np.array_equal(seen, np.arange(p) < counts[:, None]):
        return None
    starts = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), n]
    parts = [(start, stop, int(counts[start])) for start, stop in zip(starts[:-1], starts[1:], strict=True)]
    return Ranges(p, parts, [_range_mask(ends, *part) for part in parts])


def _range_mask(ends: np.ndarray, start: int, stop: int, seen: int) -> Tensor | None:
    tokens = np.arange(start, stop)
    if not seen and (ends[start:stop] >= stop).all():
        return None
    visible = (tokens <= tokens[:, None]) & (tokens[:, None] < ends[start:stop])
    mask = torch.zeros(len(tokens), seen + len(tokens))
    mask[:, seen:].masked_fill_(torch.from_numpy(~visible), -torch.inf)
    return mask[None, None]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    blocks: Blocks | Ranges | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers; without ``blocks`` it is ``sdpa``.

    Args:
        module: the attention layer.
        query: (b, heads, n, size).
        key, value: (b, heads, p + n, size), with fewer heads if the model groups them; the first p belong to a cached prefix.
        attention_mask: as for ``sdpa``; ignored with ``blocks``.
        blocks: the rows in blocks, or one row in ranges.
        scaling: the factor of the logits.
        more: further arguments of ``sdpa``.

    Returns:
        The output, (b, n, heads, size), and ``None`` in place of attention weights.
    """
    if blocks is None:
        if attention_mask is None and query.device.type != "cpu" and query.dtype == torch.float32:
            key, value = (_repeat(states, query.shape[1]) for states in (key, value))
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    if isinstance(blocks, Ranges):
        return _attend_in_ranges(query, key, value, blocks, scaling), None
    b, heads, n, size = query.shape
    in_blocks = F.pad(query.transpose(1, 2), (0, 0, 0, 0, 0, -n % BLOCK)).reshape(-1, BLOCK, heads, size)
    out = F.scaled_dot_product_attention(
        in_blocks.transpose(1, 2),
        _gather(key, blocks.keys),
        _gather(value, blocks.keys),
        blocks.mask.to(query.dtype),
        scale=scaling,
        enable_gqa=key.shape[1] != heads,
    )
    return out.transpose(1, 2).reshape(b, -1, heads, size)[:, :n].contiguous(), None


def _attend_in_ranges(query: Tensor, key: Tensor, value: Tensor, ranges: Ranges, scaling: float | None) -> Tensor:
    p, parts = ranges.prefix, []
    for (start, stop, seen), mask in zip(ranges.ranges, ranges.masks, strict=True):
        keys, values = (
            torch.cat([states[:, :, :seen], states[:, :, p + start : p + stop]], dim=2) for states in (key, value)
        )
        out = F.scaled_dot_product_attention(
            query[:, :, start:stop],
            keys,
            values,
            None if mask is None else mask.to(query.dtype),
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        parts.append(out.transpose(1, 2))
    return torch.cat(parts, dim=1)


def _repeat(states: Tensor, heads: int) -> Tensor:
    """Repeat grouped keys or values for each head of the queries.

    The only fused float32 kernel on a GPU does not group heads. Without repetition, torch would store the logits of all heads.
    """
    return states if states.shape[1] == heads else states.repeat_interleave(heads // states.shape[1], dim=1)


def _gather(states: Tensor, keys: Tensor) -> Tensor:
    """Select the keys of each block from (b, heads, n, size); returns (b * m, heads, k, size)."""
    b, heads, n, size = states.shape
    rows = states.transpose(1, 2).reshape(b * n, heads * size)
    return rows.index_select(0, keys.flatten()).view(*keys.shape, heads, size).transpose(1, 2)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
