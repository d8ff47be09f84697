"""Fetching against a hub of our own making: huggingface_hub's cache is real, its network is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest

from tests import error_page
from unsee.core import hub
from unsee.models.checkpoints import folder_of
from unsee.models.model import load

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
        lambda *arguments, **named: original(*arguments, **{"cache_dir": str(tmp_path / "hub"), **named}),
    )
    return snapshot


def fetch(output: Path, **changed: Any) -> None:
    arguments: dict[str, Any] = {
        "kind": "dataset",
        "patterns": ["Full_Set/train-*", "forget_5/train-*"],
        "key": "benchmark.path",
        "output": output,
    }
    hub.fetch("owner/people", COMMIT, **{**arguments, **changed})


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


@pytest.fixture
def fetched(cached: Path, tmp_path: Path, random_checkpoint: Path) -> Path:
    """The record of a checkpoint that was fetched at :data:`COMMIT`, where the cache has a newer one too; no network."""
    repository = tmp_path / "hub" / "models--owner--model"
    for commit in (COMMIT, COMMIT[::-1]):
        shutil.copytree(random_checkpoint, repository / "snapshots" / commit)
    newest = repository / "snapshots" / COMMIT[::-1] / "config.json"
    newest.write_text(newest.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-03'))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT[::-1])
    record = tmp_path / "results" / "published.json"
    hub.fetch("owner/model", COMMIT, kind="model", patterns=hub.CHECKPOINT, key="model.path", output=record)
    return record


def test_jobs_load_the_commit_that_was_fetched_without_a_network(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a connection was tried")

    # As on a node that has no network and does not know it.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    spec = {"name": "x", "family": "llava", "dtype": "float32", "path": "owner/model", "revision": None}
    by_record = {**spec, "record": str(fetched)}
    assert folder_of(by_record).name == COMMIT
    assert load(by_record).base.config.text_config.rms_norm_eps == 1e-06
    assert folder_of(spec).name == COMMIT[::-1], "without a record, the newest that is here"
    assert folder_of({**spec, "revision": COMMIT}).name == COMMIT
    with pytest.raises(hub.FetchError) as caught:
        folder_of({**spec, "path": "owner/another"})
    error_page.check("a published checkpoint that was not fetched", "loading", str(caught.value))


def test_a_fetched_file_that_was_cut_short_is_named(fetched: Path) -> None:
    weights = hub.folder(fetched) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(hub.FetchError, match=r"model\.safetensors has 100 bytes; expected [0-9]+, as it was fetched"):
        hub.folder(fetched)
