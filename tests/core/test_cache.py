"""What jobs share is found by what it is made from, and by nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from unsee.core import cache
from unsee.core.cache import Cache, digest


def test_a_digest_is_of_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest("ab", "c") != digest("a", "bc") != digest("a", "b", "c")
    x = torch.arange(6.0)
    assert digest(x) == digest(x.clone())
    others = [x + 1, x.reshape(2, 3), x.half(), x.long()]
    assert len({digest(x), *map(digest, others)}) == 5
    assert digest(x.bfloat16()) != digest(x.bfloat16().view(torch.int16))


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    calls = []

    def compute() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"x": torch.arange(6.0).reshape(2, 3).T}

    first = Cache(tmp_path).get("ab12", compute)
    again = Cache(tmp_path).get("ab12", compute)
    assert len(calls) == 1
    assert torch.equal(first["x"], torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]))
    assert torch.equal(first["x"], again["x"])
    Cache(tmp_path).get("ab13", compute)
    Cache(None).get("ab12", compute)
    assert len(calls) == 3


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).get("ab12", broken)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert Cache(tmp_path).get("ab12", lambda: {"x": torch.ones(1)})["x"].item() == 1


@pytest.mark.parametrize("damage", ["zeroed", "cut", "empty", "header", "another's", "seal removed"])
def test_what_is_damaged_is_computed_again_with_a_word(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A power loss, a failing disk, a copy that broke off: never another tensor without a word."""
    expected = torch.arange(1.0, 1001.0).reshape(10, 100)
    Cache(tmp_path).get("ab12", lambda: {"x": expected})
    Cache(tmp_path).get("ab13", lambda: {"x": expected + 1})
    path, other = (tmp_path / "ab" / f"{key}.safetensors" for key in ("ab12", "ab13"))
    data = path.read_bytes()
    path.write_bytes(
        {
            "zeroed": data[:-1000] + bytes(400) + data[-600:],
            "cut": data[:-600],
            "empty": b"",
            "header": bytes(40) + data[40:],
            "another's": data[:-4000] + other.read_bytes()[-4000:],
            "seal removed": save({"x": expected + 5}),
        }[damage]
    )
    caplog.clear()
    for words in (["damaged; computing it again"], []):
        cached = Cache(tmp_path).get("ab12", lambda: {"x": expected})["x"]
        assert torch.equal(cached, expected)
        assert [record.getMessage().removeprefix(f"{path}: ") for record in caplog.records] == words
        caplog.clear()


def test_files_follow_the_umask(tmp_path: Path) -> None:
    """What one member of a group computes, the others can read."""
    before = os.umask(0o027)
    try:
        Cache(tmp_path).get("ab12", lambda: {"x": torch.ones(1)})
    finally:
        os.umask(before)
    assert (tmp_path / "ab" / "ab12.safetensors").stat().st_mode & 0o777 == 0o640


def test_a_files_digest_is_computed_once_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, reads = tmp_path / "model.safetensors", list[Path]()
    original = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda path: reads.append(path) or original(path))
    file.write_bytes(b"weights")
    assert Cache(tmp_path / "cache").file_digest(file) == hashlib.sha256(b"weights").hexdigest()
    assert not (tmp_path / "cache").exists(), "a file of this moment may change unseen"
    os.utime(file, ns=(0, 10**18))
    reads.clear()
    expected = hashlib.sha256(b"weights").hexdigest()
    assert [Cache(tmp_path / "cache").file_digest(file) for _ in range(3)] == [expected] * 3
    assert len(reads) == 1
    (tmp_path / "link").symlink_to(file)  # as a snapshot of the hub holds its files
    assert Cache(tmp_path / "cache").file_digest(tmp_path / "link") == expected and len(reads) == 1
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(0, 10**18 + 1))
    assert Cache(tmp_path / "cache").file_digest(file) == hashlib.sha256(b"WEIGHTS").hexdigest()
    for kept in (tmp_path / "cache").rglob("*.safetensors"):
        kept.write_bytes(kept.read_bytes()[:-8] + bytes(8))
    assert Cache(tmp_path / "cache").file_digest(file) == hashlib.sha256(b"WEIGHTS").hexdigest()
