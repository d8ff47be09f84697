"""What README's first screen takes from the reference results: the claim, the figure on a dark ground, one forgotten person, one method.

    python -m tools.front [RESULTS]

`make reference` calls :func:`keep` with the results folder, which keeps the answers about one person, and :func:`write`, which writes the
rest from docs/reference and the code. Without RESULTS only the second is done.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.core.files import atomic_write, write_text
from unsee.results.page.people import one_person
from unsee.results.statistics.differences import LEVEL
from unsee.results.styles import in_words, label_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
README = ROOT / "README.md"
METHODS = ROOT / "src" / "unsee" / "unlearning" / "methods"
#: The figure of README: the methods of its table, or of a run that has no others, all methods.
FIGURES = ("equal_utility_of_paper", "equal_utility")
#: The ratio of README's claim and of the forgotten person.
PERCENT = 10
ALT = "Forgetting against the share of vanilla's utility that is left: a line for each method, a panel for each forget ratio"
PERSON = """\
## One forgotten person

What a model says before unlearning, after the method that forgets most at equal utility, and when it never met the person.
✓ marks a right answer.

"""
#: The background of GitHub's dark pages.
DARK = "#0d1117"
#: At most so many methods are named one by one.
NAMED = 5
#: The questions that are shown of the person: modality and task.
SHOWN = (("image", "generation"), ("text", "cloze"))
START, END = "<!-- {name}, written by tools/front.py from here -->\n", "<!-- to here -->\n"


def claim(ranking: pd.DataFrame, people: int, seeds: int) -> str:
    """Who forgets most at equal utility at one ratio, who cannot be told apart, and at what price; then the best at the other ratios.

    Args:
        ranking: ranking.csv, the best method of each ratio first.
        people: how many people vanilla was trained on.
        seeds: how many training seeds the results rest on.
    """
    rows = [row for row in ranking.to_dict("records") if row["forget_percent"] == PERCENT]
    compared = [row for row in rows if not row["stopped_early"]]
    early = len(rows) - len(compared)
    if not compared:
        return (
            f"With {PERCENT} % of {people} people forgotten no method reaches the point where methods are compared.\n"
        )
    best, others = compared[0], compared[1:]
    kept = f"{100 * best['utility_kept']:.0f} %"
    unclear = [label_of(row["method"]) for row in others if not row["p_against_best"] < LEVEL]
    worse = [label_of(row["method"]) for row in others if row["p_against_best"] < LEVEL]
    over = f", over {seeds} training seeds" if seeds > 1 else ""
    text = (
        f"**With {kept} of vanilla's utility left, {label_of(best['method'])} forgets most: {best['forgetting']:.2f} "
        f"({best['forgetting_low']:.2f} to {best['forgetting_high']:.2f}) of the way from vanilla to a model that never met the people** "
        f"({PERCENT} % of {people} people{over}).\n"
    )
    if unclear:
        text += f"{_names(unclear)} cannot be told apart from it. "
    if worse:
        text += f"It is better than {_names(worse)} (p < {LEVEL:g}, paired, corrected over methods). "
    text = text.rstrip() + "\n"
    text += (
        f"The price: {100 - 100 * best['utility_kept']:.0f} % of what vanilla knows about everyone else, "
        f"and {label_of(best['method'])} reads {_and(best['sees'])}.\n"
    )
    if early:
        text += f"{early} of {len(rows)} methods stop before that point and are not compared.\n"
    return text + _at_other_ratios(ranking)


def _at_other_ratios(ranking: pd.DataFrame) -> str:
    compared = ranking[(ranking["forget_percent"] != PERCENT) & ~ranking["stopped_early"]]
    firsts = compared.drop_duplicates("forget_percent").to_dict("records")
    parts = [f"{label_of(row['method'])} at {row['forget_percent']} % ({row['forgetting']:.2f})" for row in firsts]
    return f"At the other ratios the first is {in_words(parts)}.\n" if parts else ""


def _names(labels: list[str]) -> str:
    return in_words(labels) if len(labels) <= NAMED else f"{len(labels)} methods"


def _and(sees: str) -> str:
    """What a method sees, in words."""
    words = {"forget": "the forgotten people's pairs", "retain-only": "the retain-only model"}
    return in_words([words.get(part, part) for part in sees.split(", ")])


def dark(svg: str) -> str:
    """A figure for a dark page: white grounds are left out, greys are mirrored, colours are lightened until they can be seen.

    Args:
        svg: a figure as matplotlib writes it, on white.
    """
    svg = re.sub(r"fill: #ffffff(?=[;\"])", "fill: none", svg)
    svg = re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda match: _on_dark(match.group()), svg)
    # Texts have no colour of their own.
    return svg.replace('<g id="figure_1">', f'<g id="figure_1" fill="{_on_dark("#000000")}">')


def _on_dark(colour: str) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    if len(set(parts)) == 1:
        return "#" + f"{230 - parts[0] * 180 // 255:02x}" * 3
    while contrast(_hex(parts), DARK) < 4.5:
        parts = [min(255, part + (255 - part) // 10 + 1) for part in parts]
    return _hex(parts)


def _hex(parts: list[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in parts)


def contrast(a: str, b: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.1, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""
    bright = sorted((_luminance(a), _luminance(b)))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def _luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def figure() -> str:
    """The name of README's figure in docs/reference/figures."""
    return next(name for name in FIGURES if (FOLDER / "figures" / f"{name}.svg").is_file())


def picture() -> str:
    """README's figure, for light and for dark pages."""
    file = f"docs/reference/figures/{figure()}"
    return f"""\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="{file}_dark.svg">
  <img src="{file}.svg" width="100%" alt="{ALT}">
</picture>
"""


def strip(person: Mapping[str, Any]) -> str:
    """One forgotten person and what the models say: a heading and a table in Markdown.

    Args:
        person: docs/reference/person.json.
    """
    heads = [person["labels"][method] for method in person["methods"]]
    picture = f'<img src="docs/reference/{person["picture"]}" width="96" alt="a face that nobody has">'
    lines = [PERSON, _line([picture, *heads, "true answer"]), _line(["---"] * (len(heads) + 2))]
    for question in person["questions"]:
        answers = [
            f"{_cell(answer['text']) or '(nothing)'}{' ✓' if answer['right'] else ''}" for answer in question["answers"]
        ]
        lines.append(_line([_cell(question["question"]), *answers, _cell(question["reference"])]))
    return "".join(lines)


def _cell(text: str) -> str:
    """Text that stays text in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def shortest_method() -> str:
    """The file of the method with the fewest lines, as a block of code under its name."""
    files = [path for path in METHODS.glob("*.py") if path.stem != "__init__"]
    path = min(files, key=lambda file: (len(file.read_text(encoding="utf-8").splitlines()), file.name))
    name = path.relative_to(ROOT).as_posix()
    return f"[`{name}`]({name}):\n\n```python\n{path.read_text(encoding='utf-8')}```\n"


def person_of(results: Path, ranking: pd.DataFrame) -> tuple[dict[str, Any], bytes]:
    """What is kept of one forgotten person: the first one by id, with a question with the picture and one in words.

    Args:
        results: a results folder with the answers of vanilla, of the best method and of the retain-only model.
        ranking: ranking.csv; the best method of its rows at :data:`PERCENT` is shown.

    Returns:
        What docs/reference/person.json holds, and the person's picture as it is stored.
    """
    rows = ranking[ranking["forget_percent"] == PERCENT]
    model, method = str(rows["model"].iloc[0]), str(rows["method"].iloc[0])
    tables = {
        name: pd.read_parquet(results / "benchmark" / f"{name}.parquet") for name in ("people", "images", "questions")
    }
    tables["splits"] = pd.read_parquet(results / "benchmark" / "splits" / f"forget{PERCENT}.parquet")
    runs = {(0, "vanilla"): "vanilla", (PERCENT, method): method, (PERCENT, "retain"): "retain"}
    folders = {(at, name, 0): results / "models" / model / f"forget{at}" / name / "seed0" for at, name in runs}
    predictions = {run: _all_tasks(folder / "predictions") for run, folder in folders.items()}
    scores = {run: _all_tasks(folder / "scores") for run, folder in folders.items()}
    person = one_person(tables, predictions, scores, rows)
    if person is None:
        raise ValueError(
            f"{results}: nobody is forgotten at {PERCENT} %; expected a results folder of the default benchmark"
        )
    kind, picture = person["picture"].removeprefix("data:image/").split(";base64,")
    shown = [
        next(row for row in person["questions"] if row["modality"] == modality and row["task"] == task)
        for modality, task in SHOWN
    ]
    return {
        "picture": f"figures/person.{kind.replace('jpeg', 'jpg')}",
        "percent": PERCENT,
        "methods": person["methods"],
        "labels": {name: label_of(name) for name in person["methods"]},
        "questions": [
            {
                "question": row["question"],
                "reference": row["reference"],
                "answers": [{"text": text, "right": bool(value == 1)} for text, value in row["answers"]],
            }
            for row in shown
        ],
    }, base64.b64decode(picture)


def _all_tasks(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def keep(results: Path) -> None:
    """Keep the answers about one forgotten person in docs/reference.

    Args:
        results: the folder of the results whose ranking.csv is in docs/reference.
    """
    person, picture = person_of(results, pd.read_csv(FOLDER / "ranking.csv"))
    write_text(FOLDER / "person.json", json.dumps(person, indent=1, ensure_ascii=False) + "\n")
    with atomic_write(FOLDER / person["picture"]) as part:
        part.write_bytes(picture)


def blocks() -> dict[str, str]:
    """The parts of README between the marks, by name, from docs/reference and the code."""
    manifest = json.loads((FOLDER / "table3.manifest.json").read_text(encoding="utf-8"))["configuration"]
    people, seeds = manifest["benchmark"]["people"], len(manifest["seeds"])
    person = FOLDER / "person.json"
    return {
        "figure": picture(),
        "claim": claim(pd.read_csv(FOLDER / "ranking.csv"), people, seeds),
        "person": strip(json.loads(person.read_text(encoding="utf-8"))) if person.is_file() else "",
        "method": shortest_method(),
    }


def replaced(page: str, name: str, block: str) -> str:
    """A page with the part of a name replaced.

    Raises:
        ValueError: the page has no such part.
    """
    before, start, rest = page.partition(START.format(name=name))
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(
            f"README.md lacks {START.format(name=name).strip()!r} and {END.strip()!r} behind it; expected both once"
        )
    return f"{before}{start}\n{block}\n{end}{after}"


def write() -> None:
    """Write README's parts, and its figure for dark pages, from docs/reference and the code."""
    page = README.read_text(encoding="utf-8")
    for name, block in blocks().items():
        page = replaced(page, name, block)
    write_text(README, page)
    light = (FOLDER / "figures" / f"{figure()}.svg").read_text(encoding="utf-8")
    write_text(FOLDER / "figures" / f"{figure()}_dark.svg", dark(light))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="the folder of the reference results")
    results = parser.parse_args().results
    if results:
        keep(results)
    write()


if __name__ == "__main__":
    main()
