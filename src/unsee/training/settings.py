"""The settings of a training run: the keys of ``finetune`` and ``unlearning`` in config.yaml, with type, range and comment.

Values in config.yaml that differ from the defaults here are in :mod:`unsee.jobs.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from unsee.core.option import key

#: Keys of :class:`TrainingSettings` that divide a step to save memory; the gradient is the same.
DIVISION = ("gradient_accumulation", "gradient_checkpointing")


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """A low-rank adapter."""

    rank: Annotated[int, ">= 1"] = key(8, "of the two low-rank matrices")
    alpha: Annotated[int, ">= 1"] = key(
        8, "the update is scaled by alpha / rank, here 1; 64 is another reading of the source (docs/source.md)"
    )
    dropout: Annotated[float, ">= 0, < 1"] = key(0.05, "share of the adapter's inputs that are dropped in training")
    scope: Literal["language", "vision", "both", "language_and_tower_attention"] = key(
        "language", "adapted layers: language, vision, both or language_and_tower_attention"
    )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """A training run, of fine-tuning or of an unlearning method."""

    learning_rate: Annotated[float, "> 0"] = key(comment="peak")
    epochs: Annotated[int | None, ">= 1"] = key(None, "passes over the training pairs, or null")
    steps: Annotated[int | None, ">= 1"] = key(None, "optimizer steps, or null; set either epochs or steps")
    batch_size: Annotated[int, ">= 1"] = key(comment="pairs per step; people per step with packing: person")
    gradient_accumulation: Annotated[int, ">= 1"] = key(
        1, "compute a batch in so many parts to save memory; same gradient"
    )
    packing: Literal["none", "person"] = key(
        "none", "person: all pairs of a person in one sequence; none: one pair per sequence"
    )
    loss_tokens: Literal["answer", "all"] = key(
        "answer", "answer: the loss of the answer alone; all: of the question too"
    )
    alternation: Literal["joint", "sequential", "interleaved"] = key(
        "joint", "methods with retained pairs: joint (both in every step), sequential or interleaved (one per step)"
    )
    modality: Literal["both", "image", "text"] = key(
        "both", "pairs to forget: both, image (only those with a picture) or text (only those without)"
    )
    variants: Annotated[int, ">= 0"] = key(0, "altered copies (crop, mirror image, colour) of each picture to train on")
    optimizer: Literal["adam", "adamw", "sgd"] = key("adam", "adam, adamw or sgd")
    weight_decay: Annotated[float, ">= 0"] = key(0.0, "of the optimizer; 0: none")
    schedule: Literal["constant", "linear", "cosine"] = key(
        "constant", "how the learning rate falls: constant, linear or cosine"
    )
    warmup: Annotated[float, ">= 0, <= 1"] = key(0.0, "share of the steps in which the learning rate rises to its peak")
    max_grad_norm: Annotated[float, ">= 0"] = key(
        1.0, "longer gradients are scaled down to this norm; 0: no clipping (the source mentions none)"
    )
    gradient_checkpointing: bool = key(False, "true: less memory, a third more time, same gradient")
    num_processes: Annotated[int, ">= 1"] = key(1, "processes of a job, one GPU each; same batch")
    shard: bool = key(False, "true: split the frozen weights among the processes (FSDP)")
    lora: LoraSettings = field(default_factory=LoraSettings, metadata={"comment": "the adapter that is trained"})

    @classmethod
    def split(cls, settings: dict[str, Any]) -> tuple[TrainingSettings, dict[str, Any]]:
        """Separate the training settings of a run from its method's options."""
        names = {f.name for f in fields(cls)}
        training = {key: value for key, value in settings.items() if key in names and key != "lora"}
        options = {key: value for key, value in settings.items() if key not in names}
        return cls(lora=LoraSettings(**settings.get("lora", {})), **training), options
