"""The scores of the trials of one method at one ratio, beside those of vanilla and of the retain-only model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.evaluation.protocols.load import load_protocol
from unsee.results.tables.scores import Run, gather
from unsee.tuning.trial import has_diverged


def gather_trials(
    *,
    model: str,
    forget_percent: int,
    seed: int,
    references: Sequence[Path],
    trials: Mapping[str, Path],
    questions: pd.DataFrame,
    splits: pd.DataFrame,
    settings: Mapping[str, Any],
    tasks: Sequence[str],
) -> pd.DataFrame:
    """The rows of :func:`unsee.results.tables.scores.gather`, with the names of trials as methods; none of a trial that diverged.

    Args:
        model, forget_percent, seed: of all trials.
        references: the scores of vanilla, one file for each task, then those of the retain-only model.
        trials: the scores of each trial by its name.
        questions, splits: the tables of the people of the trials.
        settings: the protocol and its settings.
        tasks: the evaluated tasks.
    """
    vanilla, retain = references[: len(tasks)], references[len(tasks) :]
    runs = [Run(model, 0, "vanilla", seed, vanilla), Run(model, forget_percent, "retain", seed, retain)]
    runs += [Run(model, forget_percent, name, seed, [file]) for name, file in trials.items() if not has_diverged(file)]
    return gather(runs, questions, splits, [forget_percent], load_protocol(settings), tasks)
