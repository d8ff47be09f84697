"""The report: every figure as PDF, SVG and PNG, how far the metrics agree, and the page with everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.core.files import write_text
from unsee.results.page import explorer, figures, figures_trade_off, report
from unsee.results.page.drawing import save
from unsee.results.statistics.agreement import agreement
from unsee.results.tables.table3 import write_csv

Run = tuple[int, str, int]


def write_report(
    folder: Path,
    *,
    benchmark: Mapping[str, pd.DataFrame],
    tables: Mapping[str, pd.DataFrame],
    answers: pd.DataFrame,
    metrics: Mapping[Run, pd.DataFrame],
    predictions: Mapping[Run, pd.DataFrame],
    item_scores: Mapping[Run, pd.DataFrame],
    manifests: Mapping[Run, Mapping[str, Any]],
    utility: float,
    configuration: str,
) -> None:
    """Write ``figures/*``, ``agreement.csv`` and ``report.html``.

    Args:
        folder: the folder of the results; it has ``figures/equal_utility.svg`` already.
        benchmark: the five canonical tables by name.
        tables: ``scores``, ``scores_over_seeds``, ``summary``, ``table3``, ``differences``, ``costs``,
            ``dataset_statistics`` and ``ranking``, as they are in ``{name}.csv``.
        answers: scores.parquet.
        metrics, manifests: metrics.parquet and manifest.json of each trained run, by (ratio, method, seed).
        predictions, item_scores: predictions.parquet and item_scores.parquet of each run.
        utility: the share of vanilla's utility at which the ranking compares methods.
        configuration: the configuration as YAML.
    """
    summary, ranking = tables["summary"], tables["ranking"]
    agreed, methods = agreement(tables["scores"]), list(summary["method"].unique())
    write_csv(agreed, folder / "agreement.csv")
    percent, (_, _, seed) = int(summary["forget_percent"].iloc[0]), next(iter(predictions))
    people = explorer.forgotten_people(benchmark, predictions, percent, seed)
    drawn = {
        "trade_off": figures_trade_off.trade_off(summary),
        "ratios": figures.ratios(answers),
        "modalities": figures.modalities(answers),
        "training": figures.training(metrics),
        "costs": figures.costs(tables["costs"]),
        "portraits": figures.portraits(people, methods),
        "agreement": figures.agreement(agreed),
    }
    for name, figure in drawn.items():
        save(figure, folder / "figures", name)
    page = report.render(
        summary=summary,
        table3=tables["table3"],
        scores=tables["scores_over_seeds"],
        differences=tables["differences"],
        costs=tables["costs"],
        statistics=tables["dataset_statistics"],
        ranking=ranking,
        utility=utility,
        explorer=explorer.explorer(benchmark, predictions, item_scores),
        person=explorer.one_person(benchmark, predictions, item_scores, ranking),
        figures={name: folder / "figures" / f"{name}.svg" for name in [*drawn, "equal_utility"]},
        configuration=configuration,
        manifests={
            f"forget{percent}/{method}/seed{seed}": manifest for (percent, method, seed), manifest in manifests.items()
        },
    )
    write_text(folder / "report.html", page)
