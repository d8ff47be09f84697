"""The safetensors files of a checkpoint folder: names and shapes from their headers. No weight is read, and torch is not imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

#: The first bytes of a Git LFS pointer, the stand-in for a file that was not downloaded.
LFS_POINTER = b"version https://git-lfs"
INDEX = "model.safetensors.index.json"
_HEADER = 100_000_000  # bytes; the longest header that safetensors reads
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}


def weight_problems(folder: Path, contents: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Files that are missing, damaged or of another kind, and weights that are not in the file that the index names; one sentence each.

    Args:
        folder: the checkpoint.
        contents: its JSON files by name.
    """
    if (folder / "model.safetensors").exists():
        shards: dict[str, set[str]] = {"model.safetensors": set()}
    elif (folder / INDEX).exists():
        if INDEX not in contents:
            return
        names = contents[INDEX].get("weight_map")
        if not isinstance(names, dict) or not names:
            yield f"{INDEX} has no weight_map; expected the file of each weight"
            return
        shards = {}
        for name, file in names.items():
            shards.setdefault(str(file), set()).add(str(name))
    else:
        weights = sorted(file.name for file in chain(folder.glob("*.safetensors"), folder.glob("*.bin")))
        expected = f"model.safetensors, or {INDEX} and the files it names"
        if not weights:
            yield f"has no weights at all; expected {expected}"
        elif weights[0].endswith(".bin"):
            yield f"has {weights[0]}; expected *.safetensors, because reading a pickle can run any code"
        else:
            yield f"has {weights[0]} ({len(weights)} such files) but no index; expected {expected}"
        return
    for file, wanted in sorted(shards.items()):
        if Path(file).name != file or not (folder / file).is_file():
            count = f"{counted(wanted)}, the first {min(wanted)}" if wanted else "the weights"
            yield f"{file} is not there; expected it with {count} ({INDEX})"
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
            yield f"{file} lacks {counted(missing)} listed for it in {INDEX}, the first {missing[0]}"


def stored_weights(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of a folder without :func:`weight_problems`."""
    files = {"model.safetensors"}
    if not (folder / "model.safetensors").exists():
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        files = set(index["weight_map"].values())
    return {name: shape for file in sorted(files) for name, shape in read_header(folder / file).items()}


def read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file, checked against the file's length. No tensor is read.

    A safetensors file is the length of its header in eight bytes, the header (JSON), and the tensors one after another.

    Raises:
        ValueError: the file is damaged, truncated or of another kind. The message continues a sentence that begins with the file's name.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if start + stream.read(len(LFS_POINTER) - 8) == LFS_POINTER:
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
            raise ValueError(f"is damaged: {name} has another number of bytes than its shape needs; download it again")
    return shapes


def name_problems(
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]],
) -> list[str]:
    """Sentences about weights that differ from those of the model.

    Args:
        missing: names that the model has and the checkpoint has not.
        unexpected: names that the checkpoint has and the model has not.
        mismatched: (name, stored shape, shape in the model).
    """
    problems = []
    if names := sorted(missing):
        problems.append(f"lacks {counted(names)}: {_first(names)}")
    if names := sorted(unexpected):
        problems.append(f"has {counted(names)} that its model does not have: {_first(names)}")
    for name, stored, expected in sorted(mismatched):
        problems.append(f"{name} has the shape {tuple(stored)}; expected {tuple(expected)} by config.json")
    return problems


def counted(names: Iterable[str]) -> str:
    """``1 weight`` or ``3 weights``."""
    n = len(list(names))
    return f"{n} weight{'' if n == 1 else 's'}"


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
