"""``make setup``: the environment is made anew when contents say so, and the old one stays until the new one is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script in a project of its own; pip and venv only note that they were called, and fail when told to."""
    monkeypatch.syspath_prepend(str(ROOT))
    from tools import environment

    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (tmp_path / name).write_text(name)
    calls: list[str] = []

    def run(command: list[str], **more: Any) -> Any:
        calls.append(command[2])
        if command[2] == "venv":
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").touch()
            (Path(command[3]) / "made").write_text(str(len(calls)))
        elif (tmp_path / "no network").exists():
            return subprocess.CompletedProcess(command, 1, stderr=(tmp_path / "no network").read_text())
        return subprocess.CompletedProcess(command, 0, stderr="DEPRECATION: a package is installed in an old way\n")

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment.subprocess, "run", run)
    environment.calls = calls  # type: ignore[attr-defined]
    return environment


def test_it_goes_by_content(project: Any, tmp_path: Path) -> None:
    assert project.main([]) == 0
    assert project.calls == ["venv", "pip", "pip"]
    os.utime(tmp_path / "requirements.lock", (2e9, 2e9))
    assert project.main([]) == 0
    assert len(project.calls) == 3, "a time makes nothing anew"
    (tmp_path / "requirements.lock").write_text("other")
    assert project.main([]) == 0
    assert project.calls[3:] == ["venv", "pip", "pip"]
    (tmp_path / ".venv" / "bin" / "python").unlink()
    assert project.main([]) == 0
    assert len(project.calls) == 9, "its Python is gone"


def test_what_pip_remarks_on_a_success_is_not_shown(project: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert project.main([]) == 0
    assert capfd.readouterr().err == ""


def test_packages_for_testing_come_on_top(project: Any, tmp_path: Path) -> None:
    assert project.main(["--dev"]) == project.main(["--dev"]) == project.main([]) == 0
    assert project.calls == ["venv", "pip", "pip", "pip"]
    (tmp_path / "requirements-dev.lock").write_text("other")
    assert project.main([]) == 0
    assert len(project.calls) == 4, "a run has no need of them"
    assert project.main(["--dev"]) == 0
    assert project.calls[4:] == ["pip"]


def test_what_is_there_stays_until_its_successor_is_complete(
    project: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project.main([])
    old = (tmp_path / ".venv" / "made").read_text()
    (tmp_path / "pyproject.toml").write_text("other")
    (tmp_path / "no network").touch()
    assert project.main([]) == 1
    assert "The environment was not made" in capfd.readouterr().err
    assert (tmp_path / ".venv" / "made").read_text() == old
    assert not (tmp_path / ".venv.old").exists()

    # Killed in the midst of it.
    shutil.move(tmp_path / ".venv", tmp_path / ".venv.old")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert project.main([]) == 1
    assert (tmp_path / ".venv" / "made").read_text() == old

    (tmp_path / "no network").unlink()
    assert project.main([]) == 0
    assert (tmp_path / ".venv" / "made").read_text() != old
    assert not (tmp_path / ".venv.old").exists()


def test_an_old_python_is_told_which_is_expected() -> None:
    script = "import sys; sys.version_info = (3, 9, 1); sys.path.insert(0, '.'); from tools import environment; "
    done = subprocess.run(
        [sys.executable, "-c", script + "sys.exit(environment.main([]))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.9: expected 3.11 or later; ") and "make PYTHON=" in done.stderr


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_that_cannot_make_environments(
    project: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], module: str
) -> None:
    there = project.importlib.util.find_spec
    monkeypatch.setattr(project.importlib.util, "find_spec", lambda name: None if name == module else there(name))
    assert project.main([]) == 1
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"apt-get install python{version}-venv" in capfd.readouterr().err
    assert not project.calls


def test_too_little_disk_is_seen_before_anything_is_installed(
    project: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(project.shutil, "disk_usage", lambda path: usage)
    assert project.main([]) == 1
    assert "has 1.0 GB free: expected 2 GB or more" in capfd.readouterr().err
    assert not project.calls


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("NewConnectionError: [Errno -2] Name or service not known", "the package index cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0", "the package index has no such version"),
        ("OSError: [Errno 13] Permission denied: '.venv'", "the folder of the project must be writable"),
        ("ERROR: something else", "see the messages above"),
    ],
)
def test_a_failure_of_pip_is_shown_with_what_to_do(
    project: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], said: str, remedy: str
) -> None:
    (tmp_path / "no network").write_text(f"{said}\n")
    assert project.main([]) == 1
    written = capfd.readouterr().err
    assert written.startswith(f"{said}\n") and f"What to do: {remedy}" in written


def test_pip_without_an_index_fails_as_expected(tmp_path: Path) -> None:
    """The words by which a failure is told are those of the real pip."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1", "--dry-run", "--no-deps"]
    unreachable = ["--isolated", "--index-url", "http://127.0.0.1:9/simple", "unsee-no-such-package==1"]
    nothing = ["--isolated", "--no-index", "unsee-no-such-package==1"]
    from tools import environment

    remedies = []
    for arguments in (unreachable, nothing):
        done = subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode
        remedies.append(environment.remedy(done.stderr))
    assert "cannot be reached" in remedies[0] and "has no such version" in remedies[1]


def test_make_takes_it() -> None:
    plan = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "tools/environment.py --dev" in plan
    plan = subprocess.run(["make", "-n"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "tools/environment.py\n" in plan and "--dev" not in plan and "rm -rf" not in plan
