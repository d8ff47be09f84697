"""Make or update the environment in .venv (``make setup``); what is there stays until its successor is complete.

The environment is made anew when the content of requirements.lock or pyproject.toml, or the version of Python, is another than that
it was made from. With ``--dev`` the packages of requirements-dev.lock come on top. A virtual environment holds its own path, so the
new one is made under its final name: the old one stands aside meanwhile, and comes back if anything goes wrong.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
#: Bytes on disk: the environment with torch's smallest build; the default build for Linux takes three times as much.
LEAST_DISK = 2 * 10**9
PAGE = "docs/install.md"
#: What to do about a failure, by words in pip's messages.
REMEDIES = [
    (
        ("No space left on device", "Errno 28", "Disk quota exceeded"),
        "the disk is full: free some space on the disk of .venv and on that of temporary files (TMPDIR=FOLDER names another "
        "folder), or install the CPU build of torch, see " + PAGE,
    ),
    (
        (
            "NewConnectionError",
            "Name or service not known",
            "name resolution",
            "ConnectTimeout",
            "ProxyError",
            "SSLError",
        ),
        "the package index cannot be reached: check the network and, if there is one, the proxy (https_proxy=...). Without a "
        "network: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make setup, with a folder of wheels, see " + PAGE,
    ),
    (
        ("No matching distribution found", "not a supported wheel"),
        "the package index has no such version for this Python and this kind of computer, see " + PAGE,
    ),
    (
        ("Permission denied", "Read-only file system"),
        "the folder of the project must be writable: copy the project to a folder of yours",
    ),
    (("No module named pip", "ensurepip"), "this Python cannot make an environment with pip, see " + PAGE),
]


def digest(*names):
    """Of the files' contents and the version of Python."""
    content = b"".join((ROOT / name).read_bytes() for name in names)
    return hashlib.sha256(sys.version.encode() + content).hexdigest()


def is_complete(venv, stamp, key):
    """Whether an environment was completed from this content, and its Python is still there."""
    return (venv / "bin" / "python").exists() and stamp.is_file() and stamp.read_text() == key


def call(*command):
    """Run a command; its messages are shown and kept in the exception if it fails: pip's warnings about success ask for nothing."""
    done = subprocess.run(command, cwd=str(ROOT), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr)


def install(venv, *arguments):
    """pip install, in the environment."""
    call(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments)


def refusal():
    """Why no environment can be made here, and what to do; empty if it can."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info[:2] < OLDEST:
        return (
            f"Python {version}: expected 3.11 or later; install one and say make PYTHON=python3.11 (or its path), "
            f"see {PAGE}"
        )
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return (
            f"Python {version} lacks its module venv or ensurepip; on Debian and Ubuntu: apt-get install "
            f"python{version}-venv; elsewhere see {PAGE}"
        )
    return ""


def too_little_disk():
    """Why a new environment does not fit; empty if it does."""
    free = shutil.disk_usage(str(ROOT)).free
    if free >= LEAST_DISK:
        return ""
    return (
        f"The disk of {ROOT} has {free / 1e9:.1f} GB free: expected {LEAST_DISK / 1e9:.0f} GB or more (6 GB for torch's "
        f"default build on Linux); free some space, see {PAGE}"
    )


def remedy(messages):
    """What to do about a failure, from its messages."""
    for words, text in REMEDIES:
        if any(word in messages for word in words):
            return text
    return "see the messages above"


def make(venv, key):
    """Make the environment, or leave the old one as it was."""
    aside = venv.with_name(venv.name + ".old")
    if aside.exists():  # an earlier call was killed before it could put it back
        shutil.rmtree(str(venv), ignore_errors=True)
        aside.rename(venv)
    if venv.exists():
        venv.rename(aside)
    try:
        call(sys.executable, "-m", "venv", str(venv))
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
    message = refusal()
    if message:
        print(message, file=sys.stderr)
        return 1
    venv = ROOT / ".venv"
    try:
        run = digest("requirements.lock", "pyproject.toml")
        if not is_complete(venv, venv / "ready", run):
            message = too_little_disk()
            if message:
                print(message, file=sys.stderr)
                return 1
            print("Installing the packages of requirements.lock into .venv: once, some minutes", flush=True)
            make(venv, run)
        dev = digest("requirements.lock", "requirements-dev.lock", "pyproject.toml")
        if "--dev" in arguments and not is_complete(venv, venv / "ready-dev", dev):
            install(venv, "--constraint", "requirements.lock", "--requirement", "requirements-dev.lock")
            (venv / "ready-dev").write_text(dev)
    except subprocess.CalledProcessError as error:
        kept = "; .venv is as it was before" if (venv / "ready").exists() else ""
        print(
            f"The environment was not made: {' '.join(map(str, error.cmd))} failed{kept}\n"
            f"What to do: {remedy(error.stderr or '')}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
