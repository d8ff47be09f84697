"""Receipts: what is not as it was left is found, and what does not belong together is refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unsee.jobs import receipts


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two jobs done: ``b`` was made of ``a``."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    job("a", inputs=[])
    job("b", inputs=["results/a"])
    return tmp_path


def job(name: str, inputs: list[str], job_hash: str = "") -> None:
    Path(f"results/{name}").write_text(f"made of {inputs}")
    made = receipts.describe(
        rule=name, job_hash=job_hash or f"hash of {name}", parameters={}, inputs=inputs, project=Path.cwd()
    )
    receipts.write(Path(f"{name}.json"), made | {"outputs": receipts.outputs([f"results/{name}"])})


def check() -> dict[str, Any]:
    return receipts.check({"a.json": "hash of a", "b.json": "hash of b"})


def test_nothing_is_spoiled_and_all_belongs_together(here: Path) -> None:
    assert receipts.damaged_outputs(Path("b.json"), ["results/b"]) == []
    assert list(check()) == ["a.json", "b.json"]
    os.utime("results/b", (2e9, 2e9))
    assert receipts.damaged_outputs(Path("b.json"), ["results/b"]) == [], "a time says nothing"


def test_what_was_cut_changed_or_deleted_is_found(here: Path) -> None:
    whole = Path("results/b").read_text()
    for text in (whole[:5], whole.upper()):
        Path("results/b").write_text(text)
        os.utime("results/b", (2e9, 2e9))
        assert receipts.damaged_outputs(Path("b.json"), ["results/b"]) == ["results/b"]
        with pytest.raises(receipts.ReceiptError, match="results/b: not as its job left it"):
            check()
    Path("results/b").unlink()
    assert receipts.damaged_outputs(Path("b.json"), ["results/b"]) == ["results/b"]


def test_what_has_no_whole_receipt_is_not_trusted(here: Path) -> None:
    Path("b.json").write_text(Path("b.json").read_text()[:30])
    for _ in range(2):
        assert receipts.damaged_outputs(Path("b.json"), ["results/b", "results/c"]) == ["results/b"]
        with pytest.raises(receipts.ReceiptError, match="b.json: not readable"):
            check()
        Path("b.json").unlink(missing_ok=True)


def test_a_result_of_another_configuration_is_refused(here: Path) -> None:
    job("b", ["results/a"], job_hash="another")
    with pytest.raises(receipts.ReceiptError, match=r"results/b: made by other settings .*\(another\).*hash of b"):
        check()


def test_a_result_of_another_input_is_refused(here: Path) -> None:
    job("a", inputs=["a.json"])  # made again, and differently
    with pytest.raises(receipts.ReceiptError, match="results/b: made of another results/a than is there now"):
        check()


def test_jobs_that_read_different_files_of_one_name_are_refused(here: Path) -> None:
    for name, text in (("a", "one base"), ("b", "another base")):
        Path("base").mkdir(exist_ok=True)
        Path("base/weights").write_text(text)
        job(name, [str(here / "base" / "weights")])
    with pytest.raises(receipts.ReceiptError, match="results/b: made of another base/weights"):
        check()


def test_no_absolute_path_is_written(here: Path) -> None:
    Path("base").mkdir()
    Path("base/weights").write_text("")
    made = receipts.describe(
        rule="r",
        job_hash="i",
        parameters={"model": {"path": str(here / "base")}, "files": [str(here / "x"), "results/y"]},
        inputs=[str(here / "base" / "weights"), "results/a"],
        project=here,
    )
    assert str(here) not in json.dumps(made)
    assert made["parameters"] == {"model": {"path": "base"}, "files": ["x", "results/y"]}
    assert list(made["inputs"]) == ["base/weights", "results/a"]


def test_the_commit_is_named_and_whether_something_changed_since(here: Path) -> None:
    assert receipts.revision(here) is None

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
        return subprocess.run(["git", *who, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    assert receipts.revision(here) == {"commit": git("rev-parse", "HEAD"), "changed": False}
    Path("more").write_text("")
    assert receipts.revision(here) == {"commit": git("rev-parse", "HEAD"), "changed": True}
    Path("within").mkdir()
    assert receipts.revision(here / "within") is None, "somebody else's repository"
