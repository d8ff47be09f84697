"""The memory of jobs that load the model: training, answering, and host memory for the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unsee.memory.blocks import Block, adapter_bytes, adapter_weights, linear_layers, tower_bytes, upcast
from unsee.memory.lengths import Lengths
from unsee.memory.shapes import FLOAT, Shapes
from unsee.unlearning.method import Needs

#: The unit in which the memory of GPUs is sold.
GB = 2**30
#: Bytes of a GPU for the CUDA context and libraries' buffers, and the share of a job's need that is added for fragmentation.
CONTEXT = 8 * GB // 10
MARGIN = 0.1
#: The least host memory of a process besides the weights: Python and its libraries.
PROCESS = 10**9


@dataclass(frozen=True)
class Need:
    """Bytes on the device at the peak of a job, by purpose."""

    parts: dict[str, float] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return round(sum(self.parts.values()))

    @property
    def largest(self) -> str:
        """The name of the largest part."""
        return max(self.parts, key=lambda name: self.parts[name])

    def fits(self, card: float) -> bool:
        """Whether a GPU of ``card`` GB is large enough, with room for CUDA's context and fragmentation."""
        return self.card <= card

    @property
    def card(self) -> float:
        """The memory that a GPU must have, in GB."""
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
    """The memory of a ``finetune`` or ``unlearn`` job.

    Args:
        shapes, lengths: those of the model and the benchmark.
        settings: the training settings; a missing key has its default.
        needs: the method's needs; ``None`` for fine-tuning.
        method: the method's name; ``mmunlearner`` and ``vl_eraser`` keep tensors of their ``prepare``.
        options: the method's options.
        beside: the rank of the adapter beside weights in half precision (vanilla's).
        retained: the number of pictures, or pairs, of people to keep that VL-Eraser reads.
        on_gpu: false for a CPU, which keeps dropout's masks in four bytes per element and does not repeat grouped keys.
    """
    options = options or {}
    needs = (needs or Needs()).with_options(options)
    step = _Step.of(shapes, lengths, settings, needs, method, options, on_gpu)
    moments = step.moments(needs)
    vacuum = method == "vl_eraser" and options.get("vacuum", True)
    if vacuum:
        moments["decomposition"] = (_decomposition(shapes, retained), 0, 0)
    activations, copied, vocabulary = max(moments.values(), key=sum)

    trained = adapter_weights(shapes, step.scope, step.lora["rank"])
    if options.get("parameters") == "full":  # MMUnlearner trains copies of the weights themselves
        trained = sum(n * a * b for n, a, b in linear_layers(shapes, step.scope))
    # The optimizer's moments, and gradients while another part of the step is computed.
    copies = 0 if settings.get("optimizer", "adam") == "sgd" else 2
    copies += step.in_parts
    adapters: float = trained * FLOAT * (1 + copies)
    if method == "mmunlearner":
        adapters += trained * (1 + FLOAT)  # a mask of one byte, and the masked gradient in the loss
        # Before training: two sums of squared gradients and random matrices for B, but no gradients and no moments.
        of_saliency = _saliency(step, lengths)
        if 3.5 * trained * FLOAT + sum(of_saliency) > adapters + activations + copied + vocabulary:
            adapters = 3.5 * trained * FLOAT
            activations, copied, vocabulary = of_saliency
    return _need(
        {
            "weights": shapes.parameters * shapes.stored,
            "adapters": adapters,
            "vanilla's adapter": adapter_bytes(shapes, beside),
            "float32 copies": copied,
            "activations": activations,
            "vocabulary": vocabulary,
            "bases": bases(shapes, retained) if vacuum else 0,
        }
    )


#: Bytes at one time: activations, float32 copies of weights, and values over the vocabulary.
Moment = tuple[float, float, float]


@dataclass(frozen=True)
class _Step:
    """The part of a training step that is computed at once.

    Attributes:
        rows: examples, or packs, of each group.
        tokens, scored: tokens of each group, and how many of them enter the loss.
        groups: the batches of the loss: forget examples, their alternative answers and retain examples, as it needs them.
        in_parts: whether the step has more parts.
        by_person: whether a person's pairs are packed.
        joint: whether both groups are in one step.
        lora, scope, block: the adapters' settings, the layers with adapters, and a decoder block.
    """

    shapes: Shapes
    rows: int
    tokens: int
    scored: int
    groups: int
    in_parts: bool
    by_person: bool
    joint: bool
    checkpointing: bool
    on_gpu: bool
    lora: Mapping[str, Any]
    scope: str
    block: Block

    @classmethod
    def of(
        cls,
        shapes: Shapes,
        lengths: Lengths,
        settings: Mapping[str, Any],
        needs: Needs,
        method: str,
        options: Mapping[str, Any],
        on_gpu: bool,
    ) -> _Step:
        by_person = settings.get("packing") == "person"
        pairs = lengths.pairs if by_person else 1
        accumulation = settings.get("gradient_accumulation", 1)
        rows = math.ceil(math.ceil(settings["batch_size"] / settings.get("num_processes", 1)) / accumulation)
        joint = settings.get("alternation", "joint") == "joint"
        lora = {"rank": 8, "dropout": 0.05, "scope": "language", **settings.get("lora", {})}
        eraser = method == "vl_eraser"
        scope = "feed_forward" if eraser else lora["scope"]
        distances = eraser and options.get("distil", True)
        return cls(
            shapes=shapes,
            rows=rows,
            tokens=rows * (shapes.picture_tokens + pairs * lengths.words),
            scored=rows * pairs * (lengths.words if settings.get("loss_tokens") == "all" else lengths.answer),
            groups=1 + (needs.alternative == "beside") + (needs.retain_examples and joint),
            in_parts=accumulation > 1 and rows < settings["batch_size"],
            by_person=by_person,
            joint=joint,
            checkpointing=settings.get("gradient_checkpointing", False),
            on_gpu=on_gpu,
            lora=lora,
            scope=scope,
            block=Block(shapes, scope, lora["rank"], lora["dropout"], on_gpu, distances),
        )

    def moments(self, needs: Needs) -> dict[str, Moment]:
        """The times of a step at which memory may peak, by name."""
        shapes, kept = self.shapes, self._kept(hidden=bool(needs.hidden))
        logits, piece = self.scored * shapes.vocabulary * FLOAT, upcast(shapes)
        others = (
            self.groups - 1
        ) * logits  # probabilities that the losses of the other groups keep for the backward pass
        head = others + max(3 * logits, 2 * logits if shapes.stored == FLOAT else logits + piece)
        momentary, copied = self.block.moment(self.tokens, piece, checkpointing=self.checkpointing)
        again = self.block.saved(self.tokens) if self.checkpointing else 0
        moments: dict[str, Moment] = {"blocks": (kept + again + momentary, copied, others), "head": (kept, 0, head)}
        if needs.reference == "vanilla":
            moments["reference"] = (kept + momentary, copied, self.groups * logits)
        if needs.vocabulary != "none":
            # Of each group its log-probabilities; vanilla's; and three of the loss: a distribution, a difference and a product.
            of_vanilla = needs.reference == "vanilla" and needs.has_vocabulary(needs.reference_on)
            in_loss = 3 * (self.groups if needs.vocabulary == "both" else 1)
            moments["head"] = (kept, 0, (self.groups + of_vanilla + in_loss) * logits)
        return moments

    def _kept(self, *, hidden: bool) -> float:
        """Activations that autograd keeps for the backward pass, with a layer's hidden states if the loss takes them."""
        shapes, tokens = self.shapes, self.tokens
        if self.checkpointing:
            blocks = float(shapes.layers * tokens * shapes.width * FLOAT)
        else:
            first = self.scope in ("language", "feed_forward")  # the input of the first block needs no gradient
            blocks = (shapes.layers - first) * self.block.saved(tokens)
            blocks += first * self.block.saved(tokens, first=True)
        # Besides the blocks: the input of the last norm, sines and cosines.
        kept = self.groups * (blocks + tokens * (shapes.width + 2 * shapes.head_width) * FLOAT)
        kept += self.groups * tower_bytes(
            shapes, self.rows, self.lora, self.scope, checkpointing=self.checkpointing, on_gpu=self.on_gpu
        )
        if hidden:  # of each group: the hidden states, their difference to a target, and vanilla's
            kept += 3 * self.groups * self.scored * shapes.width * FLOAT
        if self.by_person:  # the mask, as booleans and as numbers
            kept += self.groups * tokens * (tokens / self.rows) * (1 + FLOAT)
        return kept


def reading(shapes: Shapes, lengths: Lengths, *, beside: int = 0, gated: bool = False) -> Need:
    """The memory of an ``unlearn`` job of a method that does not train: one example at a time is read, without gradients.

    Args:
        shapes, lengths: those of the model and the benchmark.
        beside: the rank of the adapter beside weights in half precision (vanilla's).
        gated: whether the method measures neurons and gates them.
    """
    tokens, tower = shapes.picture_tokens + lengths.words, shapes.tower
    # Gate, up, what adapters beside them add, and a layer's neurons once more, gated or their sizes; the residual stream, its
    # norm, a product and its sum.
    wide = 2 + gated + (beside > 0 and shapes.stored != FLOAT)
    decoder = tokens * (wide * shapes.feed_forward + 4 * shapes.width)
    encoder = tower.patches * ((2 + gated) * tower.feed_forward + 4 * tower.width)
    return _need(
        {
            "weights": shapes.parameters * shapes.stored,
            "vanilla's adapter": adapter_bytes(shapes, beside),
            "gates": gate_bytes(shapes) if gated else 0,
            "float32 copies": upcast(shapes),
            "activations": max(decoder, encoder) * FLOAT,
        }
    )


def gate_bytes(shapes: Shapes) -> int:
    """The most bytes of gates beside weights in half precision: on every feed-forward layer; 0 if weights are float32."""
    tower = shapes.tower
    neurons = shapes.layers * (2 * shapes.feed_forward + shapes.width) + tower.layers * (
        tower.feed_forward + tower.width
    )
    return 0 if shapes.stored == FLOAT else neurons * FLOAT


def _saliency(step: _Step, lengths: Lengths) -> Moment:
    """The peak while MMUnlearner sums squared gradients."""
    shapes = step.shapes
    # As many examples as one part of a step has in both groups; one at a time if the tower is trained.
    examples = 2 * step.rows if step.scope == "language" else 1
    tokens = examples * (shapes.picture_tokens + lengths.words)
    logits, piece = examples * lengths.answer * shapes.vocabulary * FLOAT, upcast(shapes)
    again = step.block.tapped(tokens)
    blocks = shapes.layers * tokens * shapes.width * FLOAT if step.checkpointing else shapes.layers * again
    moment = tokens * (2 * shapes.feed_forward + shapes.width) * FLOAT
    in_block = (blocks + step.checkpointing * again + moment, piece, 0.0)
    return max(in_block, (blocks, 0.0, max(3 * logits, logits + piece)), key=sum)


def _need(parts: Mapping[str, float]) -> Need:
    return Need({name: size for name, size in parts.items() if size})


def answering(
    shapes: Shapes,
    lengths: Lengths,
    settings: Mapping[str, Any],
    *,
    beside: int = 0,
    gated: bool = False,
    instruction: int = 0,
) -> Need:
    """The memory of a ``predict`` or ``rescale`` job.

    Args:
        shapes, lengths: those of the model and the benchmark.
        settings: the configuration's ``evaluation`` section.
        beside: the total rank of all adapters beside weights in half precision.
        gated: whether neurons have gates.
        instruction: tokens of a text in front of every question.
    """
    published = settings["protocol"] != "unsee"
    shots = settings["protocol"] == "mllmu-official" or (published and settings["shots"])
    # With examples, a multiple choice prompt has five more pictures, and as many words again, before the person's picture.
    pictures = (1 + 5 * bool(shots)) * shapes.picture_tokens
    # Questions with the same picture share the text in front of them, and so do questions without one.
    tokens = pictures + lengths.questions * (1 + bool(shots)) + 2 * instruction
    read = max(tokens - pictures, pictures)  # pictures and words are read in two passes
    # Only what open questions see is stored; a task without them stores its pictures alone.
    stored = tokens if lengths.open else shapes.picture_tokens
    waits = stored if published or not lengths.open else tokens - lengths.options
    new_words = lengths.open * (50 if published else settings["max_new_tokens"])
    packs = settings["batch_size"]
    a_token = shapes.layers * 2 * shapes.key_value_width * FLOAT
    repeated = 2 * (shapes.query_width - shapes.key_value_width) * FLOAT
    # Gate, up, and what adapters beside them add; the residual stream, its norm, a product and its sum.
    products = (2 if beside and shapes.stored != FLOAT else 0) + (gated and shapes.stored != FLOAT)
    forward = read * ((2 + products) * shapes.feed_forward + 4 * shapes.width) * FLOAT + read * tokens * 5
    logits = lengths.options * shapes.vocabulary * FLOAT
    reading = (packs - 1) * waits * a_token + stored * a_token + max(forward + tokens * repeated, 2 * logits)
    written = waits + new_words
    # The cache of a layer is copied for each new word, and repeated for each head.
    writing = packs * written * (a_token + 2 * shapes.key_value_width * FLOAT + repeated)
    piece = upcast(shapes)
    moments = {
        "reading": (((packs - 1) * waits + stored) * a_token, reading),
        "writing": (packs * written * a_token, writing),
    }
    cache, largest = max(moments.values(), key=lambda moment: moment[1])
    return _need(
        {
            "weights": shapes.parameters * shapes.stored,
            "adapters": adapter_bytes(shapes, beside),
            "gates": gate_bytes(shapes) if gated else 0,
            "float32 copies": piece,
            "keys and values": cache,
            "activations": largest - cache,
        }
    )


def host(shapes: Shapes) -> int:
    """The least host memory, in bytes, for loading the model: all weights once, and the process."""
    return shapes.parameters * shapes.stored + PROCESS


def bases(shapes: Shapes, pictures: int) -> int:
    """Bytes of VL-Eraser's projections: for each feed-forward layer the smaller basis of a space and its complement."""
    columns = {width: min(pictures, max(width - pictures, 0)) for width, _ in shapes.mlp}
    return shapes.layers * sum(width * columns[width] for width, _ in shapes.mlp) * FLOAT


def _decomposition(shapes: Shapes, rows: int) -> int:
    """Bytes of the singular value decomposition of one layer's inputs, in double precision: input, copy, vectors, work space."""
    width = shapes.feed_forward
    vectors = width**2 if rows > width // 2 else width * min(rows, width)
    return 8 * (vectors + 3 * width * rows)
