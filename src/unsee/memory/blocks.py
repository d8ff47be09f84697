"""What a decoder block, the vision tower and adapters take in training, in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unsee.memory.shapes import FLOAT, Shapes

#: Elements of a matrix that are held in float32 at a time, where it is stored in half precision (unsee.models.half).
PIECE = 2**26


def upcast(shapes: Shapes) -> int:
    """Bytes of a piece of a matrix in float32; none where weights are stored so."""
    if shapes.stored == FLOAT:
        return 0
    return FLOAT * min(PIECE, shapes.largest_matrix)


@dataclass(frozen=True)
class Block:
    """What a decoder block costs in training, in bytes."""

    shapes: Shapes
    scope: str
    rank: int
    dropout: float
    on_gpu: bool
    distances: bool

    def saved(self, tokens: int, *, first: bool = False) -> float:
        """What autograd keeps of one block: inputs of norms and adapters, queries, keys, values, and what the gate multiplies.

        A frozen product keeps nothing but its weight.
        """
        s, width, feed_forward = self.shapes, self.shapes.width, self.shapes.feed_forward
        in_attention = self.scope in ("language", "both", "language_and_tower_attention")
        in_mlp = in_attention or self.scope == "feed_forward"
        floats = 0.0
        if not first:
            floats += width  # the first norm's input
        asks = not first or in_attention
        if asks:
            keys = s.query_width if self.on_gpu else s.key_value_width
            floats += 2 * s.query_width + 2 * keys + s.heads + width  # the other width: the second norm's input
        if in_attention:
            floats += self._inputs(width, 3, asks=not first)
            floats += self._inputs(s.query_width, 1, asks=True) if self.dropout else 0
        floats += 3 * feed_forward
        if in_mlp:
            floats += self._inputs(width, 2, asks=asks) + self._inputs(feed_forward, 1, asks=True)
        if self.distances:
            floats += 2 * feed_forward + width
        floats += self.rank * (4 * in_attention + 3 * in_mlp)
        return tokens * floats * FLOAT

    def tapped(self, tokens: int) -> float:
        """The same without adapters, where the input of every layer is kept too."""
        s, keys = self.shapes, self.shapes.query_width if self.on_gpu else self.shapes.key_value_width
        floats = 4 * s.width + 2 * s.query_width + 2 * keys + s.heads + 4 * s.feed_forward
        return tokens * floats * FLOAT

    def moment(self, tokens: int, piece: int, *, checkpointing: bool) -> tuple[float, float]:
        """What a block holds for a moment on top of what is saved: activations, and float32 copies of weights.

        That is while the last product is taken (its input, and a piece of its matrix) or just after it (its parts and their sum).
        """
        products = (2 if self.on_gpu else 1) * self.shapes.feed_forward
        while_taken = tokens * (products + (2 if checkpointing else 3) * self.shapes.width) * FLOAT
        after = tokens * (products + (2 if checkpointing else 5) * self.shapes.width) * FLOAT
        return max((while_taken, float(piece)), (after, 0.0), key=sum)

    def _inputs(self, width: int, layers: int, *, asks: bool) -> float:
        """Inputs of adapters: after dropout each its own, with the mask where the input asks for a gradient."""
        if not self.dropout:
            return width
        mask = (0.25 if self.on_gpu else 1.0) if asks else 0.0
        return layers * width * (1 + mask)


def tower_bytes(
    shapes: Shapes, rows: int, lora: Mapping[str, Any], scope: str, *, checkpointing: bool, on_gpu: bool
) -> float:
    """What autograd keeps of the vision tower, where adapters are on it."""
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
    """(how many, in, out) of the linear layers that adapters are on."""
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
    """Weights of the adapters."""
    return sum(n * rank * (a + b) for n, a, b in linear_layers(shapes, scope))


def adapter_bytes(shapes: Shapes, rank: int) -> int:
    """Bytes of adapters of this rank beside the decoder's weights; merged where weights are float32."""
    return 0 if shapes.stored == FLOAT else adapter_weights(shapes, "language", rank) * FLOAT
