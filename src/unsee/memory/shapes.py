"""The shapes of a model: its layers, widths and weights, as its config.json describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Bytes of a number in computations, and of a stored number by ``model.dtype``.
FLOAT = 4
STORED = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Tower:
    """A vision tower and its projector or merger.

    Attributes:
        layers, width, feed_forward: the number of blocks and their widths.
        patches: tokens of a picture inside the tower.
        attention: (in, out) of the linear layers for queries, keys and values of a block.
        other: (in, out) of the block's other linear layers.
        joins: (in, out) of the linear layers of the projector or merger.
        joined_tokens: tokens of a picture in the projector or merger.
        reads_pixels: the number of weights of the convolution that turns pixels into patches.
    """

    layers: int
    width: int
    feed_forward: int
    patches: int
    attention: tuple[tuple[int, int], ...]
    other: tuple[tuple[int, int], ...]
    joins: tuple[tuple[int, int], ...]
    joined_tokens: int
    reads_pixels: int = 0


@dataclass(frozen=True)
class Shapes:
    """The shapes of a checkpoint.

    Attributes:
        layers, width, feed_forward, heads, key_value_heads, head_width: those of the decoder.
        vocabulary, tied: rows of the embedding table, and whether the output projection is the same table.
        tower: the vision tower.
        picture_tokens: tokens of the largest picture.
        context: the most tokens of a sequence.
        stored: bytes of a stored weight.
        counted: the number of parameters in the checkpoint's files; ``None`` if they are not on this disk.
    """

    layers: int
    width: int
    feed_forward: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    tower: Tower
    picture_tokens: int
    context: int
    stored: int
    counted: int | None = None

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def key_value_width(self) -> int:
        return self.key_value_heads * self.head_width

    @property
    def attention(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of q, k, v and o."""
        queries, keys = self.query_width, self.key_value_width
        return ((self.width, queries), (self.width, keys), (self.width, keys), (queries, self.width))

    @property
    def mlp(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of gate, up and down."""
        return ((self.width, self.feed_forward), (self.width, self.feed_forward), (self.feed_forward, self.width))

    @property
    def parameters(self) -> int:
        """The number of weights of the checkpoint."""
        if self.counted is not None:
            return self.counted
        decoder = self.layers * _elements((*self.attention, *self.mlp))
        vocabulary = (1 if self.tied else 2) * self.vocabulary * self.width
        tower = self.tower.layers * _elements((*self.tower.attention, *self.tower.other)) + _elements(self.tower.joins)
        return decoder + vocabulary + tower + self.tower.reads_pixels

    @property
    def largest_matrix(self) -> int:
        """The number of elements of the largest matrix in a product."""
        return max(self.vocabulary * self.width, *(a * b for a, b in (*self.mlp, *self.tower.joins)))


def _elements(linears: tuple[tuple[int, int], ...]) -> int:
    return sum(a * b for a, b in linears)


#: transformers' defaults of keys that config.json may leave out.
_DEFAULTS: dict[str, dict[str, int]] = {
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
    "mistral": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "max_position_embeddings": 4096 * 32,
    },
    "qwen2_vl_vision": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "patch_size": 14, "spatial_merge_size": 2},
    "qwen2_vl_pictures": {"longest_edge": 12845056},
}


def read_shapes(
    config: Mapping[str, Any], pictures: Mapping[str, Any], dtype: str, picture: tuple[int, int]
) -> Shapes | None:
    """The shapes that a config.json describes; ``None`` for other kinds of models.

    Args:
        config: the content of config.json, in the layout of 2024 (one level) or a later one.
        pictures: the content of preprocessor_config.json.
        dtype: ``model.dtype``.
        picture: width and height of the largest picture.
    """
    kind = config.get("model_type")
    text = {"model_type": "qwen2_vl" if kind == "qwen2_vl" else "llama", **(config.get("text_config") or config)}
    decoder = {**_DEFAULTS.get(text["model_type"], {}), **text}
    heads = decoder["num_attention_heads"]
    if kind == "qwen2_vl":
        tower, tokens = _qwen2_vl_tower(config["vision_config"], decoder["hidden_size"], pictures, picture)
    elif kind in ("llava", "llava_next"):
        tower, tokens = _clip_tower(config, decoder["hidden_size"], tiled=kind == "llava_next")
    else:
        return None
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    return Shapes(
        layers=decoder["num_hidden_layers"],
        width=decoder["hidden_size"],
        feed_forward=decoder["intermediate_size"],
        heads=heads,
        key_value_heads=decoder.get("num_key_value_heads") or heads,
        head_width=decoder.get("head_dim") or decoder["hidden_size"] // heads,
        vocabulary=decoder["vocab_size"],
        tied=bool(tied),
        tower=tower,
        picture_tokens=tokens,
        context=decoder["max_position_embeddings"],
        stored=STORED[dtype],
    )


def _clip_tower(config: Mapping[str, Any], decoder_width: int, *, tiled: bool) -> tuple[Tower, int]:
    vision = config["vision_config"]
    width, feed_forward, side = vision["hidden_size"], vision["intermediate_size"], vision["image_size"]
    rows = side // vision["patch_size"]
    tokens = rows * rows + (config.get("vision_feature_select_strategy", "default") != "default")
    tiles = 1
    if tiled:  # the whole picture, and a grid of tiles whose rows end in a token of their own
        grids = [(h // side, w // side) for h, w in config["image_grid_pinpoints"]]
        tiles += max(h * w for h, w in grids)
        tokens += max(h * rows * (w * rows + 1) for h, w in grids)
    square = (width, width)
    tower = Tower(
        layers=vision["num_hidden_layers"],
        width=width,
        feed_forward=feed_forward,
        patches=tiles * (rows * rows + 1),
        attention=(square, square, square),
        other=(square, (width, feed_forward), (feed_forward, width)),
        joins=((width, decoder_width), (decoder_width, decoder_width)),
        joined_tokens=tokens,
        reads_pixels=3 * vision["patch_size"] ** 2 * width,
    )
    return tower, tokens


def _qwen2_vl_tower(
    vision: Mapping[str, Any], decoder_width: int, pictures: Mapping[str, Any], picture: tuple[int, int]
) -> tuple[Tower, int]:
    vision = {**_DEFAULTS["qwen2_vl_vision"], **vision}
    width, merged = vision["embed_dim"], vision["spatial_merge_size"]
    feed_forward = int(width * vision["mlp_ratio"])
    side = vision["patch_size"] * merged
    limits = {**_DEFAULTS["qwen2_vl_pictures"], **(pictures.get("size") or {})}
    most = pictures.get("max_pixels") or limits["longest_edge"]
    tokens = min(round(picture[0] / side) * round(picture[1] / side), most // side**2)
    joined = width * merged**2
    tower = Tower(
        layers=vision["depth"],
        width=width,
        feed_forward=feed_forward,
        patches=tokens * merged**2,
        attention=((width, 3 * width),),
        other=((width, width), (width, feed_forward), (feed_forward, width)),
        joins=((joined, joined), (joined, decoder_width)),
        joined_tokens=tokens,
        reads_pixels=3 * 2 * vision["patch_size"] ** 2 * width,
    )
    return tower, tokens
