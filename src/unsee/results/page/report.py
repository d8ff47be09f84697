"""One page with everything, that opens without a network: tables, figures, every answer, settings."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from unsee.results.columns import colours, label
from unsee.results.page import findings
from unsee.results.statistics import trade_off
from unsee.results.tables import summary as summaries

#: The figures in the order of the page: file name, heading, what to see in it.
FIGURES = {
    "equal_utility": (
        "Methods at equal utility",
        "A line is a method as its update grows from nothing (vanilla) to all of it (the marker). Compare heights at the dashed line: the "
        "same utility for all. The aim is the star, a model that never met the forgotten. What keeps less than half of the utility is "
        "beyond the left edge.",
    ),
    "trade_off": (
        "Forgetting against utility, with intervals",
        "The models as they stand. Up is forgotten, right is kept; the retain-only model is the aim. On a grey line the combined score "
        "is the same.",
    ),
    "portraits": (
        "Three forgotten people",
        "What each model says of the picture: before (vanilla), never met (retain-only), after.",
    ),
    "ratios": ("Every score over the forget ratios", "Pictures and text together; bars are 95 % intervals, by person."),
    "modalities": (
        "Does it forget in both?",
        "What is left of the forgotten people. On the diagonal a model knows as much from the picture as from the name.",
    ),
    "agreement": (
        "Which metrics agree here",
        "Kendall's tau between two metrics' rankings of the runs, each turned so that high is good: 1 the same order, -1 the opposite.",
    ),
    "training": (
        "Training",
        "The loss of each run, smoothed, and single steps pale behind it; methods' losses are not comparable with one another.",
    ),
    "costs": ("Costs", "Time and memory of training one model: the mean over ratios, lines from least to most."),
}
_DATA = files("unsee") / "data" / "report"
_TITLES = {
    "forget_percent": "forgotten %",
    "n_questions": "questions",
    "n_people": "people",
    "scale": "part of update",
    "n_seeds": "seeds",
    "over_unlearned": "over-unlearned",
}
_SCORE_COLUMNS = ("forget_percent", "method", "seed", "set", "modality", "task", "metric")


def render(
    *,
    summary: pd.DataFrame,
    table3: pd.DataFrame,
    scores: pd.DataFrame,
    differences: pd.DataFrame,
    costs: pd.DataFrame,
    statistics: pd.DataFrame,
    ranking: pd.DataFrame,
    utility: float,
    explorer: Mapping[str, Any],
    person: Mapping[str, Any] | None,
    figures: Mapping[str, Path],
    configuration: str,
    manifests: Mapping[str, Mapping[str, Any]],
) -> str:
    """The page as HTML.

    Args:
        summary, table3, differences, costs, statistics, ranking: the tables of those names.
        scores: as :func:`unsee.results.tables.scores.over_seeds` gives them.
        utility: the share of vanilla's utility at which the ranking compares methods.
        explorer: as :func:`unsee.results.page.explorer.explorer` gives it.
        person: as :func:`unsee.results.page.explorer.one_person` gives it.
        figures: an SVG file for each name in ``FIGURES`` that shall be shown.
        configuration: the resolved configuration, as YAML.
        manifests: manifest.json of each run, by the run's name.
    """
    methods = list(dict.fromkeys(summary["method"]))
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_read("report.html.j2"))
    one_model = summary["model"].nunique() == 1
    tables = {
        name: _table(table.drop(columns="model") if one_model else table)
        for name, table in (
            ("summary", summary.astype({"still_known": "Int64", "over_unlearned": "Int64"})),
            ("table3", table3),
            ("scores", scores),
            ("differences", differences),
            ("costs", costs),
            ("ranking", ranking),
        )
    }
    return template.render(
        model=", ".join(dict.fromkeys(summary["model"])),
        percents=list(dict.fromkeys(summary["forget_percent"])),
        glance=list(findings.best_at_equal_utility(ranking)),
        person=person,
        label=label,
        colours=colours(methods),
        utility=f"{100 * utility:g} %",
        findings=[findings.as_they_stand(part) for _, part in summary.groupby("forget_percent", sort=False)],
        note=_note(summaries.NOTE),
        ranking_note=_note(trade_off.NOTE),
        figures=[(name, *FIGURES[name], _image(figures[name])) for name in FIGURES if name in figures],
        statistics=list(statistics.itertuples(index=False, name=None)),
        configuration=configuration,
        versions=_versions(manifests),
        runs=[(name, manifest["adapter_sha256"][:16], manifest["seed"]) for name, manifest in manifests.items()],
        licence=_read("tabulator/LICENSE"),
        style=Markup(_plain(_read("tabulator/tabulator_simple.min.css")) + _read("report.css")),
        library=Markup(_plain(_read("tabulator/tabulator.min.js"))),
        script=Markup(_read("report.js")),
        data=_json(
            {
                "tables": tables,
                "explorer": explorer,
                "labels": {name: label(name) for name in methods},
                "colours": colours(methods),
            }
        ),
    )


def _note(text: str) -> Markup:
    """A note in Markdown's words: names in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _read(name: str) -> str:
    return _DATA.joinpath(name).read_text(encoding="utf-8")


def _plain(text: str) -> str:
    """Without the address of a source map, which a browser's tools would ask for."""
    return re.sub(r"(//|/\*)# sourceMappingURL=\S+( \*/)?", "", text)


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _image(path: Path) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else path.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """Rows as lists and what each column is; ends of an interval stand with their value."""
    columns = []
    for name in table.columns:
        if name.endswith(("_low", "_high")) or (name in ("low", "high")):
            continue
        low, high = (f"{name}_low", f"{name}_high") if f"{name}_low" in table else ("low", "high")
        numeric = pd.api.types.is_float_dtype(table[name])
        column: dict[str, Any] = {
            "name": name,
            "title": _TITLES.get(name, name.replace("_", " ")),
            "digits": _digits(table[name]) if numeric else None,
        }
        column["text"] = not pd.api.types.is_numeric_dtype(table[name]) or name in _SCORE_COLUMNS
        if low in table and (name in ("value", "difference") or low.startswith(name)):
            column["ends"] = [list(table.columns).index(low), list(table.columns).index(high)]
        columns.append(column | {"at": list(table.columns).index(name)})
    shown = table.astype(object).where(table.notna(), None)
    rows = [
        [round(v, 6) if isinstance(v, float) else _plain_value(v) for v in row] for row in shown.to_numpy().tolist()
    ]
    return {"columns": columns, "rows": rows}


def _plain_value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _digits(column: pd.Series) -> int:
    return 1 if column.abs().max() > 1.5 else 2


def _versions(manifests: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Of each package, all versions that made a run."""
    found: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        for name, version in manifest["versions"].items():
            found.setdefault(name, {})[version] = None
    return [(name, ", ".join(versions)) for name, versions in sorted(found.items())]
