"""Write config.yaml and its JSON schema: ``python -m unsee.jobs.config_export``, in the project's folder.

The sections ``methods``, ``attacks`` and ``resources`` of config.yaml stay as they are, and so do the lines above the first section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import yaml

from unsee.attacks import catalogue as attack_catalogue
from unsee.jobs import config_schema
from unsee.jobs.settings import Config
from unsee.unlearning import catalogue

CONFIG = Path("config.yaml")
SCHEMA = Path("workflow/schemas/config.schema.yaml")
#: Where comments start, unless a value is longer.
_COLUMN = 32


class _Plain(yaml.SafeDumper):
    """Writes every value in full, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def config_text(text: str) -> str:
    """config.yaml with its keys, defaults and comments as declared.

    Args:
        text: the present config.yaml.
    """
    blocks = re.split(r"\n\n+", text.strip())
    names = [match[1] if (match := re.search(r"^(\w+):", block, re.MULTILINE)) else "" for block in blocks]
    kept = dict(zip(names, blocks, strict=True))
    written = {
        field.name: "\n".join(_lines(field.name, default, field.metadata["comment"], 0))
        for field, default in config_schema.keys_of(Config())
    }
    order = list(written)
    order.insert(order.index("unlearning") + 1, "methods")
    order.insert(order.index("robustness") + 1, "attacks")
    return "\n\n".join([kept[""], *((written | kept_by_hand(kept))[name] for name in [*order, "resources"])]) + "\n"


def kept_by_hand(blocks: dict[str, str]) -> dict[str, str]:
    """The sections of config.yaml that are not written from declarations."""
    return {name: blocks[name] for name in ("methods", "attacks", "resources")}


def schema_text() -> str:
    """The JSON schema, as YAML."""
    schema = config_schema.exported(catalogue.read(), attack_catalogue.read())
    text = yaml.dump(schema, Dumper=_Plain, default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True)
    return (
        f"# The keys of config.yaml and of presets, for editors. Written by python -m unsee.jobs.config_export.\n{text}"
    )


def _lines(name: str, default: Any, comment: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if is_dataclass(default):
        yield f"{indent}{name}:".ljust(_COLUMN) + f"# {comment}"
        for field, value in config_schema.keys_of(default, name):
            yield from _lines(field.name, value, field.metadata["comment"], depth + 1)
    else:
        value = yaml.safe_dump(default, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
        yield f"{indent}{name}: {value} ".ljust(_COLUMN - 1) + f" # {comment}"


if __name__ == "__main__":
    CONFIG.write_text(config_text(CONFIG.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
