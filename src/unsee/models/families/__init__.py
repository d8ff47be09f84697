"""The model families by name. A new family is one file in this folder and one entry below (docs/adding-a-family.md).

This table imports no model library: planning reads it. :func:`load_family` imports the file of one family.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unsee.models.expected_weights import LLAVA, LLAVA_NEXT, QWEN2_VL, WeightLayout

if TYPE_CHECKING:
    from unsee.models.families.base import Family


@dataclass(frozen=True)
class FamilyEntry:
    """The class of a family, and what planning checks in the files of a checkpoint.

    Attributes:
        class_name: the class, as ``module.Class`` in this package.
        model_type: the value in config.json.
        placeholder: the text that the chat template writes for a picture.
        prompt_end: regular expression of the end of a prompt. It tells chat templates of one kind from those of another.
        turns: the same in words, for messages.
        layout: names and shapes of the weights; ``None``: planning does not compare them, and loading does.
    """

    class_name: str
    model_type: str
    placeholder: str
    prompt_end: str
    turns: str
    layout: WeightLayout | None = None


FAMILIES = {
    "llava": FamilyEntry(
        "llava.Llava", "llava", "<image>", r"ASSISTANT: ?", "LLaVA-1.5's turns, which end in 'ASSISTANT:'", LLAVA
    ),
    "llava_chatml": FamilyEntry(
        "llava.LlavaChatML", "llava", "<image>", r"\n", "turns that end in a new line, such as ChatML's", LLAVA
    ),
    "llava_next": FamilyEntry(
        "llava_next.LlavaNext", "llava_next", "<image>", r"\S ?", "turns that do not end in a new line", LLAVA_NEXT
    ),
    "qwen2_vl": FamilyEntry(
        "qwen2_vl.Qwen2VL", "qwen2_vl", "<|image_pad|>", r"<\|im_start\|>assistant\n", "ChatML's turns", QWEN2_VL
    ),
}


def source_of(name: str) -> Path:
    """The file of the family of this name. No other module imports it by its name, so that its digest is a part of its own."""
    return Path(__file__).parent / f"{FAMILIES[name].class_name.split('.')[0]}.py"


def load_family(name: str) -> Family:
    """Import the family of this name.

    Raises:
        ValueError: there is no such family.
    """
    if name not in FAMILIES:
        raise ValueError(f"model.family is {name!r}; expected one of {sorted(FAMILIES)}")
    module, class_name = FAMILIES[name].class_name.split(".")
    return cast("Family", getattr(import_module(f"{__name__}.{module}"), class_name)())
