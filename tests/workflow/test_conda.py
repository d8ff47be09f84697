"""A rule that runs in its own conda environment finds the library of this project.

There is no conda here: a stand-in of a few lines makes environments that have every installed package and no library,
which is what a real one made from envs/unsee.yaml has.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
CONDA = f"""\
#!/usr/bin/env bash
set -euo pipefail
case "$*" in
  --version) echo "conda 25.1.1" ;;
  "info --json") echo '{{"conda_prefix": "PREFIX", "platform": "linux-64"}}' ;;
  "config --get channel_priority"*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  *create*)
    while [ "$1" != "--prefix" ] && [[ "$1" != --prefix=* ]]; do
      [ "$1" != "--file" ] || cp "$2" PREFIX/environment.yaml
      shift
    done
    "{sys.executable}" -m venv --without-pip "$2"
    # A line in a .pth file adds the folder and does not read the .pth files in it, where an editable install is.
    echo "{sysconfig.get_path("purelib")}" > "$2/{SITE}/packages.pth"
    ;;
  clean*) ;;
  *) echo "conda stand-in: $*" >&2; exit 1 ;;
esac
"""


def test_a_rule_in_a_conda_environment_finds_the_library(
    snakemake: Callable[..., Any], root: Path, checkpoint: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    for name, text in {
        "conda": CONDA.replace("PREFIX", str(prefix)),
        "activate": 'export PATH="$1/bin:$PATH" CONDA_PREFIX="$1"\n',
    }.items():
        (prefix / "bin" / name).write_text(dedent(text))
        (prefix / "bin" / name).chmod(0o755)
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"model: {{path: '{checkpoint}'}}\nbenchmark: {{people: 12, celebrities: 4, forget_percents: [25]}}\n"
    )
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    arguments = ["results/benchmark/people.parquet", "--sdm", "conda", "--configfile", str(settings)]
    outcome = snakemake(tmp_path / "work", *arguments, PATH=path)
    assert outcome.code == 0, outcome.text
    assert "Activating conda environment: .snakemake/conda/" in outcome.text
    assert (prefix / "environment.yaml").read_text() == (root / "envs" / "unsee.yaml").read_text()
    people = pd.read_parquet(tmp_path / "work" / "results" / "benchmark" / "people.parquet")
    assert (people["group"] == "fictitious").sum() == 12
