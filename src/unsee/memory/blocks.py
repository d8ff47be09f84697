"""The memory of a decoder block, the vision tower and adapters in training, in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unsee.memory.shapes import FLOAT, Shapes

#: Elements of a matrix in half precision that are converted to float32 at a time (unsee.models.half).
PIECE = 2**26


def upcast(shapes: Shapes) -> int:
    """Bytes of the float32 copy of a piece of a matrix; 0 if weights are stored in float32."""
    if shapes.stored == FLOAT:
        return 0
    return FLOAT * min(PIECE, shapes.largest_matrix)


@dataclass(frozen=True)
class Block:
    """The memory of a decoder block in training, in bytes."""

    shapes: Shapes
    scope: str
    rank: int
    dropout: float
    on_gpu: bool
    distances: bool

    def saved(self, tokens: int, *, first: bool = False) -> float:
        """Tensors of one block that autograd keeps: inputs of norms and adapters, queries, keys, values, and the gate's factors.

        A frozen product keeps only its weight.

        Args:
            tokens: the tokens that the block reads.
            first: whether this is the first block, whose input needs no gradient.
        """
        s, width, feed_forward = self.shapes, self.shapes.width, self.shapes.feed_forward
        in_attention = self.scope in ("language", "both", "language_and_tower_attention")
        in_mlp = in_attention or self.scope == "feed_forward"
        floats = 0.0
        if not first:
            floats += width  # the first norm's input
        needs_gradient = not first or in_attention
        if needs_gradient:
            keys = s.query_width if self.on_gpu else s.key_value_width
            floats += 2 * s.query_width + 2 * keys + s.heads + width  # the other width: the second norm's input
        if in_attention:
            floats += self._inputs(width, 3, needs_gradient=not first)
            floats += self._inputs(s.query_width, 1, needs_gradient=True) if self.dropout else 0
        floats += 3 * feed_forward
        if in_mlp:
            floats += self._inputs(width, 2, needs_gradient=needs_gradient) + self._inputs(
                feed_forward, 1, needs_gradient=True
            )
        if self.distances:
            floats += 2 * feed_forward + width
        floats += self.rank * (4 * in_attention + 3 * in_mlp)
        return tokens * floats * FLOAT

    def tapped(self, tokens: int) -> float:
        """The same without adapters, when the input of every layer is kept too."""
        s, keys = self.shapes, self.shapes.query_width if self.on_gpu else self.shapes.key_value_width
        floats = 4 * s.width + 2 * s.query_width + 2 * keys + s.heads + 4 * s.feed_forward
        return tokens * floats * FLOAT

    def moment(self, tokens: int, piece: int, *, checkpointing: bool) -> tuple[float, float]:
        """The temporary tensors of a block besides the saved ones: (activations, float32 copies of weights).

        The peak is during the last product (its input, and a piece of its matrix) or just after it (its parts and their sum).
        """
        products = (2 if self.on_gpu else 1) * self.shapes.feed_forward
        while_taken = tokens * (products + (2 if checkpointing else 3) * self.shapes.width) * FLOAT
        after = tokens * (products + (2 if checkpointing else 5) * self.shapes.width) * FLOAT
        return max((while_taken, float(piece)), (after, 0.0), key=sum)

    def _inputs(self, width: int, layers: int, *, needs_gradient: bool) -> float:
        """Inputs of adapters: with dropout one per adapter, and its mask if the input needs a gradient."""
        if not self.dropout:
            return width
        mask = (0.25 if self.on_gpu else 1.0) if needs_gradient else 0.0
        return layers * width * (1 + mask)


def tower_bytes(
    shapes: Shapes, rows: int, lora: Mapping[str, Any], scope: str, *, checkpointing: bool, on_gpu: bool
) -> float:
    """Tensors of the vision tower that autograd keeps; 0 without adapters on the tower."""
    if scope not in ("vision", "both", "language_and_tower_attention"):
        return 0.0
    tower, mask = shapes.tower, (0.25 if on_gpu else 1.0) if lora["dropout"] else 0.0
    adapted = (*tower.attention, *tower.other) if scope != "language_and_tower_attention" else tower.attention
    # Inputs of two norms, queries, keys, values and result; the activation's input, sigmoid and result.
    rank = int(lora["rank"])
    block = 6 * tower.width + 3 * tower.feed_forward + sum((1 + mask) * a + rank for a, _ in adapted)
    joined = 2 * sum(b for _, b in tower.joins) + sum((1 + mask) * a for a, _ in tower.joins)
    patches = rows * tower.patches * FLOAT
    blocks = patches * (tower.layers * tower.width + block) if checkpointing else patches * tower.layers * block
    return blocks + rows * tower.joined_tokens * joined * FLOAT


def linear_layers(shapes: Shapes, scope: str) -> Iterator[tuple[int, int, int]]:
    """(number of layers, in, out) of the linear layers with adapters."""
    decoder: tuple[tuple[int, int], ...] = ()
    if scope in ("language", "both", "language_and_tower_attention"):
        decoder = (*shapes.attention, *shapes.mlp)
    elif scope == "feed_forward":
        decoder = shapes.mlp
    yield from ((shapes.layers, a, b) for a, b in decoder)
    tower = shapes.tower
    if scope in ("vision", "both"):
        yield from ((tower.layers, a, b) for a, b in (*tower.attention, *tower.other))
        yield from ((1, a, b) for a, b in tower.joins)
    elif scope == "language_and_tower_attention":
        yield from ((tower.layers, a, b) for a, b in tower.attention)


def adapter_weights(shapes: Shapes, scope: str, rank: int) -> int:
    """The number of weights of the adapters."""
    return sum(n * rank * (a + b) for n, a, b in linear_layers(shapes, scope))


def adapter_bytes(shapes: Shapes, rank: int) -> int:
    """Bytes of adapters beside the decoder's weights; 0 if weights are float32, because adapters are then merged."""
    return 0 if shapes.stored == FLOAT else adapter_weights(shapes, "language", rank) * FLOAT
