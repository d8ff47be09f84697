"""Keys and values of packs that are read in parts and then continued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class PackCache:
    """Keys and values of packs, one row per pack, in tensors that are allocated once and written in place.

    A row has three regions: the prefix, which ends at column ``start``; the tokens that a task's open questions see; and, behind the
    longest of these, the new tokens of the answers. The prefix stays while task after task uses the columns behind it. The cache is passed
    to a model of transformers as ``past_key_values``.

    Args:
        rows: the number of packs.
        start: the length of the longest prefix.
        columns: the number of columns of a row, prefix included.
    """

    def __init__(self, rows: int, start: int, columns: int) -> None:
        self.start = start
        self._shape = rows, columns
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._rows = slice(0)  # the rows of the next forward pass
        self._seen = self._write = slice(0)  # the columns that the pass sees, and those that it writes
        self._stored: Tensor | None = None  # which tokens of the pass are written; None: no selection
        self._joins = False  # whether the pass sees its own tokens in addition to those columns
        self._swaps: list[tuple[int, int]] = []

    def read_prefix(self, row: int, length: int, first: int, n: int) -> PackCache:
        """Prepare for a forward pass that reads a part of a pack's prefix.

        Args:
            row: the row of the pack.
            length: the length of the whole prefix.
            first, n: the first token of the part, and how many it has. The tokens before it are in the cache.
        """
        begin = self.start - length
        part = slice(begin + first, begin + first + n)
        return self._prepare(slice(row, row + 1), seen=slice(begin, part.stop), write=part)

    def copy_prefix(self, source: int, source_length: int, row: int, length: int, n: int) -> None:
        """Copy the first n tokens of the prefix of another row, whose prefix has ``source_length`` tokens."""
        begin, target = self.start - source_length, self.start - length
        for states in (tensor for layer in self._layers for tensor in layer):
            states[row, target : target + n] = states[source, begin : begin + n]

    def read_rest(self, row: int, length: int, stored: Tensor | None) -> PackCache:
        """Prepare for a forward pass that reads the rest of a pack behind its prefix.

        Args:
            row: the row of the pack.
            length: the length of its prefix.
            stored: the tokens of the rest that are stored, (k,); ``None`` if none is.
        """
        k = 0 if stored is None else len(stored)
        seen, write = slice(self.start - length, self.start), slice(self.start, self.start + k)
        self._prepare(slice(row, row + 1), seen=seen, write=write)
        self._stored, self._joins = stored, True
        return self

    def continue_rows(self, rows: int, prefix: int, column: int, length: int) -> PackCache:
        """Prepare for a forward pass that adds tokens to the first rows.

        Args:
            rows: the number of rows.
            prefix: the length of their longest prefix.
            column: the first column that is written, counted from the end of the prefix.
            length: the number of new tokens of a row.
        """
        write = slice(self.start + column, self.start + column + length)
        return self._prepare(slice(rows), seen=slice(self.start - prefix, write.stop), write=write)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of keys and values; available after the first forward pass."""
        return self._layers[0][0].dtype

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values, (b, heads, n, size), and return all that the pass sees, (b, heads, p + n, size).

        This is the interface of transformers' caches.
        """
        if layer == len(self._layers):
            heads, size = keys.shape[1], keys.shape[3]
            # Zeros, because masked values must be finite.
            self._layers.append((keys.new_zeros(*self._shape, heads, size), keys.new_zeros(*self._shape, heads, size)))
        first, second = self._layers[layer]
        return self._update(first, keys), self._update(second, values)

    def _update(self, states: Tensor, new: Tensor) -> Tensor:
        new = new.transpose(1, 2)
        if not self._joins:
            states[self._rows, self._write] = new
            return states[self._rows, self._seen].transpose(1, 2)
        if self._stored is not None:
            states[self._rows, self._write] = new if len(self._stored) == new.shape[1] else new[:, self._stored]
        return torch.cat([states[self._rows, self._seen], new], dim=1).transpose(1, 2)

    def move_to_front(self, rows: Sequence[int]) -> None:
        """Move rows to the front, in ascending order."""
        for target, row in enumerate(rows):
            if row != target:
                self._swap(target, row)
                self._swaps.append((target, row))

    def restore_order(self) -> None:
        """Undo :meth:`move_to_front`."""
        while self._swaps:
            self._swap(*self._swaps.pop())

    def _swap(self, one: int, other: int) -> None:
        for states in (tensor for layer in self._layers for tensor in layer):
            copy = states[one].clone()
            states[one] = states[other]
            states[other] = copy

    def _prepare(self, rows: slice, *, seen: slice, write: slice) -> PackCache:
        self._rows, self._seen, self._write, self._stored, self._joins = rows, seen, write, None, False
        return self
