"""Operations and bytes of forward and backward passes, from shapes alone; a product of (a, b) and (b, c) has 2abc operations.

Norms, activations, softmax and the optimizer are not counted: they have a few operations per number, where products have thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

from unsee.memory import STORED, Shapes
from unsee.memory.blocks import adapter_weights
from unsee.memory.shapes import FLOAT

#: Bytes moved for a weight in each pass: a half-precision weight is read, written as float32 and read again (unsee.models.half).
MOVED = {STORED["float32"]: FLOAT, STORED["float16"]: STORED["float16"] + 2 * FLOAT}


@dataclass(frozen=True)
class Cost:
    """The cost of some passes.

    Attributes:
        products: operations of products with weights.
        attention: operations of attention.
        bytes: weights, keys and values moved between memory and the processor.
        blocks: passes times blocks, each of which a GPU starts as several kernels.
    """

    products: float = 0.0
    attention: float = 0.0
    bytes: float = 0.0
    blocks: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.products + other.products,
            self.attention + other.attention,
            self.bytes + other.bytes,
            self.blocks + other.blocks,
        )

    def __mul__(self, n: float) -> Cost:
        return Cost(self.products * n, self.attention * n, self.bytes * n, self.blocks * n)

    @property
    def flops(self) -> float:
        """All operations."""
        return self.products + self.attention


def decoder_weights(shapes: Shapes) -> int:
    """The number of weights of the decoder's linear layers."""
    return shapes.layers * sum(a * b for a, b in (*shapes.attention, *shapes.mlp))


def causal(tokens: float) -> float:
    """Pairs of tokens that see each other in a sequence: each sees itself and those before it."""
    return tokens * (tokens + 1) / 2


def forward(shapes: Shapes, tokens: float, pairs: float, scored: float, *, cached: float = 0.0) -> Cost:
    """A forward pass of the decoder and the output projection.

    Args:
        shapes: those of the model.
        tokens: the tokens that are read.
        pairs: (token, visible token) pairs, of which attention computes two products.
        scored: positions that reach the output projection.
        cached: tokens whose keys and values are read from a cache.
    """
    weights = decoder_weights(shapes)
    head = shapes.vocabulary * shapes.width
    keys = 2 * shapes.layers * shapes.key_value_width * FLOAT
    return Cost(
        products=2 * weights * tokens + 2 * head * scored,
        attention=4 * shapes.layers * shapes.query_width * pairs,
        bytes=(weights + head * bool(scored)) * MOVED[shapes.stored] + cached * keys,
        blocks=shapes.layers,
    )


def training_pass(
    shapes: Shapes, tokens: float, pairs: float, scored: float, *, rank: int, scope: str, checkpointing: bool
) -> Cost:
    """A forward and a backward pass with a low-rank adapter.

    The backward pass computes the gradient of every product's input, not of frozen weights; of the adapter's products it computes both.
    Attention's backward pass has five products where the forward pass has two. Checkpointing runs the blocks once more.
    """
    once = forward(shapes, tokens, pairs, scored)
    blocks = forward(shapes, tokens, pairs, 0)
    back = Cost(once.products, 2.5 * once.attention, once.bytes, once.blocks)
    adapter = Cost(
        products=(2 * (1 + checkpointing) + 4) * adapter_weights(shapes, _decoder_scope(scope), rank) * tokens
    )
    return once + back + blocks * checkpointing + adapter


def _decoder_scope(scope: str) -> str:
    """The decoder's part of a scope; adapters of the tower are left out."""
    return "feed_forward" if scope == "feed_forward" else "language"


def encode(shapes: Shapes) -> Cost:
    """The tower and the projector read one picture."""
    tower = shapes.tower
    blocks = tower.layers * sum(a * b for a, b in (*tower.attention, *tower.other))
    joins = sum(a * b for a, b in tower.joins)
    return Cost(
        products=2 * (tower.patches * (blocks + tower.reads_pixels) + tower.joined_tokens * joins),
        attention=4 * tower.layers * tower.width * float(tower.patches) ** 2,
        bytes=(blocks + joins) * MOVED[shapes.stored],
        blocks=tower.layers,
    )
