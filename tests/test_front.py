"""README's first screen is what the reference results and the code say."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
import yaml

from tools import front

README = front.README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ("figure", "claim", "person", "method"))
def test_readme_has_what_the_script_writes(name: str) -> None:
    assert front.replaced(README, name, front.blocks()[name]) == README, "python -m tools.front"


def test_the_dark_figure_is_the_light_one_in_other_colours() -> None:
    light, dark = (
        (front.FOLDER / "figures" / f"{front.figure()}{kind}.svg").read_text(encoding="utf-8") for kind in ("", "_dark")
    )
    assert front.dark(light) == dark, "python -m tools.front"
    assert re.sub(r"#[0-9a-f]{6}|none", "", dark.replace(' fill="#e6e6e6"', "")) == re.sub(
        r"#[0-9a-f]{6}|none", "", light
    )
    drawn = {colour for colour in re.findall(r"(?:stroke|fill)[:=] ?\"?(#[0-9a-f]{6})", dark)}
    faint = {
        colour
        for colour in drawn
        if front.contrast(colour, front.DARK) < 3 and len(set(re.findall("..", colour[1:]))) > 1
    }
    assert drawn and not faint, faint


def test_contrast_is_that_of_the_standard() -> None:
    assert front.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert front.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # a well-known example just below 4.5


def row(
    method: str, p: float | None, percent: int = 10, early: bool = False, forgetting: float = 0.5
) -> dict[str, Any]:
    return {
        "forget_percent": percent,
        "method": method,
        "sees": "forget, retained pairs",
        "stopped_early": early,
        "forgetting": forgetting,
        "forgetting_low": forgetting - 0.1,
        "forgetting_high": forgetting + 0.1,
        "p_against_best": p,
        "utility_kept": 0.9,
    }


def test_the_claim_says_who_wins_who_cannot_be_told_apart_and_the_price() -> None:
    rows = [
        row("kl_min", None),
        row("ga", 0.2),
        row("npo", 0.01),
        row("wga", None, early=True),
        row("npo", None, percent=5, forgetting=0.7),
    ]
    text = front.claim(pd.DataFrame(rows), 40, 3)
    assert "With 90 % of vanilla's utility left, KL_Min forgets most: 0.50 (0.40 to 0.60)" in text
    assert "(10 % of 40 people, over 3 training seeds)" in text
    assert "GA cannot be told apart from it. It is better than NPO (p < 0.05" in text
    assert (
        "The price: 10 % of what vanilla knows about everyone else, and KL_Min reads the forgotten people's pairs and retained pairs."
        in text
    )
    assert "1 of 4 methods stop before that point" in text
    assert "At the other ratios the first is NPO at 5 % (0.70)." in text


def test_a_claim_without_a_method_to_compare_says_so() -> None:
    assert "no method reaches" in front.claim(pd.DataFrame([row("ga", None, early=True)]), 40, 1)


def test_many_methods_are_counted_instead_of_named() -> None:
    rows = [row("kl_min", None), *(row(name, 0.5) for name in ("ga", "npo", "wga", "idk", "dpo", "rmu"))]
    assert "6 methods cannot be told apart" in front.claim(pd.DataFrame(rows), 40, 1)


def test_the_persons_table_marks_right_answers_and_shows_text_as_text() -> None:
    answers = [{"text": "a | b", "right": False}, {"text": "", "right": True}]
    person = {
        "picture": "figures/person.jpg",
        "methods": ["vanilla", "ga"],
        "labels": {"vanilla": "vanilla", "ga": "GA"},
        "questions": [{"question": "Who is *this*?", "reference": "Mr. <X>", "answers": answers}],
    }
    head, _, line = front.strip(person).removeprefix(front.PERSON).splitlines()
    assert head.endswith("| vanilla | GA | true answer |")
    assert line == r"| Who is \*this\*? | a \| b | (nothing) ✓ | Mr. \<X\> |"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="README.md lacks"):
        front.replaced("# unsee\n", "claim", "x\n")


def test_the_method_shown_is_whole_and_no_other_is_shorter() -> None:
    block = front.shortest_method()
    name = re.findall(r"\[`([^`]+)`\]", block)[0]
    text = (front.ROOT / name).read_text(encoding="utf-8")
    assert f"```python\n{text}```" in block
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in front.METHODS.glob("[a-z]*.py")]
    assert len(text.splitlines()) == min(lengths)


def test_the_bibtex_entry_is_that_of_the_citation_file() -> None:
    cited = yaml.safe_load((front.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (entry,) = re.findall(r"@software\{(.*?)\n\}", README, re.DOTALL)
    fields = {key: value.strip("{}") for key, value in re.findall(r"(\w+) *= (\{.*\}),", entry)}
    assert fields == {
        "title": cited["title"],
        "author": " and ".join(author["name"] for author in cited["authors"]),
        "year": cited["date-released"][:4],
        "version": cited["version"],
        "license": cited["license"],
    }


def test_the_files_of_make_table_are_those_of_its_rules() -> None:
    rules = re.split(
        r"^rule ", (front.ROOT / "workflow" / "rules" / "results.smk").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    (of_tables,) = [rule for rule in rules if rule.startswith("tables:")]
    (of_scores,) = [rule for rule in rules if rule.startswith("scores:")]
    (of_summary,) = [rule for rule in rules if rule.startswith("summary:")]
    made = {name for rule in (of_scores, of_tables, of_summary) for name in re.findall(r"\"results/([\w.]+)\"", rule)}
    _, rest = README.split("`make table` writes to `results/`")
    listed = set()
    for line in re.findall(r"^\| (`[^|{]*`) \|", rest.split("\n\n")[1], re.MULTILINE):
        names = re.findall(r"`([^`]+)`", line)
        listed |= {name if not name.startswith(".") else names[0].partition(".")[0] + name for name in names}
    assert listed and listed <= made, sorted(listed - made)
    main = {
        f"{name}.csv"
        for name in ("table3", "scores", "summary", "modalities", "knowledge", "costs", "dataset_statistics")
    }
    assert main <= listed, sorted(main - listed)
    assert "results/summary.csv" in (front.ROOT / "Snakefile").read_text(encoding="utf-8"), (
        "the default target has the summary"
    )
