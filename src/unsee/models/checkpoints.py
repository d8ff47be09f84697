"""A checkpoint folder, looked at before anything is loaded from it: JSON, the headers of safetensors files and the chat template.

Planning calls this and therefore it imports no torch. What needs the model (names and shapes of weights, finite values) is checked when it
is loaded, by :func:`unsee.models.families.base.load_weights`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from unsee.core import hub
from unsee.core.failures import JobError

#: How many problems an error lists.
SHOWN = 10

_LFS = b"version https://git-lfs"
_QUESTION = "Who is this?"
_HEADER = 100_000_000  # bytes; safetensors itself reads no longer header
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}


class CheckpointError(JobError):
    """A checkpoint that must not be computed with."""

    def __init__(self, folder: Path | str, problems: list[str]) -> None:
        super().__init__(
            f"the checkpoint {folder} cannot be used: {_joined(problems)}",
            "repair or download it again, or name another one in model.path",
        )


@dataclass(frozen=True)
class Expected:
    """What a family expects of a checkpoint's files.

    Attributes:
        model_type: in config.json.
        placeholder: what the chat template writes for a picture.
        prompt_end: regular expression of the end of a prompt, which tells turns of one kind from those of another.
        turns: the same in words.
    """

    model_type: str
    placeholder: str
    prompt_end: str
    turns: str


#: Of each family in :mod:`unsee.models.families.base`.
FAMILIES = {
    "llava": Expected("llava", "<image>", r"ASSISTANT: ?", "LLaVA-1.5's turns, which end in 'ASSISTANT:'"),
    "llava_chatml": Expected("llava", "<image>", r"\n", "turns that end in a new line, such as ChatML's"),
    "llava_next": Expected("llava_next", "<image>", r"\S ?", "turns that do not end in a new line"),
    "qwen2_vl": Expected("qwen2_vl", "<|image_pad|>", r"<\|im_start\|>assistant\n", "ChatML's turns"),
}


def findings(model: Mapping[str, Any], root: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """What is wrong with the base model of a configuration, as (key, message), as far as files on this disk tell.

    Args:
        model: the configuration's ``model`` section.
        root: the project folder, which relative paths start from.
    """
    path, folder = model["path"], root / model["path"]
    if model["build"] or is_published(path, root):
        return
    if not os.path.isdir(folder):  # unlike Path's, with a path that no system takes too
        other = "" if Path(path).is_absolute() else f" (no folder {os.path.normpath(folder)})"
        yield (
            ("model", "path"),
            f"is {path!r}, which is not there{other}; expected a checkpoint folder, or the owner/name of a published checkpoint",
        )
    elif listed := problems(folder, model["family"]) or list(_layer_problems(folder)):
        yield ("model", "path"), f"is {path!r}, which cannot be used: {_joined(listed)}"


def is_published(path: str, root: Path) -> bool:
    """Whether ``model.path`` is the name of a published checkpoint: ``owner/name``, and no folder ``owner`` in the project.

    ``./owner/name`` is always a folder.
    """
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", path)) and not os.path.exists(root / path.split("/")[0])


def folder_of(spec: Mapping[str, Any], root: Path | None = None) -> Path:
    """The folder of a base model on this disk; no network is tried.

    Args:
        spec: the ``model`` section of the configuration: ``path``; of a published checkpoint also ``record``, the file that says which
            commit was fetched, or ``revision``.
        root: what a relative ``path`` is relative to; the working directory by default.

    Raises:
        FetchError: a published checkpoint that is not on this machine.
    """
    if spec.get("record"):
        return hub.folder(Path(spec["record"]))
    path = Path(spec["path"])
    for folder in [path] if root is None else [root / path, path]:
        if folder.is_dir():
            return folder
    return hub.snapshot(spec["path"], spec.get("revision"))


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of a checkpoint folder, sorted; not its card."""
    return sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".md")


def check(folder: Path, family: str) -> None:
    """Refuse a folder with :func:`problems`.

    Raises:
        CheckpointError: it has some.
    """
    if listed := problems(folder, family):
        raise CheckpointError(folder, listed)


def problems(folder: Path, family: str) -> list[str]:
    """Everything that is wrong with a checkpoint folder, a sentence each that begins with the file's name.

    Args:
        folder: with ``config.json``, safetensors, tokenizer, processor and chat template.
        family: a key of :data:`FAMILIES`.
    """
    found: list[str] = []
    contents: dict[str, dict[str, Any]] = {}
    for name in _JSON:
        try:
            contents[name] = _read_json(folder / name)
        except FileNotFoundError:
            continue
        except ValueError as error:
            found.append(f"{name} {error}")
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror})")
    found += _config_problems(contents.get("config.json"), (folder / "config.json").exists(), FAMILIES[family])
    found += _weight_problems(folder, contents)
    found += _tokenizer_problems(folder)
    described = "preprocessor_config.json" in contents or "image_processor" in contents.get("processor_config.json", {})
    if not described and not _broken(folder, contents, _PROCESSORS):
        found.append(f"has no picture processor; expected {' or '.join(_PROCESSORS)}")
    if not _broken(folder, contents, _TEMPLATES):
        found += _template_problems(folder, contents, FAMILIES[family])
    return found


def _joined(problems: list[str]) -> str:
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


#: What transformers reads; other files of a folder, such as the logs of a training, are of no interest.
_JSON = (
    "added_tokens.json",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_TEMPLATES = ("chat_template.json", "processor_config.json", "tokenizer_config.json")


def _broken(folder: Path, contents: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Whether one of these files is there and unreadable, which is said already."""
    return any((folder / name).exists() and name not in contents for name in names)


def _read_json(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    if data.startswith(_LFS):
        raise ValueError("is a Git LFS pointer and not the file itself; run git lfs pull")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError("is no JSON object; expected one")
    return content


def _config_problems(config: dict[str, Any] | None, is_there: bool, expected: Expected) -> Iterator[str]:
    if config is None:
        if not is_there:
            yield "has no config.json"
        return
    kind = config.get("model_type")
    if kind != expected.model_type:
        families = [name for name, other in FAMILIES.items() if other.model_type == kind]
        shown = "has no model_type" if kind is None else f"has the model_type {kind!r}"
        remedy = f"; set model.family: {' or '.join(families)}" if families else ""
        yield f"config.json {shown}; expected {expected.model_type!r}{remedy}"
    if "quantization_config" in config:
        yield "config.json has a quantization_config; expected weights that are not quantised"


def _weight_problems(folder: Path, contents: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    index = "model.safetensors.index.json"
    if (folder / "model.safetensors").exists():
        shards: dict[str, set[str]] = {"model.safetensors": set()}
    elif (folder / index).exists():
        if index not in contents:
            return
        names = contents[index].get("weight_map")
        if not isinstance(names, dict) or not names:
            yield f"{index} has no weight_map; expected the file of each weight"
            return
        shards = {}
        for name, file in names.items():
            shards.setdefault(str(file), set()).add(str(name))
    else:
        weights = sorted(file.name for file in chain(folder.glob("*.safetensors"), folder.glob("*.bin")))
        expected = f"model.safetensors, or {index} and the files it names"
        if not weights:
            yield f"has no weights at all; expected {expected}"
        elif weights[0].endswith(".bin"):
            yield f"has {weights[0]}; expected *.safetensors, for unpickling can run anything"
        else:
            yield f"has {weights[0]} ({len(weights)} such files) but no index; expected {expected}"
        return
    for file, wanted in sorted(shards.items()):
        if Path(file).name != file or not (folder / file).is_file():
            count = f"{len(wanted)} weights, the first {min(wanted)}" if wanted else "the weights"
            yield f"{file} is not there; expected it with {count} ({index})"
            continue
        try:
            stored = read_header(folder / file)
        except ValueError as error:
            yield f"{file} {error}"
            continue
        except OSError as error:
            yield f"{file} cannot be read ({error.strerror})"
            continue
        if missing := sorted(wanted - stored.keys()):
            yield f"{file} lacks {len(missing)} weights that {index} places there, the first {missing[0]}"


_LAYER = re.compile(r"(.*?\b(?:layers|blocks)\.)(\d+)\.(.+)")


def _layer_problems(folder: Path) -> Iterator[str]:
    """What names alone tell of missing weights: a transformer's layers all have the same, and the configuration says how many.

    Loading compares every name and shape with the model's; this is for planning, which builds none.
    """
    files = {"model.safetensors"}
    if not (folder / "model.safetensors").exists():
        files = set(_read_json(folder / "model.safetensors.index.json")["weight_map"].values())
    layers: dict[str, dict[int, set[str]]] = {}
    for file in sorted(files):
        for match in filter(None, map(_LAYER.fullmatch, read_header(folder / file))):
            stack, number, name = match.groups()
            layers.setdefault(stack, {}).setdefault(int(number), set()).add(name)
    for stack, by_number in sorted(layers.items()):
        names = set.union(*by_number.values())
        places = [(number, name) for number in range(max(by_number) + 1) for name in sorted(names)]
        missing = [f"{stack}{number}.{name}" for number, name in places if name not in by_number.get(number, ())]
        if missing:
            yield f"lacks {len(missing)} weights that other layers have, the first {missing[0]}"
    config = _read_json(folder / "config.json")
    text = config.get("text_config", config)
    depth = text.get("num_hidden_layers") if isinstance(text, dict) else None
    decoder = [len(by_number) for stack, by_number in layers.items() if "vis" not in stack]
    if isinstance(depth, int) and decoder != [depth]:
        yield f"decoder layers with weights: {sum(decoder)}; num_hidden_layers in config.json: {depth}"


def read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file, compared with its length; no tensor is read.

    A safetensors file is eight bytes with the length of its header, the header (JSON), and the tensors one behind another.

    Raises:
        ValueError: damaged, cut short, or something else; the message continues the file's name.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if start + stream.read(len(_LFS) - 8) == _LFS:
            raise ValueError("is a Git LFS pointer and not the file itself; run git lfs pull")
        length = int.from_bytes(start, "little")
        if size < 8 or length > min(size - 8, _HEADER):
            raise ValueError(f"is damaged or cut short: its {size} bytes do not hold its header; download it again")
        stream.seek(8)
        header = stream.read(length)
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        ends = sorted((int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for entry in entries.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise ValueError("is damaged: its header cannot be read; download it again") from None
    expected = 8 + length + max((end for _, end in ends), default=0)
    if size != expected:
        raise ValueError(
            f"is damaged or cut short: {size} bytes, and its header describes {expected}; download it again"
        )
    begins = [begin for begin, _ in ends] + [expected - 8 - length]
    if begins[0] != 0 or any(end != begin for (_, end), begin in zip(ends, begins[1:], strict=True)):
        raise ValueError("is damaged: its tensors overlap or leave gaps; download it again")
    for name, entry in entries.items():
        bits, (begin, end) = _BITS.get(entry.get("dtype")), entry["data_offsets"]
        if bits is None:
            raise ValueError(f"has {name} in {entry.get('dtype')}; expected float32, float16 or bfloat16")
        numbers = 1
        for dimension in shapes[name]:
            numbers *= dimension
        if numbers * bits != 8 * (end - begin):
            raise ValueError(f"is damaged: {name} has not as many bytes as its shape needs; download it again")
    return shapes


def _tokenizer_problems(folder: Path) -> Iterator[str]:
    names = {file.name for file in folder.iterdir()}
    if not names & {"tokenizer.json", "tokenizer.model"} and not {"vocab.json", "merges.txt"} <= names:
        yield "has no tokenizer; expected tokenizer.json (or tokenizer.model, or vocab.json and merges.txt)"


def read_template(folder: Path, contents: Mapping[str, dict[str, Any]]) -> str | None:
    """The chat template, from whichever file a release of transformers left it in; ``None`` without one.

    Args:
        folder: the checkpoint.
        contents: its JSON files by name.
    """
    named = [contents.get(name, {}).get("chat_template") for name in _TEMPLATES]
    if (folder / "chat_template.jinja").is_file():
        named.insert(0, (folder / "chat_template.jinja").read_text(encoding="utf-8"))
    return next((text for text in map(_single_template, named) if text), None)


def _single_template(value: Any) -> str | None:
    """The template, or the one called default among several."""
    if isinstance(value, list):
        value = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
    if isinstance(value, dict):
        value = value.get("default")
    return value if isinstance(value, str) else None


def _template_problems(folder: Path, contents: Mapping[str, dict[str, Any]], expected: Expected) -> Iterator[str]:
    try:
        template = read_template(folder, contents)
    except UnicodeDecodeError:
        yield "chat_template.jinja is no UTF-8 text"
        return
    if template is None:
        yield f"has no chat template; expected chat_template.jinja, or the key chat_template in {', '.join(_TEMPLATES)}"
        return
    tokens = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = contents.get("tokenizer_config.json", {}).get(name)
        tokens[name] = token.get("content", "") if isinstance(token, dict) else token or ""
    try:
        prompt = _render(template, tokens)
    except Exception as error:  # a template can raise anything that an expression can
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
    """A question with a picture as transformers would write it: in a sandbox, with the same settings."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: "01 Jan 2026"
    # A tag of transformers' own, which marks answers and writes nothing.
    plain = re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
    content = [{"type": "image"}, {"type": "text", "text": _QUESTION}]
    messages = [{"role": "user", "content": content}]
    return environment.from_string(plain).render(messages=messages, add_generation_prompt=True, **tokens)
