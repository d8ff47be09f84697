"""The forks that take the place of new Python processes end and print as those do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow import forking

PRINTS = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['WORD'], __name__, sys.path[0])"


def run(python: object, script: Path, folder: Path) -> tuple[int, str, str]:
    """The exit code and what was printed to both streams."""
    variables = {"WORD": "a word", "PATH": ""}
    command = [str(python), str(script), "a b", "c"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        PRINTS,
        "import sys; sys.exit(3)",
        "import sys; sys.exit('a message')",
        "import sys; sys.exit()",
        "raise ValueError('wrong')",
        "import sys\nsys.excepthook = lambda *error: print('caught', error[1])\nraise ValueError('wrong')",
        "import sys\nif 'unsee' in sys.modules: raise SystemExit('the library is imported already')",
    ],
)
def test_a_fork_is_what_a_new_process_is(text: str, tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "script.py"
    script.parent.mkdir()
    script.write_text(text)
    code, out, err = run(forking.interpreter(), script, tmp_path)
    new = run(sys.executable, script, tmp_path)
    assert (code, out) == new[:2]
    # Its trace is longer by the lines of the server.
    assert err.splitlines()[-1:] == new[2].splitlines()[-1:]


def test_a_killed_fork_has_failed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(forking.interpreter(), script, tmp_path)[0] == 137
