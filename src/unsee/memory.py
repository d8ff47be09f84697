"""How much memory a job needs, from shapes alone: nothing is loaded, and torch is not imported.

Bytes on the device are counted at the moment when a job holds the most of them: the weights as they are stored, the float32 copy of a piece
of a matrix while it is multiplied, adapters with gradients and Adam's moments, what autograd keeps of the forward pass, and
what a method keeps besides. docs/memory.md has the results, and tests/test_memory_arithmetic.py compares them with measured peaks.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.models.checkpoints import read_header
from unsee.unlearning.method import Needs

if TYPE_CHECKING:
    from unsee.config import Entry, Key

#: As the memory of cards is sold.
GB = 2**30
#: Bytes of a number that is computed with, and of one that is stored, by ``model.dtype``.
FLOAT = 4
STORED = {"float32": 4, "bfloat16": 2, "float16": 2}
#: Elements of a matrix that are held in float32 at a time, where it is stored in half precision (unsee.models.half).
PIECE = 2**26
#: Of a card, for the CUDA context and the libraries' own buffers; and the share of a job's need added for fragmentation.
CONTEXT = 8 * GB // 10
MARGIN = 0.1
#: Host memory of a process besides the weights, at the least: Python and its libraries.
PROCESS = 10**9


# --- the shapes of a model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tower:
    """A vision tower and what joins it to the decoder.

    Attributes:
        layers, width, feed_forward: of its blocks.
        patches: tokens that a picture has inside the tower.
        attention: (in, out) of the linear layers of a block's attention that make queries, keys and values.
        other: (in, out) of the block's other linear layers.
        joins: (in, out) of the projector or merger.
        joined_tokens: how many tokens a picture has in the projector or merger.
        reads_pixels: weights of the convolution that makes patches of pixels.
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
    """What the arithmetic must know of a checkpoint.

    Attributes:
        layers, width, feed_forward, heads, key_value_heads, head_width: of the decoder.
        vocabulary, tied: rows of the embedding table; whether the output projection is the same table.
        tower: the vision tower.
        picture_tokens: of the largest picture.
        context: tokens that the decoder was made for.
        stored: bytes of a stored weight.
        counted: parameters of the checkpoint's files, where they are on this disk.
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
        """How many weights the checkpoint has."""
        if self.counted is not None:
            return self.counted
        decoder = self.layers * _elements((*self.attention, *self.mlp))
        vocabulary = (1 if self.tied else 2) * self.vocabulary * self.width
        tower = self.tower.layers * _elements((*self.tower.attention, *self.tower.other)) + _elements(self.tower.joins)
        return decoder + vocabulary + tower + self.tower.reads_pixels

    @property
    def largest_matrix(self) -> int:
        """Elements of the largest matrix that is multiplied with."""
        return max(self.vocabulary * self.width, *(a * b for a, b in (*self.mlp, *self.tower.joins)))


def _elements(linears: tuple[tuple[int, int], ...]) -> int:
    return sum(a * b for a, b in linears)


#: What config.json may leave to transformers' defaults.
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

#: What the config.json of published checkpoints says, until their files are on this disk.
_LLAVA_15: dict[str, Any] = {
    "model_type": "llava",
    "text_config": {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096},
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "image_size": 336,
        "patch_size": 14,
    },
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "llava-hf/llava-1.5-7b-hf": _LLAVA_15,
    "MLLMMU/LLaVA_Vanilla": _LLAVA_15,  # the same model, fine-tuned
    "Qwen/Qwen2-VL-7B-Instruct": {
        "model_type": "qwen2_vl",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
        "vision_config": {
            "depth": 32,
            "embed_dim": 1280,
            "mlp_ratio": 4,
            "hidden_size": 3584,
            "patch_size": 14,
            "spatial_merge_size": 2,
        },
    },
}


def shapes_of(model: Mapping[str, Any], root: Path, picture: tuple[int, int]) -> Shapes | None:
    """The shapes of the configuration's model; ``None`` where nothing on this disk or in :data:`PUBLISHED` tells them.

    Args:
        model: the configuration's ``model`` section.
        root: the folder that a relative path is seen from.
        picture: width and height in pixels of the largest picture that it will be shown.
    """
    if model["build"]:
        return None
    folder = root / model["path"]
    if not folder.is_dir():
        cached = _cached(model["path"], model.get("revision"))
        if cached is None:
            published = PUBLISHED.get(model["path"])
            return None if published is None else read_shapes(published, {}, model["dtype"], picture)
        folder = cached
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        pictures = _picture_settings(folder)
        found = read_shapes(settings, pictures, model["dtype"], picture)
        return found and replace(found, counted=_count(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a checkpoint that cannot be read is refused elsewhere, in its own words


def _cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a published checkpoint in the hub's cache, found as the hub lays it out: planning imports no hub."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{repository.replace('/', '--')}"
    newest = folder / "refs" / "main"
    if revision is None and newest.is_file():
        revision = newest.read_text(encoding="utf-8").strip()
    snapshot = folder / "snapshots" / (revision or "")
    return snapshot if (snapshot / "config.json").is_file() else None


def _picture_settings(folder: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            return dict(settings.get("image_processor", settings))
    return {}


def _count(folder: Path) -> int | None:
    """The parameters in a folder's safetensors files, from their headers; ``None`` where a part is missing."""
    wanted = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = sorted(
            {folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        )
    if not wanted or not all(path.is_file() for path in wanted):
        return None
    return sum(math.prod(shape) for path in wanted for shape in read_header(path).values())


def read_shapes(
    config: Mapping[str, Any], pictures: Mapping[str, Any], dtype: str, picture: tuple[int, int]
) -> Shapes | None:
    """The shapes that a config.json describes; ``None`` for a kind of model that is not known here.

    Args:
        config: its content, of 2024's layout (one level) or a later one.
        pictures: what the checkpoint says of pictures (preprocessor_config.json).
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


# --- the lengths of a benchmark ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """The longest sequences of a benchmark, in tokens, besides the pictures'.

    Attributes:
        words, answer: of a training pair with its chat template; of its answer alone.
        pairs: training pairs of a person.
        asked: words of all questions behind one picture, with their options.
        options: words of the options of these.
        open: questions among them that are answered in words.
        picture: width and height of the largest picture.
        people, pictures: fictitious people, and training pictures a person.
    """

    words: int
    answer: int
    pairs: int
    asked: int
    options: int
    open: int
    picture: tuple[int, int]
    people: int
    pictures: int = 1


#: Assumed, on the long side: answers of the published data are captions and a few sentences, and a plan is made before any are fetched.
LENGTHS = {
    "synthetic": Lengths(words=160, answer=64, pairs=14, asked=1000, options=400, open=8, picture=(96, 96), people=100),
    "mllmu": Lengths(
        words=256, answer=128, pairs=14, asked=1200, options=400, open=8, picture=(1024, 1024), people=500
    ),
    "clear": Lengths(
        words=256, answer=192, pairs=40, asked=1200, options=400, open=8, picture=(1024, 1024), people=200, pictures=19
    ),
}


# --- what jobs need ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """Bytes on the device at the moment when a job holds the most, by what they are for."""

    parts: dict[str, float] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return round(sum(self.parts.values()))

    @property
    def largest(self) -> str:
        """The part that takes the most."""
        return max(self.parts, key=lambda name: self.parts[name])

    def fits(self, card: float) -> bool:
        """Whether it fits a card of so many GB, with room for CUDA's context and fragmentation."""
        return self.card <= card

    @property
    def card(self) -> float:
        """The memory that a card must have, in GB."""
        return (self.bytes * (1 + MARGIN) + CONTEXT) / GB


def training(
    shapes: Shapes,
    lengths: Lengths,
    settings: Mapping[str, Any],
    *,
    needs: Needs | None = None,
    method: str = "",
    options: Mapping[str, Any] | None = None,
    beside: int = 0,
    retained: int = 0,
    on_gpu: bool = True,
) -> Need:
    """What a job of ``finetune`` or ``unlearn`` needs.

    Args:
        shapes, lengths: of model and benchmark.
        settings: of the training, with defaults where a key is missing.
        needs: of the method; ``None``: fine-tuning.
        method: its name, for what ``prepare`` keeps: of ``mmunlearner`` and ``vl_eraser``.
        options: of the method.
        beside: rank of the adapter that lies beside weights in half precision (vanilla).
        retained: pictures, or pairs, of the people to keep that VL-Eraser looks at.
        on_gpu: a CPU keeps dropout's masks in four bytes an element and does not repeat grouped keys.
    """
    needs, options = needs or Needs(), options or {}
    pairs = lengths.pairs if settings.get("packing") == "person" else 1
    processes = settings.get("num_processes", 1)
    accumulation = settings.get("gradient_accumulation", 1)
    rows = math.ceil(math.ceil(settings["batch_size"] / processes) / accumulation)
    tokens = rows * (shapes.picture_tokens + pairs * lengths.words)
    scored = rows * pairs * (lengths.words if settings.get("loss_tokens") == "all" else lengths.answer)
    joint = settings.get("alternation", "joint") == "joint"
    groups = 1 + (needs.retain and joint)
    checkpointing = settings.get("gradient_checkpointing", False)
    lora = {"rank": 8, "dropout": 0.05, "scope": "language", **settings.get("lora", {})}
    eraser = method == "vl_eraser"
    scope = "feed_forward" if eraser else lora["scope"]
    distances = eraser and options.get("distil", True)
    block = _Block(shapes, scope, lora["rank"], lora["dropout"], on_gpu, distances)
    first = scope in ("language", "feed_forward") and not checkpointing  # the first block's input asks for no gradient
    if checkpointing:
        blocks, again = shapes.layers * tokens * shapes.width * FLOAT, block.saved(tokens)
    else:
        blocks, again = (shapes.layers - first) * block.saved(tokens) + first * block.saved(tokens, first=True), 0
    # Besides the blocks: the last norm's input, sines and cosines.
    kept = groups * (blocks + tokens * (shapes.width + 2 * shapes.head_width) * FLOAT)
    kept += groups * _tower(shapes, rows, lora, scope, checkpointing=checkpointing, on_gpu=on_gpu)
    if settings.get("packing") == "person":  # who sees whom, as booleans and as numbers
        kept += groups * tokens * (tokens / rows) * (1 + FLOAT)
    logits, piece = scored * shapes.vocabulary * FLOAT, upcast(shapes)
    others = (groups - 1) * logits  # the probabilities that another group's loss keeps until the backward pass
    head = others + max(3 * logits, 2 * logits if shapes.stored == FLOAT else logits + piece)
    momentary, copied = block.moment(tokens, piece, checkpointing=checkpointing)
    moments = {"blocks": (kept + again + momentary, copied, others), "head": (kept, 0, head)}
    if needs.vocabulary and joint:
        # Of the retained: log-probabilities, the reference's, their exponential, difference and product.
        moments["head"] = (kept, 0, 6 * logits)
        moments["reference"] = (kept + momentary, copied, 2 * logits)
    if eraser and options.get("vacuum", True):
        moments["decomposition"] = (_decomposition(shapes, retained), 0, 0)
    activations, copied, vocabulary = max(moments.values(), key=sum)

    trained = _trained(shapes, scope, lora["rank"])
    if options.get("parameters") == "full":  # MMUnlearner's: copies of the weights themselves
        trained = sum(n * a * b for n, a, b in _linears(shapes, scope))
    # The optimizer's moments; gradients, while a further part of the step is computed.
    more = (0 if settings.get("optimizer", "adam") == "sgd" else 2) + (
        accumulation > 1 and rows < settings["batch_size"]
    )
    adapters: float = trained * FLOAT * (1 + more)
    if method == "mmunlearner":
        adapters += trained * (1 + FLOAT)  # a mask of a byte, and the masked gradient in the loss
        # Before training, squared gradients are gathered: two sums of them, no gradients and no moments, and random matrices for B.
        of_saliency = _saliency(shapes, lengths, rows, block, scope, checkpointing=checkpointing)
        if 3.5 * trained * FLOAT + sum(of_saliency) > adapters + activations + copied + vocabulary:
            adapters = 3.5 * trained * FLOAT
            activations, copied, vocabulary = of_saliency
    return _need(
        {
            "weights": shapes.parameters * shapes.stored,
            "adapters": adapters,
            "vanilla's adapter": _beside(shapes, beside),
            "float32 copies": copied,
            "activations": activations,
            "vocabulary": vocabulary,
            "bases": bases(shapes, retained) if eraser and options.get("vacuum", True) else 0,
        }
    )


def _saliency(
    shapes: Shapes, lengths: Lengths, rows: int, block: _Block, scope: str, *, checkpointing: bool
) -> tuple[float, float, float]:
    """What MMUnlearner's squared gradients take: activations, float32 copies, vocabulary."""
    # As many examples as a part of a step has of both groups; one by one where the tower is trained.
    examples = 2 * rows if scope == "language" else 1
    tokens = examples * (shapes.picture_tokens + lengths.words)
    logits, piece = examples * lengths.answer * shapes.vocabulary * FLOAT, upcast(shapes)
    again = block.tapped(tokens)
    blocks = shapes.layers * tokens * shapes.width * FLOAT if checkpointing else shapes.layers * again
    moment = tokens * (2 * shapes.feed_forward + shapes.width) * FLOAT
    in_block = (blocks + checkpointing * again + moment, piece, 0.0)
    return max(in_block, (blocks, 0.0, max(3 * logits, logits + piece)), key=sum)


def _need(parts: Mapping[str, float]) -> Need:
    return Need({name: size for name, size in parts.items() if size})


def answering(
    shapes: Shapes,
    lengths: Lengths,
    settings: Mapping[str, Any],
    *,
    beside: int = 0,
) -> Need:
    """What a job of ``predict``, ``rescale`` or ``ask_anchor`` needs.

    Args:
        shapes, lengths: of model and benchmark.
        settings: the configuration's ``evaluation`` section.
        beside: rank of all adapters that lie beside weights in half precision.
    """
    published = settings["protocol"] != "unsee"
    shots = settings["protocol"] == "mllmu-official" or (published and settings["shots"])
    # A person's examples of multiple choice: five pictures and their words, before the person's own picture; and the words once more.
    tokens = (1 + 5 * bool(shots)) * shapes.picture_tokens + lengths.asked * (1 + bool(shots))
    waits = tokens if published else tokens - lengths.options
    new_words = lengths.open * (50 if published else settings["max_new_tokens"])
    packs = settings["batch_size"]
    a_token = shapes.layers * 2 * shapes.key_value_width * FLOAT
    repeated = 2 * (shapes.query_width - shapes.key_value_width) * FLOAT
    # Gate, up, and what adapters beside them add; the residual stream, its norm, a product and its sum.
    products = 2 if beside and shapes.stored != FLOAT else 0
    forward = tokens * (2 + products) * shapes.feed_forward * FLOAT + tokens * 4 * shapes.width * FLOAT + tokens**2 * 5
    logits = lengths.options * shapes.vocabulary * FLOAT
    reading = (packs - 1) * waits * a_token + tokens * a_token + max(forward + tokens * repeated, 2 * logits)
    written = waits + new_words
    # The cache of a layer is copied for each new word, and repeated for each head.
    writing = packs * written * (a_token + 2 * shapes.key_value_width * FLOAT + repeated)
    piece = upcast(shapes)
    moments = {
        "reading": (((packs - 1) * waits + tokens) * a_token, reading),
        "writing": (packs * written * a_token, writing),
    }
    cache, largest = max(moments.values(), key=lambda moment: moment[1])
    return _need(
        {
            "weights": shapes.parameters * shapes.stored,
            "adapters": _beside(shapes, beside),
            "float32 copies": piece,
            "keys and values": cache,
            "activations": largest - cache,
        }
    )


def host(shapes: Shapes) -> int:
    """The least bytes of host memory that loading the model takes: each weight once, and the process around them."""
    return shapes.parameters * shapes.stored + PROCESS


def upcast(shapes: Shapes) -> int:
    """Bytes of a piece of a matrix in float32; none where weights are stored so."""
    if shapes.stored == FLOAT:
        return 0
    return FLOAT * min(PIECE, shapes.largest_matrix)


def bases(shapes: Shapes, pictures: int) -> int:
    """Bytes of VL-Eraser's projections: for each feed-forward layer the thinner of a space and its complement."""
    columns = {width: min(pictures, max(width - pictures, 0)) for width, _ in shapes.mlp}
    return shapes.layers * sum(width * columns[width] for width, _ in shapes.mlp) * FLOAT


def _decomposition(shapes: Shapes, rows: int) -> int:
    """Bytes of the singular value decomposition of one layer's inputs, in double precision: input, copy, vectors, work space."""
    width = shapes.feed_forward
    vectors = width**2 if rows > width // 2 else width * min(rows, width)
    return 8 * (vectors + 3 * width * rows)


@dataclass(frozen=True)
class _Block:
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


def _tower(
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


def _linears(shapes: Shapes, scope: str) -> Iterator[tuple[int, int, int]]:
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


def _trained(shapes: Shapes, scope: str, rank: int) -> int:
    """Weights of the adapters."""
    return sum(n * rank * (a + b) for n, a, b in _linears(shapes, scope))


def _beside(shapes: Shapes, rank: int) -> int:
    """Bytes of adapters of this rank beside the decoder's weights; merged where weights are float32."""
    return 0 if shapes.stored == FLOAT else _trained(shapes, "language", rank) * FLOAT


# --- what a configuration needs ----------------------------------------------------------------------------------

#: Rules that load the base model in every run; ``rescale`` and ``ask_anchor`` do where they are asked for.
LOADING = ("finetune", "unlearn", "predict")


def needs_of(
    config: Mapping[str, Any], entries: Mapping[str, Entry], shapes: Shapes
) -> Iterator[tuple[tuple[str, ...], str, Need]]:
    """(key of the configuration, rule, need) of fine-tuning, of each entry of ``methods``, and of answering.

    Weights that are shared out among processes are left out.
    """
    lengths = LENGTHS[config["benchmark"]["name"]]
    if config["benchmark"]["name"] == "synthetic":
        lengths = replace(lengths, people=config["benchmark"]["people"])
    if not config["finetune"].get("shard"):
        yield ("finetune",), "finetune", training(shapes, lengths, config["finetune"])
    vanilla = rank_of(config["finetune"])
    retained = round(lengths.people * (1 - min(config["benchmark"]["forget_percents"]) / 100))
    for entry in entries.values():
        if not entry.settings.get("shard"):
            need = training(
                shapes,
                lengths,
                entry.settings,
                needs=entry.method.needs,
                method=entry.method.name,
                options=entry.settings,
                beside=vanilla,
                retained=retained * _inputs_a_person(lengths, entry.settings.get("vacuum_inputs", "image")),
            )
            yield ("methods", entry.name), "unlearn", need
    rank = vanilla + max((rank_of(entry.settings) for entry in entries.values()), default=0)
    yield ("evaluation", "batch_size"), "predict", answering(shapes, lengths, config["evaluation"], beside=rank)


def _inputs_a_person(lengths: Lengths, which: str) -> int:
    """Inputs that VL-Eraser keeps clear of, for each person to keep."""
    return lengths.pictures * (which != "text") + lengths.pairs * (which != "image")


def rank_of(settings: Mapping[str, Any]) -> int:
    """The rank of the adapter that a training run makes."""
    return int(settings.get("lora", {}).get("rank", 8))


def ways_to_train(batch_size: int) -> Iterator[dict[str, Any]]:
    """Settings with the same gradient, the fastest first: a step in more parts, then without what can be computed again."""
    for checkpointing in (False, True):
        parts = 1
        while parts <= batch_size:
            yield {"gradient_accumulation": parts, "gradient_checkpointing": checkpointing}
            parts *= 2


def findings(config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path) -> Iterator[tuple[Key, str]]:
    """What does not fit the host memory that rules ask for, or the card of ``cluster.gpu_gb``."""
    lengths = LENGTHS[config["benchmark"]["name"]]
    shapes = shapes_of(config["model"], root, lengths.picture)
    if shapes is None:
        return
    for rule in LOADING:
        entry = config["resources"][rule]
        least = math.ceil(host(shapes) / 10**6)
        if entry["mem_mb"] < least:
            weights = round(shapes.parameters * shapes.stored / 10**6)
            message = (
                f"is {entry['mem_mb']}; expected at least {least}: the weights take {weights} while they are loaded"
            )
            yield ("resources", rule, "mem_mb"), message
    cards = {
        rule: {**config["cluster"], **config["resources"][rule]}.get("gpu_gb")
        for rule in LOADING
        if config["resources"][rule]["gpu"]
    }
    if not any(cards.values()):
        return
    for key, rule, need in needs_of(config, entries, shapes):
        card = cards.get(rule)
        if card is not None and not need.fits(card):
            part = f"{need.parts[need.largest] / GB:.1f} of them for {need.largest}"
            lacks = f"a GPU of {need.card:.1f} GB in rule {rule}, {part}, and gpu_gb is {card}"
            yield key, f"{_needing(config, key)} {lacks}; expected {_remedy(config, entries, key, shapes, card)}"


def _needing(config: Mapping[str, Any], key: tuple[str, ...]) -> str:
    return f"is {config['evaluation']['batch_size']}, and that needs" if key[0] == "evaluation" else "needs"


def _remedy(
    config: Mapping[str, Any], entries: Mapping[str, Entry], key: tuple[str, ...], shapes: Shapes, card: float
) -> str:
    """What to set so that it fits, or the smallest card that will do."""
    smallest = math.inf
    for said, changed, others in _alternatives(config, entries, key):
        need = next(need for found, _, need in needs_of(changed, others, shapes) if found == key)
        if need.fits(card):
            return said
        smallest = min(smallest, need.card)
    return f"a GPU of at least {math.ceil(smallest)} GB, or another model"


def _alternatives(
    config: Mapping[str, Any], entries: Mapping[str, Entry], key: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Entry]]]:
    """(in words, configuration, entries) of other settings with the same result, the fastest first."""
    if key[0] == "evaluation":
        for packs in range(config["evaluation"]["batch_size"], 0, -1):
            yield f"at most {packs}", {**config, "evaluation": {**config["evaluation"], "batch_size": packs}}, entries
        return
    settings = config["finetune"] if key[0] == "finetune" else entries[key[1]].settings
    for way in ways_to_train(settings["batch_size"]):
        said = " and ".join(f"{name}: {str(value).lower()}" for name, value in way.items())
        if key[0] == "finetune":
            yield said, {**config, "finetune": {**settings, **way}}, entries
        else:
            yield said, config, {key[1]: replace(entries[key[1]], settings={**settings, **way})}
