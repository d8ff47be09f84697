"""The membership table (membership.csv): can the forgotten people's training pairs still be told from strangers'?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unsee.core.files import write_text
from unsee.membership.scores import SCORES
from unsee.results.columns import BASELINES, REFERENCE_LABELS, REFERENCES, RunKey, in_order
from unsee.results.statistics import alike
from unsee.results.statistics.differences import LEVEL, holm
from unsee.results.statistics.membership import FALSE_POSITIVES, Pairs, auc, interval, tpr, tpr_interval
from unsee.results.tables import membership_latex
from unsee.results.tables.files import to_markdown, write_csv
from unsee.results.tables.knowledge import as_list
from unsee.results.tables.latex import under_comment
from unsee.results.tables.remarks import as_note

COLUMNS = [
    *(
        "model",
        "forget_percent",
        "method",
        "sees",
        "modality",
        "score",
        "auc",
        "auc_low",
        "auc_high",
        "tpr",
        "tpr_low",
        "tpr_high",
    ),
    *(f"minus_{name}{end}" for name in BASELINES for end in ("", "_low", "_high", "_p_holm", "_verdict")),
    *("mean_forgotten", "mean_strangers", "n_people", "n_strangers", "n_pairs", "n_stranger_pairs", "n_seeds"),
]
#: The selections of pairs that are compared: all, those with a picture, those without.
MODALITIES = ("both", "image", "text")
NOTE = f"""\
Can the training pairs of the forgotten people (members) be told from those of strangers (non-members), whom no model met? Those of the
synthetic benchmark come from the same generator, with other portraits; those of a published one are people who were held out of all
training. Each pair has one value of each score, from the log-probabilities of its answer's tokens.
`auc` is the probability that a forgotten person's pair scores higher than a stranger's: 0.5 when the two cannot be told apart, 1 when
they always can. Below 0.5 they can be told apart as well: the model finds the forgotten answers less likely than those about people
whom it never met.
`tpr` is the share of the forgotten people's pairs above a threshold that at most {100 * FALSE_POSITIVES:g} % of the strangers'
pairs is above.
`minus_retain` and `minus_vanilla` are the difference of `auc` to the retain-only model's and to vanilla's, on the same pairs. Their
verdict is `higher` or `lower` where the p-value, Holm-corrected over the methods of a ratio, is below {LEVEL}, else `unclear`.
The scores are defined in docs/membership.md. Intervals are 95 %: of `auc` and its differences from the jackknife over forgotten people
and strangers, of `tpr` from a bootstrap over both. They do not include the spread between seeds. An `auc` of 0 or 1 has an interval
without width, because nobody's absence changes it.
This table is of all pairs; membership.csv has those with a picture (`image`) and without (`text`), too.
{alike.MEANING}"""


def membership(
    runs: Mapping[RunKey, pd.DataFrame],
    forgotten: Mapping[int, Sequence[str]],
    model: str,
    methods: Sequence[str] = (),
    sees: alike.Sees | None = None,
) -> pd.DataFrame:
    """Compare the scores of forgotten people's pairs with those of strangers; :data:`NOTE` defines the columns.

    Args:
        runs: the rows of each run's membership.parquet (:data:`unsee.membership.score_pairs.PAIRS`). Those at ratio 0 (base and
            vanilla) count at every ratio.
        forgotten: the people forgotten at each ratio.
        model: the name of the base model.
        methods: the entries of the configuration, in order.
        sees: what each of them sees.

    Returns:
        One row for each ratio, method, selection of :data:`MODALITIES` and score, with :data:`COLUMNS`. The seeds of a method are
        averaged.

    Raises:
        ValueError: two runs did not score the same pairs.
    """
    rows = []
    for percent, people in forgotten.items():
        here = {key: table for key, table in runs.items() if key[0] in (0, percent)}
        tables = {key: table[table["stranger"] | table["person_id"].isin(people)] for key, table in here.items()}
        _check_same_pairs(tables, percent)
        order = in_order([method for _, method, _ in tables], methods)
        seen = alike.at_ratio(sees or {}, order, percent)
        for modality in MODALITIES:
            selected = {
                key: table if modality == "both" else table[table["modality"] == modality]
                for key, table in tables.items()
            }
            for score in SCORES:
                rows += [
                    {"model": model, "forget_percent": percent, "modality": modality, "score": score}
                    | row
                    | {"sees": seen[str(row["method"])]}
                    for row in _compare(selected, score, order)
                ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    places = {name: i for i, name in enumerate(in_order(table["method"].unique().tolist(), methods))}
    return table.sort_values(
        ["forget_percent", "method"],
        key=lambda column: column.map(places) if column.name == "method" else column,
        kind="stable",
        ignore_index=True,
    )


def write(
    folder: Path,
    *,
    runs: Mapping[RunKey, pd.DataFrame],
    forgotten: Mapping[int, Sequence[str]],
    model: str,
    methods: Sequence[str],
    sees: alike.Sees | None = None,
    people_note: str = "",
) -> None:
    """Write membership.csv, membership.md and membership.tex.

    Args:
        folder: where they are written.
        runs, forgotten, model, methods, sees: as for :func:`membership`.
        people_note: what the tables say about the people: what the ratio of a named request means, who is held out.
    """
    table = membership(runs, forgotten, model, methods, sees)
    write_csv(table, folder / "membership.csv")
    note = as_note([people_note]) + NOTE
    page = to_markdown(shown(table), note, ".2f") + as_list(sentences(table))
    write_text(folder / "membership.md", page)
    write_text(folder / "membership.tex", under_comment(membership_latex.to_latex(table), people_note))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all pairs, without counts and p-values, to be read.

    Args:
        table: the table of :func:`membership`.
    """
    hidden = ["modality", *(name for name in COLUMNS if name.endswith("_p_holm") or name.startswith("n_"))]
    return table[table["modality"] == "both"].drop(columns=hidden)


def sentences(table: pd.DataFrame) -> list[str]:
    """The result in sentences, ratio by ratio: what the data can show, the reference models, then the methods.

    Args:
        table: the table of :func:`membership`.
    """
    lines = []
    for percent, part in table[table["modality"] == "both"].groupby("forget_percent", sort=False):
        first = part.iloc[0]
        lines.append(
            f"At {percent} %: {first['n_pairs']} pairs of {first['n_people']} forgotten people, {first['n_stranger_pairs']} of "
            f"{first['n_strangers']} strangers. {_resolution(first['n_stranger_pairs'], first['n_strangers'])}"
        )
        for name in REFERENCES:
            of_model = part[part["method"] == name]
            if len(of_model):
                lines.append(f"{REFERENCE_LABELS[name]} at {percent} %: {_against_chance(of_model)}")
        lines += list(_methods(part[~part["method"].isin(REFERENCES)], f"at {percent} %"))
    return lines


def _check_same_pairs(tables: Mapping[RunKey, pd.DataFrame], percent: int) -> None:
    ids = {key: set(table["pair_id"]) for key, table in tables.items()}
    first, *others = ids
    for key in others:
        if different := sorted(ids[key] ^ ids[first]):
            raise ValueError(
                f"membership.parquet at {percent} %: {key} and {first} differ in {len(different)} pairs, the first "
                f"{different[0]!r}; expected the same pairs, delete both files and give the same command again"
            )


def _compare(tables: Mapping[RunKey, pd.DataFrame], score: str, order: Sequence[str]) -> Iterator[dict[str, object]]:
    """The rows of one ratio, selection and score: one for each method."""
    pairs = {key: _pairs(table, score) for key, table in tables.items()}
    by_method = {name: [pair for (_, method, _), pair in pairs.items() if method == name] for name in order}
    aucs = {name: np.mean([auc(pair) for pair in of_seeds], axis=0) for name, of_seeds in by_method.items()}
    strata = next(iter(pairs.values())).strata
    compared = {against: _differences(aucs, against, strata) for against in BASELINES}
    for name, of_seeds in by_method.items():
        of_auc, first = interval(aucs[name], strata), of_seeds[0]
        ends = np.mean([tpr_interval(pair) for pair in of_seeds], axis=0)
        row: dict[str, object] = {"method": name, "auc": of_auc.mean, "auc_low": of_auc.low, "auc_high": of_auc.high}
        row |= {"tpr": float(np.mean([tpr(pair) for pair in of_seeds])), "tpr_low": ends[0], "tpr_high": ends[1]}
        for against in BASELINES:
            row |= {f"minus_{against}{end}": value for end, value in compared[against].get(name, {}).items()}
        yield row | {
            "mean_forgotten": float(np.mean([pair.members.mean() for pair in of_seeds])),
            "mean_strangers": float(np.mean([pair.strangers.mean() for pair in of_seeds])),
            "n_people": int(first.people.max()) + 1,
            "n_strangers": int(first.unmet.max()) + 1,
            "n_pairs": len(first.members),
            "n_stranger_pairs": len(first.strangers),
            "n_seeds": len(of_seeds),
        }


def _pairs(table: pd.DataFrame, score: str) -> Pairs:
    table = table.sort_values("pair_id", kind="stable")
    members, strangers = table[~table["stranger"]], table[table["stranger"]]
    return Pairs(
        members[score].to_numpy(dtype=float),
        strangers[score].to_numpy(dtype=float),
        pd.factorize(members["person_id"], sort=True)[0],
        pd.factorize(strangers["person_id"], sort=True)[0],
    )


def _differences(aucs: Mapping[str, np.ndarray], against: str, strata: np.ndarray) -> dict[str, dict[str, object]]:
    """Each method's AUC minus a baseline's, on the same pairs; p-values are corrected over the unlearning methods."""
    if against not in aucs:
        return {}
    others = [name for name in aucs if name != against]
    intervals = {name: interval(aucs[name] - aucs[against], strata) for name in others}
    p = {name: intervals[name].p_value for name in others}
    unlearned = [name for name in others if name not in REFERENCES]
    p |= dict(zip(unlearned, holm(np.array([p[name] for name in unlearned])).tolist(), strict=True))
    return {
        name: {
            "": difference.mean,
            "_low": difference.low,
            "_high": difference.high,
            "_p_holm": p[name],
            "_verdict": ("higher" if difference.mean > 0 else "lower") if p[name] < LEVEL else "unclear",
        }
        for name, difference in intervals.items()
    }


def _resolution(pairs: int, people: int) -> str:
    """What the false positive rate of the table means in pairs, and how many people it takes."""
    allowed, needed = int(FALSE_POSITIVES * pairs + 1e-9), int(np.ceil(people / pairs / FALSE_POSITIVES))
    share = f"{100 * FALSE_POSITIVES:g} % of these"
    if not allowed:
        return f"{share} is less than one pair, so there is no `tpr`; it takes {needed} strangers."
    return f"{share} is {allowed} pair{'s' * (allowed > 1)}, so `tpr` hangs on few pairs; read it with its interval."


def _against_chance(rows: pd.DataFrame) -> str:
    """In how many scores the interval of the AUC is above, below or around 0.5."""
    above, below = rows["auc_low"] > 0.5, rows["auc_high"] < 0.5
    parts = [f"{', '.join(_value(row) for row in rows.to_dict('records'))}."]
    parts.append(
        f"Forgotten people's pairs look more like training pairs than strangers' in {above.sum()} of {len(rows)} scores, less in "
        f"{below.sum()}; in {len(rows) - above.sum() - below.sum()} they cannot be told apart."
    )
    return " ".join(parts)


def _value(row: Mapping[Any, Any]) -> str:
    return f"{SCORES[str(row['score'])]} {row['auc']:.2f}"


def _methods(rows: pd.DataFrame, where: str) -> Iterator[str]:
    """For each score which methods differ from the retain-only model."""
    for score, part in rows.groupby("score", sort=False):
        named = {
            verdict: [
                f"{row['method']} ({row['auc']:.2f})"
                for row in part[part["minus_retain_verdict"] == verdict].to_dict("records")
            ]
            for verdict in ("higher", "lower", "unclear")
        }
        words = [
            ("members still show, above the retain-only model: ", named["higher"]),
            ("members stand out below the retain-only model: ", named["lower"]),
            ("no difference is shown: ", named["unclear"]),
        ]
        yield (
            f"{SCORES[str(score)]} {where}: "
            + "; ".join(text + ", ".join(names) for text, names in words if names)
            + "."
        )
