"""The settings that every training run has, with the field's defaults."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

Packing = Literal["none", "person"]
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters: rank, scaling numerator, dropout, and where they go."""

    rank: int = 8
    alpha: int = 8
    dropout: float = 0.05
    scope: Literal["language", "vision", "both", "language_and_tower_attention"] = "language"


@dataclass(frozen=True)
class TrainingSettings:
    """One training run.

    Attributes:
        learning_rate: peak, of the optimizer.
        epochs: passes over the forget pairs (unlearning) or the training pairs (fine-tuning), or ``None``, and then
        steps: optimizer steps, as many epochs as they take.
        batch_size: pairs a step; people a step with ``packing: person``.
        gradient_accumulation: parts that a step's batch is cut into to save memory; the gradient is the same, for every method.
        packing: ``person`` puts all pairs of a person behind one picture in one sequence.
        loss_tokens: ``all`` scores the words of the question too, as the official code does.
        alternation: of the groups of examples, where a method has two: both in each step, or one a step (``batches.plan``).
        variants: varied copies (crop, mirror image, colour) of each picture to train on.
        optimizer, weight_decay, schedule, warmup, max_grad_norm: as named; ``warmup`` is a share of all steps,
            ``max_grad_norm`` 0 clips nothing.
        gradient_checkpointing: keep only the blocks' inputs for the backward pass and run each block again in it:
            less memory for a third more time, the same gradient.
        num_processes: processes of the job, a GPU each; each computes its share of a step, the batch stays the same.
        shard: share out the decoder's weights among the processes (FSDP), for a model that one GPU cannot hold.
        lora: the adapter.
    """

    learning_rate: float
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    gradient_accumulation: int = 1
    packing: Packing = "none"
    loss_tokens: Literal["answer", "all"] = "answer"
    alternation: Literal["joint", "sequential", "interleaved"] = "joint"
    variants: int = 0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    num_processes: int = 1
    shard: bool = False
    lora: LoraSettings = field(default_factory=LoraSettings)

    @classmethod
    def split(cls, settings: dict[str, Any]) -> tuple[TrainingSettings, dict[str, Any]]:
        """Training settings, and what is left over: the method's own options."""
        names = {f.name for f in fields(cls)}
        own = {key: value for key, value in settings.items() if key in names and key != "lora"}
        rest = {key: value for key, value in settings.items() if key not in names}
        return cls(lora=LoraSettings(**settings.get("lora", {})), **own), rest
