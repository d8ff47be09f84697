"""Hand-made scores of models with and without an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unsee.results.statistics.attacked import AttackedRun

CLOZE = {"set": "forget", "modality": "image", "task": "cloze", "metric": "accuracy"}
#: Of each person the values without and under the attack.
Values = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def scored(
    models: Mapping[str, Values],
    *,
    attack: str = "noise",
    variant: str = "",
    step: int = 0,
    percent: int = 10,
    seed: int = 0,
    **cell: str,
) -> tuple[pd.DataFrame, dict[AttackedRun, pd.DataFrame]]:
    """The items without the attack and the scores under it, of one score and state."""
    items, attacked = [], {}
    place = CLOZE | cell
    for method, people in models.items():
        rows = []
        for person, (before, after) in people.items():
            for i, (plain, value) in enumerate(zip(before, after, strict=True)):
                name = f"{place['set']}/{place['modality']}/{place['task']}/{person}/{i}"
                run: dict[str, Any] = {"model": "tiny", "forget_percent": percent, "method": method, "seed": seed}
                items.append({**run, **place, "person_id": person, "question_id": name, "value": float(plain)})
                state = {
                    "variant": variant,
                    "step": step,
                    "diverged": False,
                    "question_id": name,
                    "metric": place["metric"],
                }
                rows.append({**state, "value": float(value)})
        attacked[AttackedRun(percent, method, seed, attack)] = pd.DataFrame(rows)
    return pd.DataFrame(items), attacked


def joined(
    *parts: tuple[pd.DataFrame, dict[AttackedRun, pd.DataFrame]],
) -> tuple[pd.DataFrame, dict[AttackedRun, pd.DataFrame]]:
    """Several of these as one: items that repeat (another state of the same questions) are there once."""
    keys = ["forget_percent", "method", "seed", "question_id"]
    items = pd.concat([items for items, _ in parts]).drop_duplicates(keys)
    attacked: dict[AttackedRun, list[pd.DataFrame]] = {}
    for _, scores in parts:
        for run, table in scores.items():
            attacked.setdefault(run, []).append(table)
    return items, {run: pd.concat(tables) for run, tables in attacked.items()}


def summary_of(**utility: float) -> pd.DataFrame:
    """The utility of each model at 10 %."""
    rows = [{"model": "tiny", "forget_percent": 10, "method": name, "utility": u} for name, u in utility.items()]
    return pd.DataFrame(rows)
