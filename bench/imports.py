"""Measure the processor time of the imports of a job that loads a model.

    python -m bench.imports

Each row is a new process, with the garbage collector off as in a job. The best of five is printed, in seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys

IMPORTS = (
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
RUNS = 5


def processor_seconds(modules: str) -> float:
    """User and system time of a new process that imports some modules."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import gc; gc.disable(); import {modules}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    # One run of each after another, so that a busy minute of the machine does not hit one row only.
    rounds = [[processor_seconds(modules) for modules in IMPORTS] for _ in range(RUNS)]
    print("| import | processor time, s |\n|---|--:|")
    for modules, seconds in zip(IMPORTS, zip(*rounds, strict=True), strict=True):
        print(f"| `{modules}` | {min(seconds):.2f} |")


if __name__ == "__main__":
    main()
