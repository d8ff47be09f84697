"""The page (report.html): one file with tables, figures, every answer and the settings, that opens without a network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from unsee.results.columns import METRICS, SCORE, column_of
from unsee.results.page import findings
from unsee.results.page.captions import FIGURES, ROBUSTNESS_FIGURES
from unsee.results.statistics import alike, trade_off
from unsee.results.styles import attack_label, colours_of, label_of
from unsee.results.tables import knowledge, membership, modalities, robustness, summary, table3

_DATA = files("unsee") / "data" / "report"
#: The tables that the page shows in full.
_SHOWN = ("summary", "table3", "knowledge", "scores", "differences", "modalities", "costs", "ranking")


#: What the columns of most tables mean.
_NOTES = {
    "table3": table3.NOTE,
    "knowledge": knowledge.NOTE,
    "modalities": modalities.NOTE,
    "robustness": robustness.NOTE,
    "membership": membership.NOTE,
}


def render(
    *,
    tables: Mapping[str, pd.DataFrame],
    utility: float,
    explorer: Mapping[str, Any],
    person: Mapping[str, Any] | None,
    figures: Mapping[str, Path],
    configuration: str,
    remarks: Sequence[str],
    manifests: Mapping[str, Mapping[str, Any]],
) -> str:
    """The page as HTML.

    Args:
        tables: ``summary``, ``table3``, ``knowledge``, ``differences``, ``modalities``, ``costs``, ``ranking``, the benchmark's
            ``statistics``, and as ``scores`` the table of :func:`unsee.results.tables.scores.over_seeds`. With
            ``robustness`` the page has a section on attacks, with ``membership`` one on membership.
        utility: the share of vanilla's utility at which the ranking compares methods.
        explorer, person: the data of :func:`unsee.results.page.explorer.explorer` and ``people.one_person``.
        figures: an SVG file by name; those of :mod:`unsee.results.page.captions` are shown.
        configuration, remarks: the resolved configuration, as YAML; sentences before those of the knowledge table.
        manifests: manifest.json of each run, by the run's name.
    """
    models, methods = (list(tables["summary"][name].unique()) for name in ("model", "method"))
    colours, lines = colours_of(methods), [*remarks, *knowledge.sentences(tables["knowledge"])]
    data = {
        "tables": {name: _table(_without_single_model(table, models)) for name, table in _shown(tables).items()},
        "explorer": explorer,
        "labels": {name: label_of(name) for name in methods},
        "colours": colours,
        "decimals": {f"{metric.task}/{metric.name}": metric.decimals for metric in METRICS},
    }
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("report.html.j2")).render(
        model=", ".join(models),
        percents=list(tables["summary"]["forget_percent"].unique()),
        has_base="base" in methods,
        best=list(findings.best_at_equal_utility(tables["ranking"])),
        person=person,
        label=label_of,
        colours=colours,
        utility=f"{100 * utility:g} %",
        knowledge=list(map(_note, lines)),
        **_on_request(tables, figures),
        findings=[findings.as_they_stand(part) for _, part in tables["summary"].groupby("forget_percent", sort=False)],
        notes={name: _note(text) for name, text in _notes(int(tables["scores"]["n_seeds"].max())).items()},
        sees=[_note(line) for line in alike.legend(alike.of_table(tables["summary"]))],
        figures=_figures(FIGURES, figures),
        statistics=list(tables["statistics"].itertuples(index=False, name=None)),
        configuration=configuration,
        versions=_versions(manifests),
        runs=[
            (name, manifest["adapter_sha256"][:16], manifest["seed"], _selected(manifest))
            for name, manifest in manifests.items()
        ],
        **_sources(),
        data=_json(data),
    )


def _on_request(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path]) -> dict[str, list[Any]]:
    """The sentences and figures of the sections that the page has only with their tables."""
    members = membership.sentences(tables["membership"]) if "membership" in tables else []
    return {
        "attacks": robustness.sentences(tables["robustness"]) if "robustness" in tables else [],
        "attack_figures": _figures(ROBUSTNESS_FIGURES, figures),
        "members": [_note(line) for line in members],
    }


def _notes(seeds: int) -> dict[str, str]:
    """What the columns of each table mean, with this number of training seeds."""
    return {**_NOTES, "summary": summary.note(seeds), "ranking": trade_off.definitions(seeds)}


def _shown(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables that the page shows.

    Of the robustness table the combined score at the last step of each attack; of the membership table the rows of all pairs.
    """
    shown = {name: tables[name] for name in _SHOWN}
    if "robustness" in tables:
        rows = robustness.combined(tables["robustness"]).drop(columns=[*SCORE, "last"])
        shown["robustness"] = rows.assign(attack=[attack_label(name) for name in rows["attack"]])
    if "membership" in tables:
        shown["membership"] = membership.shown(tables["membership"])
    return shown


def _figures(captions: Mapping[str, tuple[str, str]], files: Mapping[str, Path]) -> list[tuple[str, str, str, str]]:
    """Name, heading, words and picture of the figures that there are."""
    return [(name, *words, _image(files[name])) for name, words in captions.items() if name in files]


def _without_single_model(table: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    return table.drop(columns="model") if len(models) == 1 else table


def _note(text: str) -> Markup:
    """A note in Markdown as HTML: names in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _sources() -> dict[str, str]:
    """Styles, scripts and the licence of the table library."""
    return {
        "licence": _read("tabulator/LICENSE"),
        "style": Markup(_without_source_map(_read("tabulator/tabulator_simple.min.css")) + _read("report.css")),
        "library": Markup(_without_source_map(_read("tabulator/tabulator.min.js"))),
        "script": Markup(_read("report.js")),
    }


def _read(name: str) -> str:
    return _DATA.joinpath(name).read_text(encoding="utf-8")


def _without_source_map(text: str) -> str:
    """Without the address of a source map, which a browser's tools would request."""
    return re.sub(r"(//|/\*)# sourceMappingURL=\S+( \*/)?", "", text)


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _image(path: Path) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else path.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """A table for the page's script: rows as lists, and how each column is shown; the ends of an interval stand with its value."""
    names = list(table.columns)
    columns = []
    for at, name in enumerate(names):
        if name.endswith(("_low", "_high")) or name in ("low", "high"):
            continue
        column = column_of(name)
        kind = column.kind
        if kind == "number" and not pd.api.types.is_numeric_dtype(table[name]):
            kind = "key"
        of_metric: str | int = "metric" if "metric" in names else 2
        decimals = (of_metric if column.decimals is None else column.decimals) if _has_fractions(table[name]) else None
        low, high = ("low", "high") if name in ("value", "difference") else (f"{name}_low", f"{name}_high")
        columns.append(
            {
                "name": name,
                "title": column.title,
                "kind": kind,
                "decimals": decimals,
                "at": at,
                "ends": [names.index(low), names.index(high)] if low in names else None,
            }
        )
    shown = table.astype(object).where(table.notna(), None)
    rows = [
        [round(v, 6) if isinstance(v, float) else _plain_value(v) for v in row] for row in shown.to_numpy().tolist()
    ]
    keys = {name: names.index(name) for name in ("task", "metric") if name in names}
    return {"columns": columns, "rows": rows, "keys": keys}


def _has_fractions(column: pd.Series) -> bool:
    """Whether a column has numbers with fractions; whole numbers beside missing values are read from CSV as floats."""
    return pd.api.types.is_float_dtype(column) and not (column.dropna() % 1 == 0).all()


def _plain_value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _selected(manifest: Mapping[str, Any]) -> str:
    """The settings that the search found for a run, in words; empty if all were set."""
    if not (selection := manifest.get("selection")):
        return ""
    settings = ", ".join(f"{key} {value}" for key, value in selection["settings"].items())
    return f"{settings}: best of {selection['trials']} trials by {selection['criterion']}"


def _versions(manifests: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each package with the versions that made the runs."""
    versions: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        for name, version in manifest["versions"].items():
            versions.setdefault(name, {})[version] = None
    return [(name, ", ".join(used)) for name, used in sorted(versions.items())]
