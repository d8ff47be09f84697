"""The scores of attacked models, beside those of the same models and questions without an attack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.scoring import score_predictions
from unsee.results.columns import SCORE

#: The columns that name a state of the attacked models.
STATE = ("attack", "variant", "step", "last")


class AttackedRun(NamedTuple):
    """One model under one attack.

    Attributes:
        percent: the forget ratio whose forgotten people were asked about.
        method: the model: ``vanilla``, ``retain`` or an entry of ``methods``.
        seed: of its training.
        attack: the entry of ``attacks``.
    """

    percent: int
    method: str
    seed: int
    attack: str


def score_attacked(
    answers: pd.DataFrame, questions: pd.DataFrame, settings: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Score the answers of one attacked model.

    Args:
        answers: with the columns of :data:`unsee.attacks.answers.ATTACKED`.
        questions: the questions table.
        settings: as for :func:`unsee.evaluation.scoring.score_predictions`.

    Returns:
        ``variant``, ``step``, ``diverged``, ``question_id``, ``metric`` and ``value``: the mean over the versions of a question. A
        state that has diverged has a value of NaN for every metric of a question.

    Raises:
        ValueError: there are no answers, or one cannot be scored.
    """
    if answers.empty:
        raise ValueError("the attack has no answers; expected at least one, delete the file and run again")
    parts = []
    for (variant, step, diverged, _), part in answers.groupby(["variant", "step", "diverged", "version"]):
        answered = questions[questions["question_id"].isin(part["question_id"])]
        scores = _no_scores(answered, settings) if diverged else score_predictions(part, answered, settings)
        parts.append(scores.assign(variant=str(variant), step=int(str(step)), diverged=bool(diverged)))
    versions = pd.concat(parts).groupby(["variant", "step", "diverged", "question_id", "metric"], sort=True)
    return versions["value"].mean().reset_index()


def _no_scores(questions: pd.DataFrame, settings: Mapping[str, Any] | None) -> pd.DataFrame:
    """A row without a value for every question and metric."""
    names = load_protocol(settings or {}).metrics
    rows = [(row.question_id, name, np.nan) for row in questions.itertuples() for name in names[str(row.task)]]
    return pd.DataFrame(rows, columns=["question_id", "metric", "value"])


@dataclass(frozen=True)
class State:
    """The models of a ratio in one state of an attack: one row for each question, metric and seed.

    Attributes:
        keys: the columns of :data:`STATE`.
        questions: the questions that the attack concerns, with ``person``, a number.
        before, after: the values of each model without and under the attack, 0 to 1.
        diverged: the models that have diverged in this state, with one seed at least; their values under the attack are NaN.
    """

    keys: dict[str, object]
    questions: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    diverged: frozenset[str] = frozenset()


def states_of(
    attack: str, before: pd.DataFrame, attacked: Mapping[AttackedRun, pd.DataFrame], order: Sequence[str]
) -> Iterator[State]:
    """The states of an attack at one ratio, in the order of variants and steps."""
    runs = [run for run in attacked if run.attack == attack]
    parts = [attacked[run].assign(method=run.method, seed=run.seed) for run in runs]
    lost = _diverged_in(pd.concat(parts))
    keys = ["variant", "step", "question_id", "metric", "seed"]
    after = pd.concat(parts).astype({"metric": str}).pivot(index=keys, columns="method", values="value")
    after = after.reindex(columns=list(order)).reset_index()
    after = after[after["metric"].isin(before["metric"].astype(str).unique())]
    _refuse(after, lost, attack, order)
    plain = before.astype({"metric": str, "question_id": str})
    paired = plain.merge(after, on=["question_id", "metric", "seed"], how="right", suffixes=("", " after"))
    unpaired = paired[paired["person"].isna()]
    if len(unpaired):
        row = unpaired.iloc[0]
        raise ValueError(
            f"attack {attack!r}: question {row['question_id']!r} with seed {row['seed']} is not about a forgotten person in "
            "scores.parquet; expected a question of the sets forget or test, delete the attack's files and run again"
        )
    steps = after.groupby("variant")["step"].max()
    states = sorted(
        paired.groupby(["variant", "step"]), key=lambda state: (_natural_order(str(state[0][0])), state[0][1])
    )
    for (variant, step), part in states:
        # The bytes of the table do not depend on the order in which runs or questions come.
        part = part.sort_values([*SCORE, "question_id", "seed"], kind="stable", ignore_index=True)
        last = part["step"].iloc[0] == steps.loc[str(variant)]
        values = {"attack": attack, "variant": str(variant), "step": int(str(step)), "last": bool(last)}
        attacked_values = part[[f"{name} after" for name in order]].set_axis(list(order), axis=1)
        diverged = lost.get((str(variant), int(str(step))), frozenset())
        attacked_values[list(diverged)] = np.nan
        questions = part[[*SCORE, "person", "question_id", "seed"]]
        yield State(values, questions, part[list(order)], attacked_values, diverged)


def _diverged_in(scores: pd.DataFrame) -> dict[tuple[str, int], frozenset[str]]:
    """The models that have diverged in each variant and step, with one seed at least."""
    rows = scores.loc[scores["diverged"].astype(bool), ["variant", "step", "method"]].drop_duplicates()
    lost: dict[tuple[str, int], frozenset[str]] = {}
    for variant, step, method in rows.itertuples(index=False, name=None):
        lost[str(variant), int(step)] = lost.get((str(variant), int(step)), frozenset()) | {str(method)}
    return lost


def _refuse(
    after: pd.DataFrame, lost: Mapping[tuple[str, int], frozenset[str]], attack: str, order: Sequence[str]
) -> None:
    """Refuse models that lack a score that others have, but for those that have diverged."""
    absent = after[list(order)].isna()
    for state, methods in lost.items():
        absent.loc[(after["variant"] == state[0]) & (after["step"] == state[1]), list(methods)] = False
    if not absent.any(axis=None):
        return
    at = int(absent.any(axis=1).to_numpy().argmax())
    row, method = after.iloc[at], next(name for name in order if absent[name].iloc[at])
    where = f"{row['variant']!r}, step {row['step']}"
    raise ValueError(
        f"attack {attack!r} ({where}): {method}, seed {row['seed']} has no {row['metric']} of {row['question_id']!r}, which other "
        "models have; expected every model to answer the same questions, delete its file and run again"
    )


def _natural_order(text: str) -> list[tuple[float, str]]:
    """A sorting key by which ``5 %`` stands before ``25 %``, and numbers before words."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text)
    return [(float(part), "") if part[0].isdigit() else (np.inf, part) for part in parts]
