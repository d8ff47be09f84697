"""Keys and values of packs that are read in parts and then continued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class PackCache:
    """Keys and values of packs, one row a pack, in tensors that are allocated once and written in place.

    A row has three regions: the prefix, which ends at column ``start``; from there the tokens that a task's open questions see; and,
    behind the longest of these, the words that are written. The prefix stays while one task after the other uses the columns behind it.
    It is passed to a model of transformers as ``past_key_values``.

    Args:
        rows: number of packs.
        start: length of the longest prefix.
        columns: of a row, prefix included.
    """

    def __init__(self, rows: int, start: int, columns: int) -> None:
        self.start = start
        self._shape = rows, columns
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._rows = slice(0)  # the rows that a forward pass is about
        self._seen = self._write = slice(0)  # the columns that it sees, and those that it writes
        self._kept: Tensor | None = None  # which of its tokens it writes
        self._joins = False  # whether it sees its own tokens besides those columns
        self._swaps: list[tuple[int, int]] = []

    def read_prefix(self, row: int, length: int) -> PackCache:
        """Prepare for a pass that reads the prefix of a pack."""
        prefix = slice(self.start - length, self.start)
        return self._prepare(slice(row, row + 1), seen=prefix, write=prefix)

    def read_rest(self, row: int, length: int, kept: Tensor | None) -> PackCache:
        """Prepare for a pass that reads the rest of a pack behind its prefix.

        Args:
            row: the pack.
            length: of its prefix.
            kept: those of the rest's tokens that are stored, (k,); None for none.
        """
        k = 0 if kept is None else len(kept)
        seen, write = slice(self.start - length, self.start), slice(self.start, self.start + k)
        self._prepare(slice(row, row + 1), seen=seen, write=write)
        self._kept, self._joins = kept, True
        return self

    def continue_rows(self, rows: int, prefix: int, column: int, length: int) -> PackCache:
        """Prepare for a pass that adds tokens to the first rows.

        Args:
            rows: how many.
            prefix: length of the longest prefix among them.
            column: where the tokens are written, counted from the prefix's end.
            length: how many there are in a row.
        """
        write = slice(self.start + column, self.start + column + length)
        return self._prepare(slice(rows), seen=slice(self.start - prefix, write.stop), write=write)

    @property
    def dtype(self) -> torch.dtype:
        """Of what is stored; known once something is."""
        return self._layers[0][0].dtype

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values, (b, heads, n, size), and return all that the pass sees, (b, heads, p + n, size)."""
        if layer == len(self._layers):
            heads, size = keys.shape[1], keys.shape[3]
            # Zeros, because what is masked must be finite.
            self._layers.append((keys.new_zeros(*self._shape, heads, size), keys.new_zeros(*self._shape, heads, size)))
        first, second = self._layers[layer]
        return self._update(first, keys), self._update(second, values)

    def _update(self, stored: Tensor, new: Tensor) -> Tensor:
        new = new.transpose(1, 2)
        if not self._joins:
            stored[self._rows, self._write] = new
            return stored[self._rows, self._seen].transpose(1, 2)
        if self._kept is not None:
            stored[self._rows, self._write] = new if len(self._kept) == new.shape[1] else new[:, self._kept]
        return torch.cat([stored[self._rows, self._seen], new], dim=1).transpose(1, 2)

    def move_to_front(self, rows: Sequence[int]) -> None:
        """Make these rows the first ones, in this order; their numbers ascend."""
        for target, row in enumerate(rows):
            if row != target:
                self._swap(target, row)
                self._swaps.append((target, row))

    def restore_order(self) -> None:
        """Undo :meth:`move_to_front`."""
        while self._swaps:
            self._swap(*self._swaps.pop())

    def _swap(self, one: int, other: int) -> None:
        for stored in (tensor for layer in self._layers for tensor in layer):
            kept = stored[one].clone()
            stored[one] = stored[other]
            stored[other] = kept

    def _prepare(self, rows: slice, *, seen: slice, write: slice) -> PackCache:
        self._rows, self._seen, self._write, self._kept, self._joins = rows, seen, write, None, False
        return self
