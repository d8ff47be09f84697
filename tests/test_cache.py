"""What jobs share is found by what it is made from, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unsee.cache import Cache, digest


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
