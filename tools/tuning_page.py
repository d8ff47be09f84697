"""Write what the search of the methods' settings found into docs/hyperparameters.md, from results/tuning.csv.

snakemake --cores all results/tuning.csv
python -m tools.tuning_page results/tuning.csv
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

PAGE = Path(__file__).resolve().parents[1] / "docs" / "hyperparameters.md"
START, END = "<!-- written by tools/tuning_page.py from here -->\n", "<!-- to here -->\n"
LEGEND = """\
Each cell is the criterion of a trial, 0 to 1, with its 95 % interval over people.
Bold: the best trial of the ratio, whose settings are used.
`~`: cannot be told from the best at 5 %.
"""


def block(table: pd.DataFrame) -> str:
    """The part of the page that the search decides.

    Args:
        table: tuning.csv.
    """
    (criterion,), n = table["criterion"].unique(), table["trials"].max()
    fewer = ", one of a method that does not train" if (table["trials"] < n).any() else ""
    several = table["model"].nunique() > 1
    parts = [f"{n} trials of each method at each ratio{fewer}; the criterion is `{criterion}`.\n{LEGEND}"]
    for (model, method), of_method in table.groupby(["model", "method"], sort=False):
        cells = of_method.assign(cell=[_cell(row) for row in of_method.itertuples()])
        wide = cells.pivot(index=["trial", "settings"], columns="forget_percent", values="cell").reset_index()
        wide = wide.drop(columns="trial").rename(columns=lambda name: f"{name} %" if isinstance(name, int) else name)
        edges = [
            f"At {row.forget_percent} % the best is at the edge of the grid ({row.edge}): widen it.\n"
            for row in of_method[of_method["selected"]].itertuples()
            if isinstance(row.edge, str) and row.edge
        ]
        title = f"### {method}, {model}\n" if several else f"### {method}\n"
        parts.append("\n".join([title, wide.to_markdown(index=False) + "\n", "".join(edges)]).rstrip("\n") + "\n")
    parts.append(f"In `config.yaml` these are:\n\n```yaml\n{entries(table)}```\n")
    return "\n".join(parts)


def entries(table: pd.DataFrame) -> str:
    """The settings of the best trials, as entries of ``methods`` in config.yaml."""
    methods: dict[str, dict[str, dict[int, Any]]] = {}
    for row in table[table["selected"]].itertuples():
        for setting in str(row.settings).split(", "):
            key, _, value = setting.partition(" ")
            if not value:  # nothing was varied
                continue
            by_ratio = methods.setdefault(str(row.method), {}).setdefault(key, {})
            by_ratio[int(str(row.forget_percent))] = _value(value)
    lines = ["methods:"]
    for method, settings in methods.items():
        lines.append(f"  {method}:")
        lines += [f"    {key}: {_flow(by_ratio)}" for key, by_ratio in settings.items()]
    return "\n".join(lines) + "\n"


def with_block(page: str, text: str) -> str:
    """A page with another text between the marks."""
    before, rest = page.split(START)
    return before + START + "\n" + text + "\n" + END + rest.split(END, 1)[1]


def _cell(row: Any) -> str:
    value = f"{row.value:.3g}"
    interval = "" if pd.isna(row.value_low) else f" ({row.value_low:.3g} to {row.value_high:.3g})"
    text = f"**{value}**{interval}" if row.selected else f"{value}{interval}"
    return f"{text} ~" if row.tied else text


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return yaml.safe_load(text)


def _flow(values: dict[int, Any]) -> str:
    return yaml.safe_dump(values, default_flow_style=True, width=10_000).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    table = pd.read_csv(parser.parse_args().table)
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), block(table)), encoding="utf-8")


if __name__ == "__main__":
    main()
