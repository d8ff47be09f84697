"""What the results folder says of a run: its scores beside the controls', and what attacks and membership tests made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from unsee.export.finished_run import ExportError, FinishedRun
from unsee.jobs import receipts
from unsee.results.columns import BASELINES, is_metric, metric_of, table_metrics
from unsee.results.statistics.robustness import COMBINED
from unsee.results.styles import attack_label, label_of


@dataclass(frozen=True)
class Evaluation:
    """The tables that have rows of a run.

    A table is used only if it was made from the run's present files: every receipt from the table back to the run's adapter says so.

    Attributes:
        run: the run.
    """

    run: FinishedRun

    def scores(self) -> pd.DataFrame | None:
        """Each score with its interval, one column for the run and for each control; None if the run is not in scores.csv.

        Raises:
            ExportError: scores.csv was made from other files than those of the run.
        """
        table = self._table("results/scores.csv")
        if table is None:
            return None
        rows = table[(table["seed"] == self.run.run.seed) & (table["model"] == self.run.model)]
        percent = self._percent(rows)
        methods = list(dict.fromkeys([self.run.run.method, *BASELINES]))
        keys = [(metric.task, metric.name) for metric in table_metrics()]
        rows = rows[
            (rows["forget_percent"] == percent) & rows["method"].isin(methods) & is_metric(rows, keys).to_numpy()
        ]
        if self.run.run.method not in set(rows["method"]):
            return None
        self._check_controls(rows["method"].unique())
        lines: dict[tuple[str, str, str], dict[str, str]] = {}
        for row in rows.itertuples():
            metric = metric_of(str(row.task), str(row.metric))
            line = lines.setdefault((str(row.set), str(row.modality), metric.label_with_unit), {})
            line[label_of(str(row.method))] = _with_interval(row.value, row.low, row.high, metric.decimals)
            line["questions"], line["people"] = str(row.n_questions), str(row.n_people)
        columns = [*map(label_of, methods), "questions", "people"]
        return pd.DataFrame(
            [dict(zip(("about", "asked with", "score"), key, strict=True)) | line for key, line in lines.items()],
            columns=["about", "asked with", "score", *columns],
        )

    def robustness(self) -> pd.DataFrame | None:
        """Attacks on the model, all scores combined; the seeds of the method are averaged. None if it was not attacked."""
        table = self._table("results/robustness.csv")
        if table is None:
            return None
        for name, value in zip(("set", "modality", "task", "metric"), COMBINED, strict=True):
            table = table[table[name] == value]
        rows = table[
            (table["method"] == self.run.run.method) & (table["forget_percent"] == self.run.run.forget_percent)
        ]
        shown = pd.DataFrame(
            {
                "attack": [attack_label(str(row.attack), _text(row.variant)) for row in rows.itertuples()],
                "before": [_number(value, 3) for value in rows["before"]],
                "after": [_number(value, 3) for value in rows["after"]],
                "more than retain-only gains": [
                    _with_interval(row.excess, row.excess_low, row.excess_high, 3) for row in rows.itertuples()
                ],
                "verdict": [_text(value) or "–" for value in rows["verdict"]],
            }
        )
        return None if shown.empty else shown

    def membership(self) -> pd.DataFrame | None:
        """How well training pairs can be told from strangers'; the seeds are averaged. None if the run was not scored."""
        table = self._table("results/membership.csv")
        if table is None:
            return None
        methods = dict.fromkeys([self.run.run.method, *BASELINES])
        rows = table[
            (table["modality"] == "both")
            & (table["forget_percent"] == self.run.run.forget_percent)
            & table["method"].isin(list(methods))
        ]
        shown = pd.DataFrame(
            {
                "model": [label_of(str(name)) for name in rows["method"]],
                "score": rows["score"].to_numpy(),
                "area under the curve": [_with_interval(r.auc, r.auc_low, r.auc_high, 2) for r in rows.itertuples()],
            }
        )
        return None if shown.empty or self.run.run.method not in set(rows["method"]) else shown

    def _percent(self, rows: pd.DataFrame) -> int:
        """The ratio at which the scores are shown: the run's, or for vanilla the smallest."""
        return self.run.run.forget_percent or int(rows["forget_percent"].min() if len(rows) else 0)

    def _table(self, name: str) -> pd.DataFrame | None:
        """A table of the results; None if it is not there or rests on nothing of the run."""
        if not (self.run.place / name).is_file():
            return None
        folder = self.run.folder.relative_to(self.run.place).as_posix()
        if not self._check_current(name, [f"{folder}/"]):
            return None
        return pd.read_csv(self.run.place / name)

    def _check_controls(self, methods: Iterable[str]) -> None:
        """Check that the scores were made from the present files of the controls too."""
        folders = [f"/{method}/seed{self.run.run.seed}/" for method in methods]
        self._check_current("results/scores.csv", folders)

    def _check_current(self, name: str, folders: Sequence[str]) -> bool:
        """Check that a file rests on present files, as far as they lie in these folders; returns whether it rests on any.

        Raises:
            ExportError: it does not.
        """
        receipt = self._receipts.get(name)
        if receipt is None or not receipts.is_as_recorded(self.run.place / name, receipt["outputs"][name]):
            raise self._stale(name)
        rests = False
        for other, digest in receipt["inputs"].items():
            if not other.startswith("results/models/") or not any(folder in other for folder in folders):
                continue
            rests = True
            made = self._receipts.get(other)
            if made is None or made["outputs"][other]["sha256"] != digest:
                raise self._stale(name)
            self._check_current(other, folders)
        return rests

    @cached_property
    def _receipts(self) -> Mapping[str, dict[str, Any]]:
        """The receipt of the job that wrote each file of the results."""
        made: dict[str, dict[str, Any]] = {}
        for path in sorted((self.run.place / "results/jobs").rglob("*.json")):
            try:
                receipt = receipts.read(path)
            except (OSError, ValueError):
                continue  # a file that rests on it is then refused
            made |= dict.fromkeys(receipt["outputs"], receipt)
        return made

    def _stale(self, name: str) -> ExportError:
        return ExportError(
            f"{self.run.place / name}: was not made from the files that are there now",
            "give the snakemake command of these results again, which makes it anew",
        )


def _with_interval(value: Any, low: Any, high: Any, decimals: int) -> str:
    ends = "" if pd.isna(low) else f" ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{_number(value, decimals)}{ends}"


def _number(value: float, decimals: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{decimals}f}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
