"""Fetching against a hub of our own making: huggingface_hub's cache is real, its network is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest

from unsee import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot in a cache, as a download leaves it; no network."""
    snapshot = tmp_path / "hub" / "datasets--owner--people" / "snapshots" / COMMIT
    for name in ("Full_Set", "forget_5"):
        (snapshot / name).mkdir(parents=True)
        (snapshot / name / "train-00000-of-00001.parquet").write_bytes(b"abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    original = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *given, **named: original(*given, **{"cache_dir": str(tmp_path / "hub"), **named}),
    )
    return snapshot


def fetch(output: Path, **changed: Any) -> None:
    given: dict[str, Any] = {
        "kind": "dataset",
        "patterns": ["Full_Set/train-*", "forget_5/train-*"],
        "key": "benchmark.path",
        "output": output,
    }
    hub.fetch("owner/people", COMMIT, **{**given, **changed})


def test_a_record_says_what_there_is_and_leads_to_it(cached: Path, tmp_path: Path) -> None:
    record = tmp_path / "results" / "published.json"
    fetch(record)
    assert json.loads(record.read_text()) == {
        "kind": "dataset",
        "repository": "owner/people",
        "revision": COMMIT,
        "files": {"Full_Set/train-00000-of-00001.parquet": 3, "forget_5/train-00000-of-00001.parquet": 3},
    }
    assert str(tmp_path) not in record.read_text(), "a record is about no machine"
    assert hub.folder(record) == cached
    (cached / "Full_Set" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(hub.FetchError, match="the cache has no Full_Set/train-00000-of-00001.parquet any more"):
        hub.folder(record)


def test_half_a_download_is_refused(cached: Path, tmp_path: Path) -> None:
    with pytest.raises(hub.FetchError, match=r"no forget_10/train-\* there"):
        fetch(tmp_path / "published.json", patterns=["Full_Set/train-*", "forget_10/train-*"])
    assert not (tmp_path / "published.json").exists()


def test_a_checkpoint_without_safetensors_is_refused(cached: Path, tmp_path: Path) -> None:
    model = tmp_path / "hub" / "models--owner--people" / "snapshots" / COMMIT
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"abc")
    with pytest.raises(hub.FetchError, match=r"no \*\.safetensors there"):
        fetch(tmp_path / "published.json", kind="model", patterns=hub.CHECKPOINT)
    (model / "model.safetensors").write_bytes(b"abc")
    fetch(tmp_path / "published.json", kind="model", patterns=hub.CHECKPOINT)
    assert list(json.loads((tmp_path / "published.json").read_text())["files"]) == ["config.json", "model.safetensors"]


def test_without_a_network_the_error_says_which_files_go_where(cached: Path, tmp_path: Path) -> None:
    with pytest.raises(hub.FetchError) as caught:
        hub.fetch(
            "owner/other",
            "abc",
            kind="model",
            patterns=["config.json", "*.safetensors"],
            key="model.path",
            output=tmp_path / "published.json",
        )
    message = str(caught.value)
    assert message.startswith("the model owner/other at revision abc cannot be fetched (")
    assert message.endswith(
        "where the hub cannot be reached, put its files config.json, *.safetensors into a folder and name that folder in "
        "model.path"
    )
