"""Make or update the environment in .venv (``make setup``); what is there stays until its successor is complete.

The environment is made anew when the content of requirements.lock or pyproject.toml, or the version of Python, is another than that
it was made from. With ``--dev`` the packages of requirements-dev.lock come on top. A virtual environment holds its own path, so the
new one is made under its final name: the old one stands aside meanwhile, and comes back if anything goes wrong.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)


def digest(*names):
    """Of the files' contents and the version of Python."""
    content = b"".join((ROOT / name).read_bytes() for name in names)
    return hashlib.sha256(sys.version.encode() + content).hexdigest()


def is_complete(venv, stamp, key):
    """Whether an environment was completed from this content, and its Python is still there."""
    return (venv / "bin" / "python").exists() and stamp.is_file() and stamp.read_text() == key


def install(venv, *arguments):
    """pip install, in the environment."""
    subprocess.run(
        [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments], check=True, cwd=str(ROOT)
    )


def make(venv, key):
    """Make the environment, or leave the old one as it was."""
    aside = venv.with_name(venv.name + ".old")
    if aside.exists():  # an earlier call was killed before it could put it back
        shutil.rmtree(str(venv), ignore_errors=True)
        aside.rename(venv)
    if venv.exists():
        venv.rename(aside)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        install(venv, "--requirement", "requirements.lock")
        install(venv, "--no-deps", "--no-build-isolation", "--editable", ".")
        (venv / "ready").write_text(key)
    except BaseException:
        shutil.rmtree(str(venv), ignore_errors=True)
        if aside.exists():
            aside.rename(venv)
        raise
    shutil.rmtree(str(aside), ignore_errors=True)


def main(arguments):
    """Make what is not there; an exit status."""
    if sys.version_info[:2] < OLDEST:
        print(
            f"Python {sys.version_info[0]}.{sys.version_info[1]}: expected 3.11 or later, say make PYTHON=...",
            file=sys.stderr,
        )
        return 1
    venv = ROOT / ".venv"
    try:
        run = digest("requirements.lock", "pyproject.toml")
        if not is_complete(venv, venv / "ready", run):
            make(venv, run)
        dev = digest("requirements.lock", "requirements-dev.lock", "pyproject.toml")
        if "--dev" in arguments and not is_complete(venv, venv / "ready-dev", dev):
            install(venv, "--constraint", "requirements.lock", "--requirement", "requirements-dev.lock")
            (venv / "ready-dev").write_text(dev)
    except subprocess.CalledProcessError as error:
        kept = "; .venv is as it was before" if (venv / "ready").exists() else ""
        print(f"The environment was not made (see above): {' '.join(map(str, error.cmd))}{kept}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
