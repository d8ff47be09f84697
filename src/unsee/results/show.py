"""The results in one screen of text: ``python -m unsee.results.show [RESULTS]``, which ``make table`` prints at its end.

Everything is read from the tables in the folder; nothing is computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pandas as pd

from unsee.core.files import sha256
from unsee.results.columns import REFERENCES, TABLE_ROW, table_metrics
from unsee.results.page import findings
from unsee.results.statistics.differences import LEVEL
from unsee.results.styles import in_words, label_of

#: The project, whose commands the last lines name.
ROOT = Path(__file__).resolve().parents[3]
#: Columns: those of running text at most, and those where no terminal says how many it has.
PROSE, DEFAULT = 100, 80
#: The scores of the table, the most important first; those that do not fit are left out.
_SCORES = ("forget", "retain", "celebrity", "test")
_FILES = {
    "table3.md": "every score of the results table",
    "summary.md": "forgetting, utility and both in one",
    "ranking.md": "methods at equal utility",
    "modalities.csv": "forgotten in pictures only?",
    "knowledge.md": "was there anything to forget?",
    "robustness.md": "what attacks bring back",
    "membership.md": "were these people trained on?",
    "costs.csv": "time and memory of each training",
    "dataset_statistics.csv": "people, pictures, questions",
    "report.html": "all of it, to open in a browser",
}
#: What may be older than the scores, and the rule that makes it.
_MADE_BY = {"summary": "summary", "ranking": "trade_off", "report": "report", "robustness": "robustness"}


class ShowError(ValueError):
    """A folder has no results to show; the message names the file."""


@dataclass(frozen=True)
class Section:
    """A heading and the lines below it."""

    heading: str
    lines: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results; an exit status."""
    parser = argparse.ArgumentParser(prog="python -m unsee.results.show", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="a folder with results")
    folder = parser.parse_args(arguments).results
    try:
        sections = show(folder, shutil.get_terminal_size((DEFAULT, 24)).columns)
    except ShowError as error:
        print(error, file=sys.stderr)
        return 2
    bold = ("\033[1m", "\033[0m") if _has_colours(sys.stdout) else ("", "")
    for section in sections:
        print(f"\n{bold[0]}{section.heading}{bold[1]}", *section.lines, sep="\n")
    return 0


def show(folder: Path, width: int = DEFAULT) -> list[Section]:
    """The results table of one ratio, who wins, what to beware of, the files and the next commands.

    Args:
        folder: with table3.csv and what else there is.
        width: of the lines, in columns; at least 40 are used.

    Raises:
        ShowError: there is no table3.csv, or it is not the workflow's.
    """
    width = max(40, width)
    results = _read(folder, "table3.csv", TABLE_ROW)
    old = [name for name, rule in _MADE_BY.items() if not _is_current(folder, rule)]
    tables = {
        name: _read(folder, f"{name}.csv", TABLE_ROW[:2])
        for name in ("summary", "ranking", "knowledge")
        if (folder / f"{name}.csv").exists() and name not in old
    }
    if "summary" in tables:  # tables of earlier versions have no marks; the reference models have none
        for mark in ("destroyed", "hardly_begun"):
            column = tables["summary"].get(mark, pd.Series(False, tables["summary"].index))
            tables["summary"][mark] = column.eq(True)
    percents = sorted(percent for percent in results["forget_percent"].unique() if percent)
    if not percents:
        raise ShowError(f"{folder / 'table3.csv'}: no row with a forget_percent above 0; expected the workflow's table")
    percent = 10 if 10 in percents else int(percents[len(percents) // 2])
    sections = []
    for model in results["model"].unique():
        parts = {
            name: table[(table["model"] == model) & (table["forget_percent"] == percent)]
            for name, table in (tables | {"table3": results}).items()
        }
        sections.append(_table(model, percent, parts["table3"], parts.get("summary"), width))
        sections.append(Section(f"Who wins at {percent} %", _bullets(_winners(parts), width)))
        if warnings := list(_warnings(parts)):
            sections.append(Section("Beware", _bullets(warnings, width)))
    others = [str(other) for other in percents if other != percent]
    sections += [_files(folder, others, old, width), _next(folder, old, width)]
    return [Section("\n".join(_wrap(section.heading, width, 0)), section.lines) for section in sections]


def _table(model: str, percent: int, rows: pd.DataFrame, summary: pd.DataFrame | None, width: int) -> Section:
    """The rows of one ratio with pictures, or in words where no question has a picture."""
    modality = "image" if "image" in set(rows["modality"]) else str(rows["modality"].iloc[0])
    rows = rows[rows["modality"] == modality].set_index("method")
    labels = [label_of(str(method)) for method in rows.index]
    shortened = [label if len(label) <= 20 else f"{label[:17]}..." for label in labels]
    labels = shortened if len(set(shortened)) == len(labels) else labels
    columns = [
        (group, metric.heading, [_number(value, 1 if metric.unit else 2) for value in rows[name]])
        for group in _SCORES
        for metric in table_metrics()
        if (name := f"{group}_{metric.column}") in rows and rows[name].notna().any()
        if group in _SCORES[:2] or metric is table_metrics()[0]
    ]
    combined: dict[str, float] = {}
    if summary is not None:
        combined = dict(zip(summary["method"].astype(str), summary["combined"].astype(float), strict=True))
    marks = _marks(summary)
    if len(combined):
        cells = [f"{_number(combined.get(str(method)), 2)} {marks.get(str(method), ' ')}" for method in rows.index]
        columns.insert(sum(group in _SCORES[:2] for group, _, _ in columns), ("", "combined", cells))
    while len(lines := _laid_out(["", "", *labels], columns)) and max(map(len, lines)) > width and columns:
        columns.pop()
    source = "with a picture" if modality == "image" else "in words"
    notes = [
        "Accuracies in percent, ROUGE-L and combined 0 to 1. forget: down to retain-only is good; others: up is good."
    ]
    if marks and any(heading == "combined" for _, heading, _ in columns):
        destroyed = "   x destroyed" if "x" in marks.values() else ""
        notes.append(f"* best combined   = not clearly worse (p >= {LEVEL:g}, paired test){destroyed}")
    prose = [line for note in notes for line in _wrap(note, min(width, PROSE), 0)]
    return Section(f"{model}: {percent} % of the people forgotten, asked {source}", [*lines, *prose])


def _laid_out(labels: Sequence[str], columns: Sequence[tuple[str, str, list[str]]]) -> list[str]:
    """Two lines of headings, groups above columns, then the rows."""
    size = max(map(len, labels))
    lines = [f"{label:<{size}}" for label in labels]
    groups = list(dict.fromkeys(group for group, _, _ in columns))
    for group in groups:
        members = [(heading, cells) for name, heading, cells in columns if name == group]
        widths = [max(len(heading), *map(len, cells)) for heading, cells in members]
        block = [" ".join(f"{heading:>{w}}" for w, (heading, _) in zip(widths, members, strict=True))]
        block += [
            " ".join(f"{cells[i]:>{w}}" for w, (_, cells) in zip(widths, members, strict=True))
            for i in range(len(labels) - 2)
        ]
        size = max(len(group), *map(len, block))
        block = [f"{group:^{size}}", *(f"{line:>{size}}" for line in block)]
        lines = [f"{line}  {part}" for line, part in zip(lines, block, strict=True)]
    return [line.rstrip() for line in lines]


def _marks(summary: pd.DataFrame | None) -> dict[str, str]:
    """``*`` for the method with the best combined score, ``=`` for those not clearly worse by the paired test, ``x`` for wrecks."""
    if summary is None:
        return {}
    methods = summary[~summary["method"].isin(REFERENCES)]
    destroyed, methods = methods.loc[methods["destroyed"], "method"], methods[~methods["destroyed"]]
    best = methods.sort_values("combined", ascending=False, kind="stable")["method"].head(1)
    alike = methods.loc[methods["p_against_best"] >= LEVEL, "method"]
    groups = {"x": destroyed, "=": alike, "*": best}
    return {str(method): mark for mark, group in groups.items() for method in group}


def _winners(parts: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Who is best, and whether that is more than chance."""
    if "summary" not in parts:
        yield (
            "There is no summary.csv of these scores, so methods are not compared: a published protocol does not measure what it "
            "needs, or it was not made yet (make table)."
        )
        return
    yield findings.as_they_stand(parts["summary"])
    for best in findings.best_at_equal_utility(parts.get("ranking", pd.DataFrame(columns=["forget_percent"]))):
        if not best.method:
            yield f"At equal utility no method can be compared: all stopped early ({best.not_compared})."
            continue
        text = f"At equal utility {label_of(best.method)} forgets most: {best.forgetting}, with {best.how}."
        text += f" More than by chance better than {best.better_than}." if best.better_than else ""
        text += f" Not clearly better than {best.unclear}." if best.unclear else ""
        yield text + (f" Stopped early and not compared: {best.not_compared}." if best.not_compared else "")


def _warnings(parts: dict[str, pd.DataFrame]) -> Iterator[str]:
    """What makes the numbers worth less."""
    if "summary" in parts:
        begun = parts["summary"].loc[parts["summary"]["hardly_begun"], "method"]
        if len(begun):
            yield (
                f"Hardly begun to forget: {in_words([label_of(method) for method in begun])}. With more steps or a higher rate they "
                "might do better (summary.md)."
            )
    if "knowledge" in parts:
        verdicts = parts["knowledge"].loc[parts["knowledge"]["method"] == "vanilla", "verdict"]
        if unclear := int((verdicts != "more").sum()):
            yield (
                f"In {unclear} of {len(verdicts)} scores vanilla knows no more than the retain-only model as far as these people "
                "show. By them no method can be judged (knowledge.md)."
            )


def _files(folder: Path, others: Sequence[str], old: Sequence[str], width: int) -> Section:
    """What lies where; the file of an earlier run is marked."""
    names = [name for name in _FILES if (folder / name).exists()]
    size = max(map(len, names))
    lines = []
    for name in names:
        text = f"of an EARLIER run: {_FILES[name]}" if Path(name).stem in old else _FILES[name]
        lines += _described(f"  {name:<{size}}", text, width)
    also = f"; with {in_words(others)} % too" if others else ""
    return Section(f"Files in {folder} (.md to read, .csv to compute{also})", lines)


def _next(folder: Path, old: Sequence[str], width: int) -> Section:
    """Commands that make sense now."""
    here = folder.resolve() == (ROOT / "results").resolve()
    commands = {}
    if not (folder / "report.html").exists() or "report" in old:
        command = "make report" if here else "the same command with the target results/report.html"
        commands[command] = "a page with figures and every answer"
    python = ".venv/bin/python" if here and (ROOT / ".venv").exists() else "python"
    again = "" if folder == Path("results") else f" {folder}"
    commands[f"{python} -m unsee.results.show{again}"] = "this screen again"
    commands["see README.md"] = "other methods, settings, data"
    size = max(len(command) for command in commands if len(command) <= width // 2)
    return Section(
        "Next", [line for item in commands.items() for line in _described(f"  {item[0]:<{size}}", item[1], width)]
    )


def _described(name: str, text: str, width: int) -> list[str]:
    """A name and what it is, in one line if it fits, else below each other."""
    line = f"{name}  {text}"
    return [line] if len(line) <= width else [*_wrap(name, width, 4), *_wrap(f"      {text}", width, 6)]


def _read(folder: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    path = folder / name
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise ShowError(f"{path}: no such file; expected a folder of results; make table makes one") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ShowError(f"{path}: {error}; expected the workflow's table; delete it, then make table") from None
    if missing := [column for column in columns if column not in table]:
        raise ShowError(f"{path}: no column {missing[0]!r}; expected the workflow's table; delete it, then make table")
    return table


def _is_current(folder: Path, rule: str) -> bool:
    """Whether a rule has read the present scores; true where that cannot be told."""
    receipt, scores = folder / "jobs" / f"{rule}.json", folder / "scores.parquet"
    if not receipt.exists() or not scores.exists():
        return True
    recorded = json.loads(receipt.read_text(encoding="utf-8"))["inputs"]
    return bool(recorded.get("results/scores.parquet") == sha256(scores))


def _bullets(texts: Iterator[str] | Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in _wrap(f"- {text}", min(width, PROSE), 2)]


def _wrap(text: str, width: int, indent: int) -> list[str]:
    """Lines of at most this width, indented from the second on; names with hyphens stay whole."""
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.{decimals}f}"


def _has_colours(stream: TextIO) -> bool:
    """Whether the stream is a terminal that takes bold letters and nobody has forbidden them (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


if __name__ == "__main__":
    sys.exit(main())
