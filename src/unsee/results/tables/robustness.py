"""The robustness table (robustness.csv, .md): who recovers, from which attack, and who does not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from unsee.results.statistics import alike
from unsee.results.statistics.robustness import COMBINED, CONTROLS
from unsee.results.styles import attack_label, in_words, label_of

NOTE = (
    """\
Does it stay forgotten? Every model was attacked in the same way and asked the questions about the forgotten people that the attack
concerns. `vanilla` and `retain` are the controls: the retain-only model never met the people, so what it gains was not hidden in it.
`before` and `after` are the scores without and under the attack, `gain` is the second minus the first.
`excess` is the gain minus the retain-only model's gain from the same attack, paired question by question; 0 means that nothing was
hidden. Vanilla, which has little left to gain, may be below 0. Intervals are 95 %, clustered by person (and by seed where there are
several).
`p_holm` is the p-value of no excess, Holm-corrected over the methods and variants of an attack (at their last step; each earlier step
for itself). It is not corrected over attacks.
`detectable` is the smallest true excess that such a comparison would show 80 times in 100, before that correction.
`ahead_before` and `ahead_after` are the model's score minus the retain-only model's, both without and both under the attack; `excess` is
the second minus the first.
`recovery` is the excess as a share of what the method had taken away from vanilla. It is missing where vanilla is not clear of the
retain-only model, or the method not clear of vanilla: there it would be a ratio of noise.
`verdict` is `recovers` where the corrected excess is clear of 0 and the attacked model is clear of the attacked retain-only model;
`returns` where only the excess is: the method had been pushed down, and comes back to no more than a model that never met the people;
`falls` where the excess is clear of 0 below it; `unclear` otherwise; `control` for vanilla and the retain-only model. Two verdicts say
that there is nothing to judge: `nothing to forget` where vanilla is not clear of the retain-only model even without an attack, and
`destroyed` where the method keeps less than the configured share of vanilla's utility (`utility_kept`; robustness.utility in
config.yaml): such a model gains from any training. `diverged` is a model whose numbers under the attack are not finite, which the
attack tells nothing of; where the retain-only model is one, there is no excess (`control diverged`). Neither counts among a method's
attacks.
The rows `combined` (0 to 1) are the mean over tasks (classification, ROUGE-L and cloze count alike) of the mean over a task's scores in
`forget` and `test`, with image and with text, as far as the attack asks them. `last` marks the last step of a variant.
"""
    + alike.MEANING
)
#: Verdicts of models that an attack says nothing about.
LOST = ("diverged", "control diverged")


def combined(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the combined score at the last step of each variant.

    Args:
        table: the table of :func:`unsee.results.statistics.robustness.robustness`.
    """
    rows = of_combined(table)
    return rows[rows["last"].astype(bool)]


def of_combined(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the combined score; a variant that was read from an empty cell of a file is an empty text."""
    rows = table[table["metric"] == COMBINED[-1]]
    return rows.assign(variant=rows["variant"].astype(object).where(rows["variant"].notna(), ""))


def sentences(table: pd.DataFrame) -> list[str]:
    """The result of each ratio in three sentences: who recovers, from what, and who does not.

    Args:
        table: the table of :func:`unsee.results.statistics.robustness.robustness`.
    """
    rows = combined(table)
    return [line for percent, part in rows.groupby("forget_percent", sort=True) for line in _of_ratio(percent, part)]


def to_markdown(table: pd.DataFrame) -> str:
    """Sentences, the models, the excess of each method under each attack, and :data:`NOTE`.

    Args:
        table: the table of :func:`unsee.results.statistics.robustness.robustness`.
    """
    rows = combined(table)
    parts = ["".join(f"- {line}\n" for line in sentences(table))]
    for percent, part in rows.groupby("forget_percent", sort=True):
        models = pd.DataFrame(list(_models(part)))
        parts += [
            f"Models at {percent} % forgotten; scores are combined, 0 to 1:\n",
            f"{models.to_markdown(index=False, disable_numparse=True)}\n",
            f"Excess at {percent} % forgotten; bold where the method recovers:\n",
            f"{_matrix(part).to_markdown(index=False, disable_numparse=True)}\n",
        ]
    return "\n".join([*parts, NOTE])


def heading_of(part: pd.DataFrame, method: str) -> str:
    """A method's label, with ``(destroyed)`` where it is.

    Args:
        part: rows of one ratio.
        method: the method.
    """
    destroyed = bool(part.loc[part["method"] == method, "destroyed"].any())
    return f"{label_of(method)} (destroyed)" if destroyed else label_of(method)


def _of_ratio(percent: object, part: pd.DataFrame) -> Iterator[str]:
    nothing, lost = part["verdict"] == "nothing to forget", part["verdict"].isin(LOST)
    judged = part[~part["method"].isin(CONTROLS) & ~part["destroyed"].astype(bool) & ~nothing & ~lost]
    place = f"At {percent} % forgotten"
    yield from _who_diverged(place, part)
    if nothing.any() and (part["verdict"].isin(["nothing to forget", "control", *LOST])).all():
        yield f"{place} vanilla is not shown to know more than the retain-only model, so no method can be judged."
        return
    if judged.empty:
        yield f"{place} there is no method to judge."
    else:
        yield _who(place, judged)
        yield _from_what(place, judged, part[nothing])
    yield from filter(None, [_who_not(place, part, judged)])


def _who_diverged(place: str, part: pd.DataFrame) -> Iterator[str]:
    """The models that an attack says nothing about."""
    for method, rows in _by_method(part[part["verdict"] == "diverged"]):
        names = in_words([attack_label(row["attack"], row["variant"]) for row in rows.to_dict("records")])
        so = ", so that no method is judged there" if method == "retain" else ""
        yield f"{place} {label_of(method)} diverged under {names}{so}."


def _who(place: str, judged: pd.DataFrame) -> str:
    """The methods that recover, the most from the attack that brings back most."""
    number = len(judged[["attack", "variant"]].drop_duplicates())
    recovering = []
    for method, rows in _by_method(judged[judged["verdict"] == "recovers"]):
        most = max(rows.to_dict("records"), key=lambda row: row["excess"])
        text = (
            f"{label_of(method)} recovers from {len(rows)} of {number} attacks, most from "
            f"{attack_label(most['attack'], most['variant'])}: {_with_interval(most)}"
        )
        recovering.append((-most["excess"], text))
    if not recovering:
        return f"{place} no method is shown to recover: no attack brings back clearly more than the retain-only model gains."
    return f"{place}, beyond what the retain-only model gains, {'; '.join(text for _, text in sorted(recovering))}."


def _from_what(place: str, judged: pd.DataFrame, nothing: pd.DataFrame) -> str:
    """The attacks that bring something back, those that work on most methods first, the others, and those that tell nothing."""
    working, others = [], []
    for attack, rows in judged.groupby("attack", sort=False):
        recovering = [name for name, of_method in _by_method(rows) if (of_method["verdict"] == "recovers").any()]
        name = attack_label(str(attack))
        if recovering:
            working.append((-len(recovering), f"{name} ({in_words([label_of(method) for method in recovering])})"))
        else:
            others.append(name)
    working.sort(key=lambda one: one[0])
    parts = []
    if working:
        parts.append(f"something comes back under {in_words([text for _, text in working])}")
    if others:
        parts.append(f"nothing clear comes back under {in_words(others)}")
    if silent := [attack_label(str(name)) for name in nothing["attack"].unique()]:
        parts.append(f"vanilla knows no more of what is asked under {in_words(silent)} than the retain-only model")
    return f"{place}, {'; '.join(parts)}."


def _who_not(place: str, part: pd.DataFrame, judged: pd.DataFrame) -> str:
    """The methods that do not recover, why that may be, and those that are not judged."""
    parts = []
    still = [method for method, rows in _by_method(judged) if not (rows["verdict"] == "recovers").any()]
    if still:
        rows = judged[judged["method"].isin(still)]
        # A comparison of the questions that most attacks ask.
        power = rows["detectable"].median()
        shown = "" if pd.isna(power) else f" ({rows['n_people'].max()} people show an excess from about {power:.2f})"
        parts.append(f"no recovery is shown for {in_words([label_of(name) for name in still])}{shown}")
    remembering = [name for name in still if _knows_before(judged[judged["method"] == name])]
    if remembering:
        parts.append(
            f"without any attack {in_words([label_of(name) for name in remembering])} still knew more than the retain-only model"
        )
    for method, rows in _by_method(judged):
        back = rows[rows["verdict"] == "returns"]
        if len(back):
            names = [attack_label(row["attack"], row["variant"]) for row in back.to_dict("records")]
            parts.append(f"{label_of(method)} only returns to the retain-only model's score under {in_words(names)}")
    for method, rows in _by_method(part[part["destroyed"].astype(bool)]):
        kept = 100 * rows["utility_kept"].iloc[0]
        parts.append(f"{label_of(method)} is destroyed ({kept:.0f} % of vanilla's utility) and not judged")
    return f"{place}, {'; '.join(parts)}." if parts else ""


def _by_method(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    return ((str(method), part) for method, part in rows.groupby("method", sort=False))


def _knows_before(rows: pd.DataFrame) -> bool:
    """Whether a method is clear of the retain-only model without an attack, in the attack that asks the most questions."""
    return bool(max(rows.to_dict("records"), key=lambda row: row["n_questions"])["ahead_before_low"] > 0)


def _models(part: pd.DataFrame) -> Iterator[dict[str, str]]:
    """A row for each model of a ratio, by the attack that asks the most questions."""
    for method, rows in _by_method(part):
        row = max(rows.to_dict("records"), key=lambda row: (row["verdict"] not in LOST, row["n_questions"]))
        verdicts = rows["verdict"]
        judged = (~verdicts.isin(["nothing to forget", *LOST])).sum()
        yield {
            "method": method,
            "sees": "–" if pd.isna(row["sees"]) else row["sees"],
            "utility kept": "–" if pd.isna(row["utility_kept"]) else f"{100 * row['utility_kept']:.0f} %",
            "score before": f"{row['before']:.2f}",
            "ahead of retain-only before": _with_interval(row, "ahead_before"),
            "recovers": f"{(verdicts == 'recovers').sum()} of {judged}" if method not in CONTROLS else "control",
            "": "destroyed" if row["destroyed"] else "",
        }


def _matrix(part: pd.DataFrame) -> pd.DataFrame:
    """The excess with its interval: a row for each attack, a column for each method."""
    methods = [name for name in part["method"].unique() if name != "retain"]
    rows = []
    for (attack, variant), here in part.groupby(["attack", "variant"], sort=False):
        by_method = {row["method"]: row for row in here.to_dict("records")}
        cells = {heading_of(part, name): _cell(by_method[name]) for name in methods}
        rows.append({"attack": attack_label(str(attack), str(variant)), **cells})
    return pd.DataFrame(rows)


def _cell(row: Mapping[Hashable, Any]) -> str:
    if row["verdict"] in LOST:
        return str(row["verdict"])
    text = _with_interval(row)
    if row["verdict"] == "recovers":
        return f"**{text}**"
    return f"{text} {row['verdict']}" if row["verdict"] in ("returns", "falls", "nothing to forget") else text


def _with_interval(row: Mapping[Hashable, Any], name: str = "excess") -> str:
    """``0.14 (0.09 to 0.19)``; a dash where there is no value."""
    value, low, high = (row[column] for column in (name, f"{name}_low", f"{name}_high"))
    if pd.isna(value):
        return "–"
    return (
        two_decimals(value) if pd.isna(low) else f"{two_decimals(value)} ({two_decimals(low)} to {two_decimals(high)})"
    )


def two_decimals(value: float) -> str:
    """A number with two decimals; 0.00 has no sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def attack_states(part: pd.DataFrame) -> Sequence[tuple[str, str]]:
    """The attacks and variants of a table, in its order."""
    return list(part[["attack", "variant"]].drop_duplicates().itertuples(index=False, name=None))
