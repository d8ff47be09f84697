"""What a preset takes on a GPU, from shapes alone: operations, bytes, memory and time of each rule's jobs.

    python -m bench.estimate presets/run-paper-llava-1.5-7b.yaml presets/overlay-gpu-80gb.yaml --card a100-80gb
    python -m bench.estimate --check

No model is built. The second command measures this machine and compares small models with the same arithmetic.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from bench.cards import CARDS, Card  # noqa: E402
from bench.jobs import Job, jobs  # noqa: E402
from bench.operations import Cost  # noqa: E402
from tools.memory_page import between, configuration  # noqa: E402
from unsee import memory  # noqa: E402
from unsee.jobs.config import resolve  # noqa: E402
from unsee.jobs.resources import resources_of  # noqa: E402
from unsee.unlearning import catalogue  # noqa: E402

#: Shares of a data sheet's rates that are assumed; not measured on a GPU.
EFFICIENCY, OF_BANDWIDTH = 0.5, 0.7
#: Seconds in which Python starts the kernels of a block; assumed.
LAUNCH = 0.5e-3
#: Seconds before a job computes: imports, and reading the weights at 1 GB/s.
START, DISK = 30.0, 1e9
#: A rule's ``runtime`` should be at least so many times its longest job.
SPARE = 1.2
COLUMNS = ("rule", "method", "jobs", "PFLOP a job", "minutes a job", "GPU-hours", "GB", "runtime, minutes")
PAGE = ROOT / "docs" / "cluster.md"
#: The runs of docs/cluster.md, by the name of their table.
PAGES = {
    "estimate llava": (("run-paper-llava-1.5-7b", "overlay-gpu-80gb"), "a100-80gb"),
    "estimate qwen2-vl": (("run-paper-llava-1.5-7b", "overlay-qwen2-vl-7b", "overlay-gpu-80gb"), "a100-80gb"),
}


def seconds(cost: Cost, card: Card, stored: int, efficiency: float = EFFICIENCY) -> float:
    """The time of some passes on a GPU.

    Models that are stored in half precision are computed in float32 with TF32 products; others in float32 without TF32.
    """
    rate = 1e12 * (card.float32 if stored == memory.STORED["float32"] else card.tf32)
    moving = cost.bytes / (1e9 * card.bandwidth * OF_BANDWIDTH)
    return cost.flops / (rate * efficiency) + moving + cost.blocks * LAUNCH


def estimate(presets: Sequence[str], card: Card, efficiency: float = EFFICIENCY) -> list[dict[str, Any]]:
    """One row for each rule, and for each method of ``unlearn``; the last row is their sum.

    Args:
        presets: names of presets, in order.
        card: the GPU.
        efficiency: the share of the data sheet's rate of products.

    Raises:
        ValueError: the shapes of the preset's model are unknown before it is downloaded or built.
    """
    config = configuration(*presets)
    lengths = memory.LENGTHS[config["benchmark"]["name"]]
    shapes = memory.shapes_of(config["model"], ROOT, lengths.picture)
    if shapes is None:
        raise ValueError(
            f"{', '.join(presets)}: the shapes of {config['model']['path']} are unknown; expected a folder with its config.json, or one "
            f"of {', '.join(memory.PUBLISHED)}"
        )
    rows = [
        _row(job, resources_of(config, job.rule)["runtime"], card, shapes, efficiency)
        for job in jobs(config, resolve(config, catalogue.read()), shapes)
    ]
    total = {"rule": "all", "method": "", "jobs": sum(row["jobs"] for row in rows)}
    total["GPU-hours"] = round(sum(row["GPU-hours"] for row in rows), 1)
    return [*rows, {**dict.fromkeys(COLUMNS, ""), **total}]


def _row(job: Job, runtime: int, card: Card, shapes: memory.Shapes, efficiency: float) -> dict[str, Any]:
    start = START + shapes.parameters * shapes.stored / DISK
    each = seconds(job.cost, card, shapes.stored, efficiency) / job.count + start
    return {
        "rule": job.rule,
        "method": job.method,
        "jobs": job.count,
        "PFLOP a job": round(job.cost.flops / job.count / 1e15, 1),
        "minutes a job": round(each / 60, 1),
        "GPU-hours": round(each * job.count / 3600, 1),
        "GB": f"{job.need.card:.1f}{'' if job.need.fits(card.memory) else ' (too much)'}",
        "runtime, minutes": f"{runtime}{'' if runtime * 60 >= SPARE * each else ' (short)'}",
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table of a page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "--:|" * (len(COLUMNS) - 2)]
    lines += ["| " + " | ".join(str(row[column]) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """docs/cluster.md with its tables computed."""
    for name, (presets, card) in PAGES.items():
        text = between(text, name, markdown(estimate(presets, CARDS[card])))
    return text


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.estimate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("preset", nargs="*", type=Path, help="files of presets/, in the order of --configfile")
    parser.add_argument("--card", choices=CARDS, default="a100-80gb")
    parser.add_argument(
        "--efficiency", type=float, default=EFFICIENCY, help="share of the card's rate that products reach"
    )
    parser.add_argument("--csv", type=Path, help="also write the table into this file")
    parser.add_argument("--check", action="store_true", help="compare the arithmetic with measurements on this machine")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/cluster.md")
    options = parser.parse_args(arguments)
    if options.write:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if options.check:
        from bench import check

        return check.main()
    if not options.preset:
        parser.error("expected the files of a preset, or --check")
    card = CARDS[options.card]
    try:
        rows = estimate([preset.stem for preset in options.preset], card, options.efficiency)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.card}: {card.source}\n\n{markdown(rows)}", end="")
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            out.writeheader()
            out.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
