"""Write a run as a checkpoint for transformers, or as an adapter for peft: ``python -m unsee.export RUN --to FOLDER``.

RUN is a folder ``results/models/MODEL/forgetN/METHOD/seedS``. docs/export.md has examples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unsee.core.disk import RoomError
from unsee.core.failures import JobError
from unsee.core.hub import FetchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the run that the command line names; 2 if it is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m unsee.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--adapters", action="store_true", help="one PEFT adapter instead of a merged checkpoint")
    kind.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="of the merged weights; all but float32 round the update, and the card says how much",
    )
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="the base model, if it has moved")
    parsed = parser.parse_args(arguments)
    from unsee.export.write import export  # takes seconds: --help and mistakes need not wait for torch

    try:
        rounding = export(parsed.run, parsed.to, as_adapter=parsed.adapters, dtype=parsed.dtype, base=parsed.base)
    except (JobError, RoomError, FetchError) as error:
        print(error, file=sys.stderr)
        return 2
    if rounding is not None:
        print(
            f"rounded to {parsed.dtype}: this moves the weights {rounding.noise:.2g} times as far as the run's last update did",
            file=sys.stderr,
        )
    print(f"{parsed.to}: read README.md there before you pass it on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
