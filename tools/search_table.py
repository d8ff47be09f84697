"""The small search behind the methods' learning rates, as Markdown for docs/hyperparameters.md.

    snakemake --cores all --configfile presets/run-search.yaml --directory search results/table3.csv
    python tools/search_table.py presets/run-search.yaml search/results/table3.csv

A method's entries differ in their learning rate. Chosen is the one with the largest selectivity: how far classification falls on the
forgotten people, minus how far it falls on the others, in points against vanilla, means of both modalities. A fall below
what the retain-only model says does not count: from there on there is nothing left to forget.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import yaml


def search_table(entries: dict[str, dict[str, object]], table: pd.DataFrame) -> pd.DataFrame:
    """One row an entry: method, learning_rate, drops in points, selectivity, and whether it was chosen.

    Args:
        entries: ``methods`` of the search's configuration.
        table: its table3.csv, at one ratio.
    """
    scores = table.groupby("method")[["forget_classification", "retain_classification"]].mean()
    vanilla, gold = scores.loc["vanilla"], scores.loc["retain", "forget_classification"]
    rows = []
    for name, entry in entries.items():
        if entry and name in scores.index:
            forget, retain = scores.loc[name]
            drop = vanilla["forget_classification"] - max(forget, gold)
            cost = vanilla["retain_classification"] - retain
            rows.append((entry["method"], entry["learning_rate"], forget, retain, drop - cost))
    found = pd.DataFrame(rows, columns=["method", "learning_rate", "forget", "retain", "selectivity"])
    found["chosen"] = found.index.isin(found.groupby("method", sort=False)["selectivity"].idxmax())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path)
    parser.add_argument("table", type=Path)
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.table)
    found = search_table(yaml.safe_load(arguments.preset.read_text())["methods"], table)
    known = (
        table.groupby("method")[["forget_classification", "retain_classification"]].mean().loc[["vanilla", "retain"]]
    )
    print("Vanilla {:.1f} / {:.1f}, retain-only {:.1f} / {:.1f} (forget / retain).\n".format(*known.to_numpy().ravel()))
    marked = found.assign(chosen=found["chosen"].map({True: "*", False: ""}))
    print(marked.to_markdown(index=False, floatfmt=("", "g", ".1f", ".1f", ".1f", "")))


if __name__ == "__main__":
    main()
