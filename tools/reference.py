"""Keep the results of the default run as docs/reference, and write the tables of README.md from them.

    snakemake --cores all results/table3.csv results/report.html results/robustness.csv results/membership.csv
    python -m tools.reference results

Another processor trains other models, so that the files are those of one machine; `python -m unsee.results.compare` says by how much a run
differs from another. A run of another processor agrees within the intervals; the same processor gives the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unsee.results.columns import metric_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
README = ROOT / "README.md"
START, END = "<!-- written by tools/reference.py from here -->\n", "<!-- to here -->\n"
#: What is kept of a results folder.
FILES = (
    *("table3.csv", "table3.md", "table3.manifest.json", "summary.csv", "summary.md", "ranking.csv", "ranking.md"),
    *("knowledge.md", "modalities.csv", "robustness.md", "membership.md"),
    *("figures/equal_utility.svg", "figures/robustness.svg", "figures/relearning.svg"),
)
#: The columns of README's table: set, and task and metric.
SHOWN = (
    *((name, "classification", "accuracy") for name in ("forget", "test", "retain", "celebrity")),
    *((name, "generation", "rouge_l") for name in ("forget", "retain")),
    *((name, "cloze", "accuracy") for name in ("forget", "retain")),
)


def readme_table(table: pd.DataFrame, percent: int = 10, modality: str = "image") -> str:
    """Some columns of the results table at one ratio, in Markdown.

    Args:
        table: table3.csv.
        percent: the forget ratio.
        modality: of the questions.
    """
    rows = table[(table["forget_percent"] == percent) & (table["modality"] == modality)]
    metrics = [(name, metric_of(task, metric)) for name, task, metric in SHOWN]
    heads = [f"{name} {metric.label}" for name, metric in metrics]
    lines = [_line([f"{percent} %, with the picture", *heads]), _line([":--", *["--:"] * len(heads)])]
    for row in rows.to_dict("records"):
        cells = [f"{row[f'{name}_{metric.column}']:.{1 if metric.unit == '%' else 2}f}" for name, metric in metrics]
        lines.append(_line([f"`{row['method']}`", *cells]))
    return "".join(lines)


def replaced(page: str, block: str) -> str:
    """A page with the part between the marks replaced.

    Raises:
        ValueError: the page has no such part.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page lacks {START.strip()!r} and {END.strip()!r} behind it; expected both once")
    return f"{before}{START}\n{block}\n{END}{after}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the results folder of the default run")
    results = parser.parse_args().results
    for name in FILES:
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(results / name, FOLDER / name)
    block = readme_table(pd.read_csv(FOLDER / "table3.csv"))
    README.write_text(replaced(README.read_text(encoding="utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    main()
