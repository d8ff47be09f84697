"""The chat template of a checkpoint folder, rendered without the model library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from unsee.models.families import FAMILIES, FamilyEntry

#: JSON files that may hold the template.
TEMPLATE_FILES = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
_QUESTION = "Who is this?"


def read_template(folder: Path, contents: Mapping[str, dict[str, Any]]) -> str | None:
    """The chat template, from any file where a release of transformers stored it; ``None`` without one.

    Args:
        folder: the checkpoint.
        contents: its JSON files by name.
    """
    named = [contents.get(name, {}).get("chat_template") for name in TEMPLATE_FILES]
    if (folder / "chat_template.jinja").is_file():
        named.insert(0, (folder / "chat_template.jinja").read_text(encoding="utf-8"))
    return next((text for text in map(_single_template, named) if text), None)


def _single_template(value: Any) -> str | None:
    """The template; of several, the one named ``default``."""
    if isinstance(value, list):
        value = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
    if isinstance(value, dict):
        value = value.get("default")
    return value if isinstance(value, str) else None


def template_problems(folder: Path, contents: Mapping[str, dict[str, Any]], expected: FamilyEntry) -> Iterator[str]:
    """Reasons why the chat template does not fit the family, one sentence each.

    Args:
        folder: the checkpoint.
        contents: its JSON files by name.
        expected: the family.
    """
    try:
        template = read_template(folder, contents)
    except UnicodeDecodeError:
        yield "chat_template.jinja is no UTF-8 text"
        return
    if template is None:
        yield f"has no chat template; expected chat_template.jinja, or the key chat_template in {', '.join(TEMPLATE_FILES)}"
        return
    tokens = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = contents.get("tokenizer_config.json", {}).get(name)
        tokens[name] = token.get("content", "") if isinstance(token, dict) else token or ""
    try:
        prompt = _render(template, tokens)
    except Exception as error:  # a template can raise anything
        yield f"its chat template cannot be rendered ({type(error).__name__}: {error})"
        return
    if prompt.count(_QUESTION) != 1 or prompt.count(expected.placeholder) != 1 or "'type'" in prompt:
        shown = prompt if len(prompt) < 200 else f"{prompt[:196]} ..."
        yield (
            f"its chat template writes a question with a picture as {shown!r}; expected the question and "
            f"{expected.placeholder} once each"
        )
    elif not re.search(rf"(?:{expected.prompt_end})\Z", prompt):
        end = prompt[prompt.index(_QUESTION) + len(_QUESTION) :]
        families = [
            name
            for name, other in FAMILIES.items()
            if other.model_type == expected.model_type and re.search(rf"(?:{other.prompt_end})\Z", prompt)
        ]
        remedy = f"; set model.family: {families[0]}" if families else ""
        yield f"its chat template ends a prompt with {end!r}; expected {expected.turns}{remedy}"


def _render(template: str, tokens: Mapping[str, str]) -> str:
    """A question with a picture as transformers renders it: in a sandbox, with the same settings."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: "01 Jan 2026"
    # A tag that only transformers knows: it marks answers and writes nothing.
    plain = re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
    content = [{"type": "image"}, {"type": "text", "text": _QUESTION}]
    messages = [{"role": "user", "content": content}]
    return environment.from_string(plain).render(messages=messages, add_generation_prompt=True, **tokens)
