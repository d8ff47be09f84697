"""Write the report: every figure as PDF, SVG and PNG, the agreement of the metrics, and the page with everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.core.files import write_text
from unsee.results.columns import RunKey
from unsee.results.page import figures, figures_trade_off, report
from unsee.results.page.captions import ROBUSTNESS_FIGURES
from unsee.results.page.drawing import save
from unsee.results.page.explorer import explorer
from unsee.results.page.people import forgotten_people, one_person
from unsee.results.statistics.agreement import agreement
from unsee.results.tables.files import write_csv
from unsee.results.tables.remarks import remarks

#: The tables of the page that keep their names.
_SHOWN = ("summary", "table3", "knowledge", "differences", "modalities", "costs", "ranking", "robustness")


def write_report(
    folder: Path,
    *,
    benchmark: Mapping[str, pd.DataFrame],
    tables: Mapping[str, pd.DataFrame],
    answers: pd.DataFrame,
    metrics: Mapping[RunKey, pd.DataFrame],
    predictions: Mapping[RunKey, pd.DataFrame],
    item_scores: Mapping[RunKey, pd.DataFrame],
    manifests: Mapping[RunKey, Mapping[str, Any]],
    utility: float,
    configuration: str,
    request: str = "",
) -> None:
    """Write ``figures/*``, ``agreement.csv`` and ``report.html``.

    Args:
        folder: the folder of the results; ``figures/equal_utility.svg`` is there already, see
            :func:`unsee.results.page.write_trade_off.write_trade_off`.
        benchmark: ``people``, ``images``, ``questions`` and ``splits``.
        tables: ``scores``, ``scores_over_seeds``, ``summary``, ``table3``, ``knowledge``, ``differences``, ``modalities``, ``costs``,
            ``dataset_statistics`` and ``ranking``, as they are in ``{name}.csv``. With ``robustness`` the page has a section on
            attacks; its figures are there already, see :func:`unsee.results.page.write_robustness.write_robustness`.
        answers, metrics, manifests: scores.parquet; metrics.parquet and manifest.json of each run that was trained here.
        predictions, item_scores: the answers of each run to all tasks, and their scores.
        utility: the share of vanilla's utility at which the ranking compares methods.
        configuration, request: the configuration as YAML; what the ratio of a named request means.
    """
    summary = tables["summary"]
    percent, seed = int(summary["forget_percent"].iloc[0]), next(iter(predictions))[-1]
    people = forgotten_people(benchmark, predictions, percent, seed)
    agreed = agreement(tables["scores"])
    write_csv(agreed, folder / "agreement.csv")
    drawn = {
        "trade_off": figures_trade_off.trade_off(summary),
        "portraits": figures.portraits(people, list(summary["method"].unique())),
        "ratios": figures.ratios(answers),
        "modalities": figures.modalities(answers),
        "agreement": figures.agreement(agreed),
        "training": figures.training(metrics),
        "costs": figures.costs(tables["costs"]),
    }
    for name, figure in drawn.items():
        save(figure, folder / "figures", name)
    svg_names = ["equal_utility", *drawn, *(ROBUSTNESS_FIGURES if "robustness" in tables else ())]
    page = report.render(
        tables={
            **{name: tables[name] for name in _SHOWN if name in tables},
            "scores": tables["scores_over_seeds"],
            "statistics": tables["dataset_statistics"],
        },
        utility=utility,
        explorer=explorer(benchmark, predictions, item_scores),
        person=one_person(benchmark, predictions, item_scores, tables["ranking"]),
        figures={name: folder / "figures" / f"{name}.svg" for name in svg_names},
        configuration=configuration,
        remarks=remarks(answers, request),
        manifests={f"forget{run[0]}/{run[1]}/seed{run[2]}": manifest for run, manifest in manifests.items()},
    )
    write_text(folder / "report.html", page)
