"""Compute the reference results anew: run both runs, keep their tables in docs/reference, and write the table of README.md.

    make reference

The first run is the default one, for the attacks and the scores of membership: one seed and the methods of config.yaml. The second has
every method with three seeds (presets/run-reference.yaml); it is computed in the folder ``reference``. Both resume if stopped.
Another processor trains other models, so that the files are those of one machine;
`python -m unsee.results.compare docs/reference results` says whether a run agrees with them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from tools import front, paper
from tools.memory_page import configuration, preset_files
from unsee.core.files import write_text
from unsee.results import check
from unsee.results.columns import REFERENCES, metric_of
from unsee.results.page.drawing import save
from unsee.results.page.figures_trade_off import equal_utility
from unsee.results.tables.files import write_csv

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
README = ROOT / "README.md"
PRESET = "run-reference"
START, END = "<!-- written by tools/reference.py from here -->\n", "<!-- to here -->\n"
#: The arguments of Snakemake for the default run and for that of every method.
DEFAULT_RUN = ("results/table3.csv", "results/robustness.csv", "results/membership.csv")
WHOLE_RUN = (
    *("--directory", "reference", "--configfile"),
    *(str(path.relative_to(ROOT)) for path in preset_files(PRESET)),
    *("--", "results/table3.csv", "results/summary.csv", "results/ranking.csv"),
)
#: What is kept as it is of the run of every method, and of the default run.
OF_WHOLE = (
    *("table3.csv", "table3.md", "summary.csv", "summary.md", "ranking.csv", "ranking.md"),
    *("knowledge.md", "modalities.csv", "ablation.csv", "figures/equal_utility.svg"),
)
OF_DEFAULT = ("robustness.md", "membership.md", "figures/robustness.svg", "figures/relearning.svg")
#: The figure of the methods in README's table.
FIGURE = "equal_utility_of_paper"
#: The columns of README's table: set, and task and metric.
SHOWN = (
    *((name, "classification", "accuracy") for name in ("forget", "test", "retain", "celebrity")),
    *((name, "generation", "rouge_l") for name in ("forget", "retain")),
    *((name, "cloze", "accuracy") for name in ("forget", "retain")),
)
#: What is kept: links to files, each with its text, and what they hold.
CONTENT: tuple[tuple[dict[str, str], str], ...] = (
    (
        {"table3.md": "table3.md", ".csv": "table3.csv", "manifest": "table3.manifest.json"},
        "the results table, means over seeds; its configuration and versions",
    ),
    ({"scores.csv": "scores.csv"}, "the same scores for each seed, with 95 % intervals"),
    ({"summary.md": "summary.md", ".csv": "summary.csv"}, "forgetting, utility and both in one"),
    (
        {"ranking.md": "ranking.md", ".csv": "ranking.csv", "figure": "figures/equal_utility.svg"}
        | {"the paper's methods": f"figures/{FIGURE}.svg"},
        "methods at equal utility",
    ),
    ({"knowledge.md": "knowledge.md"}, "was there anything to forget?"),
    ({"modalities.csv": "modalities.csv"}, "what is left with a picture and in words"),
    ({"ablation.csv": "ablation.csv"}, "some columns of the results table with their spread over seeds"),
    (
        {"robustness.md": "robustness.md", "figure": "figures/robustness.svg", "relearning": "figures/relearning.svg"},
        "what attacks bring back, in the default run",
    ),
    (
        {"person.json": "person.json"},
        "one forgotten person, and what vanilla, the best method and the retain-only model say",
    ),
    ({"membership.md": "membership.md"}, "are training pairs told from strangers', in the default run?"),
)
CHECK = """\
## Check an installation

```sh
make table
python -m unsee.results.compare docs/reference results
```

It compares the models that both folders have: of a default run those of the methods in `config.yaml` with seed 0.
The last line is the verdict: `Same` (equal to the last digit, as on the same machine), `Agree` (within the margins, as on
another processor) or `Differ`; the exit code is 1 for the last.
A margin is made of both scores' intervals, clustered by person, and of the spread over the seeds here.
"""


@dataclass(frozen=True)
class Made:
    """How the reference results were made.

    Attributes:
        manifest: the manifest of the results table.
        jobs, hours: how many jobs there were, and how long they took one after the other.
    """

    manifest: Mapping[str, Any]
    jobs: int
    hours: float


def readme_table(
    table: pd.DataFrame, summary: pd.DataFrame, methods: Sequence[str], seeds: int, percent: int = 10
) -> str:
    """Some columns of the results table at one ratio, for questions with a picture, in Markdown.

    Args:
        table: table3.csv.
        summary: summary.csv, which says which models are destroyed or have hardly begun.
        methods: the unlearning methods to show.
        seeds: the number of seeds that the scores are means over.
        percent: the forget ratio.
    """
    rows = table[(table["forget_percent"] == percent) & (table["modality"] == "image")]
    rows = rows[rows["method"].isin([*REFERENCES, *methods])]
    metrics = [(name, metric_of(task, metric)) for name, task, metric in SHOWN]
    heads = [f"{name} {metric.label}" for name, metric in metrics]
    of_ratio = summary[summary["forget_percent"] == percent].set_index("method")
    marks = {
        text: set(of_ratio.index[of_ratio[name].fillna(False).astype(bool)])
        for name, text in (("destroyed", "destroyed"), ("hardly_begun", "hardly begun"))
    }
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    lines = [_line([f"{percent} %, with the picture{over}", *heads]), _line([":--", *["--:"] * len(heads)])]
    for row in rows.to_dict("records"):
        cells = [f"{row[f'{name}_{metric.column}']:.{1 if metric.unit == '%' else 2}f}" for name, metric in metrics]
        name = f"`{row['method']}`" + "".join(f" ({text})" for text, of in marks.items() if row["method"] in of)
        lines.append(_line([name, *cells]))
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


def page(made: Made) -> str:
    """docs/reference/README.md: what was run, where, with what, and how to check an installation against it."""
    run, of = made.manifest["made"], made.manifest["configuration"]
    commit = run["revision"]["commit"] + (", with changes" if run["revision"]["changed"] else "")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    machine = f"{run['hardware']['processor']}, {run['hardware']['cores']} cores"
    ratios = ", ".join(f"{percent} %" for percent in of["benchmark"]["forget_percents"])
    facts = {
        "commit": commit,
        "machine": machine,
        "time": f"{made.jobs:,} jobs, {made.hours:.1f} hours one after the other",
        "versions": versions,
    }
    lines = [
        "# Reference results\n\n",
        f"{len(of['methods'])} rows of unlearning, seeds {', '.join(map(str, of['seeds']))}, forget ratios {ratios}.\n",
        "Made by `make reference` (`python -m tools.reference`), which writes this page too; its runs are\n\n",
        "```sh\n",
        *(f"snakemake --cores all {' '.join(run)}\n" for run in (DEFAULT_RUN, WHOLE_RUN)),
        "```\n\n| | |\n|---|---|\n",
        *(f"| {name} | {text} |\n" for name, text in facts.items()),
    ]
    lines += ["\n| file | content |\n|---|---|\n"]
    for links, content in CONTENT:
        lines.append(_line([", ".join(f"[{text}]({file})" for text, file in links.items()), content]))
    return "".join(lines) + f"\n{CHECK}"


def keep(whole: Path, default: Path, folder: Path = FOLDER) -> Made:
    """Keep the tables and figures of both runs in a folder, and write its page.

    Args:
        whole: the results folder of the run of every method.
        default: that of the default run.
        folder: where they are kept.
    """
    for source, names in ((whole, OF_WHOLE), (default, OF_DEFAULT)):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    write_csv(check.of_table(pd.read_csv(whole / "scores.csv")), folder / "scores.csv")
    manifest = json.loads((whole / "table3.manifest.json").read_text(encoding="utf-8"))
    # Without the digests of some thousand files that are not here.
    made = {key: manifest["made"][key] for key in ("hardware", "revision", "versions")}
    short = {"configuration": manifest["configuration"], "made": made}
    write_text(folder / "table3.manifest.json", json.dumps(short, indent=2, sort_keys=True) + "\n")
    curves = pd.read_csv(whole / "trade_off.csv")
    shown = curves[curves["method"].isin([*REFERENCES, *default_methods()])]
    figure = equal_utility(shown, configuration(PRESET)["trade_off"]["utility"])
    with TemporaryDirectory() as every_format:
        save(figure, Path(every_format), FIGURE)
        shutil.copyfile(Path(every_format) / f"{FIGURE}.svg", folder / "figures" / f"{FIGURE}.svg")
    seconds = [time for results in (whole, default) for time in _seconds(results / "jobs")]
    result = Made(short, len(seconds), sum(seconds) / 3600)
    write_text(folder / "README.md", page(result))
    return result


def default_methods() -> list[str]:
    """The methods of the default run."""
    return list(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["methods"])


def _seconds(jobs: Path) -> Iterator[float]:
    """How long each job took, as Snakemake measured it."""
    for file in sorted(jobs.rglob("*.tsv")):
        yield float(pd.read_csv(file, sep="\t")["s"].iloc[0])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="all", help="for Snakemake; default: all")
    cores = parser.parse_args().cores
    for run in (DEFAULT_RUN, WHOLE_RUN):
        subprocess.run([sys.executable, "-m", "snakemake", "--cores", cores, *run], cwd=ROOT, check=True)
    made = keep(ROOT / "reference" / "results", ROOT / "results")
    tables = [pd.read_csv(FOLDER / name) for name in ("table3.csv", "summary.csv")]
    table = readme_table(tables[0], tables[1], default_methods(), len(made.manifest["configuration"]["seeds"]))
    write_text(README, replaced(README.read_text(encoding="utf-8"), table))
    paper.write(ROOT / "reference" / "results")
    front.keep(ROOT / "reference" / "results")
    front.write()


if __name__ == "__main__":
    main()
