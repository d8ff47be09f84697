"""What is loaded cannot run code, fill the memory or leave its folder."""

from __future__ import annotations

import ast
import io
import json
import pickle
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from unsee.benchmarks import clear, mllmu, readers
from unsee.benchmarks.schema import BenchmarkError
from unsee.core import images
from unsee.models.checkpoints import CheckpointError
from unsee.models.model import load

ROOT = Path(__file__).parents[1]
CODE = [file for name in ("src", "workflow", "bench", "tools") for file in sorted((ROOT / name).rglob("*.py"))]


class Flag:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_weights_are_refused_and_not_opened(family_spec: dict[str, Any], tmp_path: Path) -> None:
    folder, flag = tmp_path / "checkpoint", tmp_path / "run"
    shutil.copytree(family_spec["path"], folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Flag(flag)))
    with pytest.raises(CheckpointError, match=r"has pytorch_model\.bin; expected \*\.safetensors"):
        load({**family_spec, "path": str(folder)})
    assert not flag.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert flag.exists(), "it would have run"


def test_a_checkpoints_own_code_is_not_run(family_spec: dict[str, Any], tmp_path: Path) -> None:
    folder, flag = tmp_path / "checkpoint", tmp_path / "run"
    shutil.copytree(family_spec["path"], folder)
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(flag)!r}).touch()\n")
    for name, classes in (
        ("config.json", {"AutoConfig": "own.Config", "AutoModelForImageTextToText": "own.Model"}),
        ("processor_config.json", {"AutoProcessor": "own.Processor"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Tokenizer", None]}),
    ):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "auto_map": classes}))
    load({**family_spec, "path": str(folder)})
    assert not flag.exists()


def test_an_adapter_is_safetensors_too(model_spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Flag(tmp_path / "run")))
    with pytest.raises(FileNotFoundError, match="no adapter_model.safetensors"):
        load(model_spec, [tmp_path])
    assert not (tmp_path / "run").exists()


def test_nothing_in_the_code_unpickles_or_trusts() -> None:
    calls = [
        (file, node)
        for file in CODE
        if file.name != "page_numbers.py"  # evaluates the project's docs/numbers.yaml, and runs in tests only
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    ]
    assert len(calls) > 1000
    for file, node in calls:
        called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        assert keywords.get("trust_remote_code", "False") == "False", f"{file}:{node.lineno}"
        assert called not in ("pickle.load", "pickle.loads", "joblib.load", "eval", "exec"), f"{file}:{node.lineno}"
        assert called != "torch.load" or keywords.get("weights_only") == "True", f"{file}:{node.lineno}"
        assert called != "np.load" or keywords.get("allow_pickle", "False") == "False", f"{file}:{node.lineno}"


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(7_100, 7_100), (12_000, 12_000), (100_000, 100_000)])
def test_a_decompression_bomb_is_refused_with_its_row(size: tuple[int, int]) -> None:
    with pytest.raises(BenchmarkError, match=r"^Full_Set/x\.parquet, row 3: .* pixels.*; replace it$"):
        readers.picture("Full_Set/x.parquet, row 3", {"bytes": bomb(*size), "path": "x.png"})
    with pytest.raises(ValueError, match=r"^picture 003/profile: .* pixels"):
        images.decode(bomb(*size), "picture 003/profile")


def test_a_picture_within_the_limit_is_none() -> None:
    file = io.BytesIO()
    Image.new("1", (7_000, 7_000)).save(file, "PNG")
    assert readers.picture("row", {"bytes": file.getvalue()}) == file.getvalue()


def test_every_picture_is_opened_in_one_place() -> None:
    """An EPS file would start Ghostscript in any other."""
    opened = {
        file.relative_to(ROOT).as_posix()
        for file in CODE
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    }
    assert opened == {"src/unsee/core/images.py"}


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a\0b", "..", ".", "a/b", "a\\b", ".hidden", "a\nb"])
def test_an_id_is_no_path(name: str) -> None:
    with pytest.raises(BenchmarkError, match="^row 1: ID is "):
        mllmu._id("row 1", {"ID": name})
    if name != "a\nb":  # white space in a name becomes one blank
        with pytest.raises(BenchmarkError, match="^row 1: name (is|has) "):
            clear._name("row 1", {"name": name})


def test_weights_only_is_what_torch_does_by_itself(tmp_path: Path) -> None:
    """The libraries below load no pickle either: the default has been the safe one since torch 2.6."""
    (tmp_path / "x.bin").write_bytes(pickle.dumps(Flag(tmp_path / "run")))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "x.bin")
    assert not (tmp_path / "run").exists()
