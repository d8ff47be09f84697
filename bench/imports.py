"""Measure the processor time of the imports of every rule's script, and of the libraries of a job that loads a model.

    python -m bench.imports [rule ...]

Each row is a new process, with the garbage collector off as in a job. The best of five is printed, in seconds.
"""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow/scripts"
LIBRARIES = (
    "sys",
    "torch",
    "torch, torch.distributed.tensor",
    "torch, torch._dynamo",
    "torch, transformers",
    "torch, transformers.models",
    "torch, transformers.modeling_utils",
    "transformers.models.llava.modeling_llava",
    "transformers.models.llava.modeling_llava, peft",
    "unsee.models.model",
)
#: What a script defers until its job runs: the modules that a method, a task or a family is.
DEFERRED = {
    "evaluate": "import unsee.evaluation.tasks.generation",
    "predict": "import unsee.evaluation.engine, unsee.models.families.llava",
    **dict.fromkeys(
        ("attack", "finetune", "rescale", "score_pairs", "tune", "unlearn"), "import unsee.models.families.llava"
    ),
}
RUNS = 5


def imports_of(script: Path) -> list[str]:
    """The import statements of a rule's script and of ``_job.py``, which every script imports."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (SCRIPTS / "_job.py", script)]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = [line for line in map(ast.unparse, nodes) if line != "import _job"]
    # Every job ends by writing its receipt.
    return [*lines, "from unsee.jobs import receipts", DEFERRED.get(script.stem, "")]


def processor_seconds(statements: list[str]) -> float:
    """User and system time of a new process that runs some import statements."""
    code = "\n".join(["import gc, sys; gc.disable()", f"sys.path.insert(0, {str(ROOT / 'src')!r})", *statements])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rules: list[str]) -> None:
    scripts = sorted(SCRIPTS.glob("[!_]*.py"))
    rows = {f"rule `{script.stem}`": imports_of(script) for script in scripts if not rules or script.stem in rules}
    if not rules:
        rows = {f"`{modules}`": [f"import {modules}"] for modules in LIBRARIES} | rows
    # One run of each after another, so that a busy minute of the machine does not hit one row only.
    rounds = [[processor_seconds(statements) for statements in rows.values()] for _ in range(RUNS)]
    print("| import | processor time, s |\n|---|--:|")
    for name, seconds in zip(rows, zip(*rounds, strict=True), strict=True):
        print(f"| {name} | {min(seconds):.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
