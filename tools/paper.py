"""Write the page on the source paper: for each claim of the source paper whether it holds in some results, beside the published figures.

    python -m tools.paper RESULTS [ABLATION_RESULTS]

`make reference` does it. The claims and their ranges are in tools/paper_claims.py. A claim about models that RESULTS has not is judged
by ABLATION_RESULTS, and without them not at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tools.paper_claims import BASELINES, MARGIN, PARTS, PUBLISHED, VL_ERASER, Claim, claims, verdict
from unsee.core.files import write_text
from unsee.results.columns import is_metric, table_metrics
from unsee.results.statistics.intervals import Interval, clustered_interval
from unsee.results.statistics.robustness import influence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "paper.md"
#: The metric of each task in the results table.
METRICS = {metric.task: metric for metric in table_metrics()}
_KEYS = ["forget_percent", "seed", "modality", "task", "person_id", "question_id"]
HEAD = """\
# The source paper's claims

Written by `python -m tools.paper` from the results of `make reference`: the default benchmark and its tiny model, {places}.
The published figures are those of VL-Eraser (CVPR 2026), its results table and its ablation.
They are of LLaVA-1.5-7B with 5 % of MLLMU-Bench forgotten, for questions with a picture.
Figures of its GA_Diff and KL_Min are not known to us.
The models, the data and the training differ, so that the order of methods is compared and not their scores.

**How a claim is decided.**
A claim says in which range the difference of two models lies.
It is taken question by question, for questions with a picture, at the same seed and forget ratio, on a scale from 0 to 1.
Its mean over the questions of a task and ratio is averaged over ratios, then over tasks.
Its 95 % interval is clustered by person and by seed, so that it holds the spread between trainings.
The claim **holds** where the whole interval is in its range.
It is **refuted** where all of the interval is outside, and otherwise it **cannot be told**.
"More" and "less" are the ranges above and below 0; "about as much" is within {margin:g}, a margin of ours.
Intervals are not corrected for the number of claims: of {number}, one in twenty may be decided by chance.

Models are compared with their whole update and the settings of `config.yaml` ([hyperparameters.md](hyperparameters.md)).
Methods that forget more tend to keep less; [at equal utility](#at-equal-utility) they are compared below.
`published` and `here` have classification (%), ROUGE-L and cloze (%), each of the first model / the second.
"""
WORDS = """\
Forgetting in pictures only would show that reverse training breaks the link between picture and words and leaves the knowledge.
The difference is what a method leaves over the retain-only model in words, minus the same with a picture, in the set `forget`.
All pairs are forgotten here, with and without a picture, which is the default of `unlearning.modality`.
"""


def page(items: Sequence[pd.DataFrame], rankings: Sequence[pd.DataFrame], ablations: Sequence[pd.DataFrame]) -> str:
    """The page.

    Args:
        items: the scores.parquet of one or two runs.
        rankings, ablations: their ranking.csv and ablation.csv.
    """
    sections = claims()
    first = items[0]
    percents, seeds = (", ".join(map(str, sorted(first[name].unique()))) for name in ("forget_percent", "seed"))
    places = f"forget ratios {percents} %, seeds {seeds}"
    parts = [HEAD.format(places=places, margin=MARGIN, number=sum(map(len, sections.values())))]
    for heading, of_section in sections.items():
        rows = pd.DataFrame([row(claim, items) for claim in of_section])
        words = f"{WORDS}\n" if of_section[0].words else ""
        parts.append(f"## {heading}\n\n{words}{rows.to_markdown(index=False, disable_numparse=True)}\n")
    parts.append(f"## At equal utility\n\n{equal_utility(_with(rankings, [VL_ERASER]), _with(rankings, list(PARTS)))}")
    parts.append(f"## The ablation in numbers\n\n{ablation_table(_with(ablations, list(PARTS)))}")
    return "\n".join(parts)


def row(claim: Claim, items: Sequence[pd.DataFrame]) -> dict[str, str]:
    """A line of the page: the claim, both figures, the difference and the verdict."""
    line = {"claim": claim.text}
    if not claim.words:
        line["published"] = figures(claim, PUBLISHED.get(claim.group, {}))
    rows = _with(items, [claim.method, claim.against])
    if rows is None:
        return line | ({} if claim.words else {"here": "–"}) | {"difference": "–", "verdict": "not run"}
    pairs = paired(rows, claim)
    interval = difference(pairs, claim)
    if not claim.words:
        line["here"] = figures(claim, means(pairs, claim))
    text = f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
    return line | {"difference": text, "verdict": f"**{verdict(claim, interval.low, interval.high)}**"}


def paired(items: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """The values of both models, 0 to 1, for each question, seed and ratio that a claim concerns.

    Raises:
        ValueError: one model has answered what the other has not, or a task was not evaluated.
    """
    rows = items[items["method"].isin([claim.method, claim.against]) & (items["set"] == claim.group)]
    rows = rows[is_metric(rows, [(task, METRICS[task].name) for task in claim.tasks])]
    rows = rows if claim.words else rows[rows["modality"] == "image"]
    texts = ["method", "modality", "task", "person_id", "question_id"]
    pairs = rows.astype(dict.fromkeys(texts, str)).pivot(index=_KEYS, columns="method", values="value").reset_index()
    if missing := set(claim.tasks) - set(pairs["task"]):
        raise ValueError(
            f"scores.parquet: {claim.method} and {claim.against} have no {', '.join(sorted(missing))} in the set {claim.group}, of "
            f"which {claim.text!r} is; expected a run with evaluation.tasks {', '.join(claim.tasks)}"
        )
    lacking = pairs[pairs.isna().any(axis=1)]
    if len(lacking):
        place = lacking.iloc[0]
        raise ValueError(
            f"scores.parquet: {claim.method} or {claim.against} lacks {place['question_id']!r} at {place['forget_percent']} % with "
            f"seed {place['seed']} ({len(lacking)} such); expected both models to have answered the same questions"
        )
    return pairs


def difference(pairs: pd.DataFrame, claim: Claim) -> Interval:
    """The mean of a claim's difference, over ratios and then over tasks, with its interval, clustered by person and seed."""
    values = (pairs[claim.method] - pairs[claim.against]).to_numpy(dtype=float)
    if claim.words:  # the mean over two modalities of twice each one with its sign is their difference
        values = np.where(pairs["modality"] == "text", 2.0, -2.0) * values
    cells = pairs.groupby(["task", "forget_percent", "modality"], sort=True).ngroup().to_numpy()
    tasks = pairs.assign(cell=cells).drop_duplicates("cell").sort_values("cell")["task"]
    values = influence(values, cells, np.unique(tasks, return_inverse=True)[1])
    return clustered_interval(values, pairs["person_id"].to_numpy(), seeds=pairs["seed"].to_numpy())


def means(pairs: pd.DataFrame, claim: Claim) -> dict[str, dict[str, float]]:
    """Each model's score by task, in the metric's unit: the mean over ratios."""
    names = [claim.method, claim.against]
    by_ratio = pairs.groupby(["task", "forget_percent"])[names].mean().groupby("task").mean()
    return {
        name: {str(task): float(value) * METRICS[str(task)].scale for task, value in by_ratio[name].items()}
        for name in names
    }


def figures(claim: Claim, scores: dict[str, dict[str, float]]) -> str:
    """The scores of both models in the tasks of a claim; a dash for what is not known."""
    if not scores.keys() >= {claim.method, claim.against}:
        return "–"
    pairs = []
    for task in claim.tasks:
        form = f".{METRICS[task].decimals}f"
        pairs.append(" / ".join(f"{scores[name][task]:{form}}" for name in (claim.method, claim.against)))
    return "; ".join(pairs)


def equal_utility(*rankings: pd.DataFrame | None) -> str:
    """Forgetting at equal utility by ratio, of the paper's methods and of VL-Eraser without a part."""
    rows = pd.concat([table for table in rankings if table is not None] or [pd.DataFrame()]).drop_duplicates()
    if rows.empty:
        return "Not run.\n"
    shown = [name for name in (*BASELINES, VL_ERASER, *PARTS) if name in set(rows["method"])]
    table = {
        f"{percent} %": {row["method"]: _forgetting(row) for row in part.to_dict("records")}
        for percent, part in rows.groupby("forget_percent")
    }
    text = pd.DataFrame(table).reindex(shown).fillna("–").rename_axis("").reset_index()
    text[""] = [f"`{name}`" for name in text[""]]
    return (
        "Forgetting (0 to 1) at the compared share of vanilla's utility, with the jackknife's 95 % interval over people and seeds "
        "([results.md](results.md#methods-at-equal-utility)).\n"
        "A star: the whole update keeps more than that share, and the method might have forgotten more.\n\n"
        f"{text.to_markdown(index=False, disable_numparse=True)}\n"
    )


def ablation_table(ablation: pd.DataFrame | None) -> str:
    """The columns of the paper's ablation for each ratio, means over seeds with the spread between them."""
    if ablation is None:
        return "Not run.\n"
    rows = ablation[ablation["method"].isin(["vanilla", VL_ERASER, *PARTS]) & (ablation["modality"] == "image")]
    shown = {"forget_classification": 1, "retain_classification": 1, "retain_rouge_l": 2, "retain_cloze": 1}
    lines = [
        {"": f"`{row['method']}`", "ratio": f"{row['forget_percent']} %"}
        | {name.replace("_", " "): _with_spread(row[name], row[f"{name}_sd"], digits) for name, digits in shown.items()}
        for row in rows.to_dict("records")
    ]
    return (
        "Questions with a picture, mean over seeds ± standard deviation over seeds.\n\n"
        f"{pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)}\n"
    )


def _forgetting(row: dict[str, object]) -> str:
    star = "*" if row["stopped_early"] else ""
    return f"{row['forgetting']:.2f}{star} ({row['forgetting_low']:.2f} to {row['forgetting_high']:.2f})"


def _with_spread(mean: float, spread: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if np.isnan(spread) else f" ± {spread:.{digits}f}")


def _with(tables: Sequence[pd.DataFrame], methods: Sequence[str]) -> pd.DataFrame | None:
    """The first table that has all these methods."""
    return next((table for table in tables if set(methods) <= set(table["method"].unique())), None)


def write(*folders: Path) -> None:
    """Write the page from one or two results folders."""
    items = [pd.read_parquet(folder / "scores.parquet") for folder in folders]
    rankings, ablations = (
        [pd.read_csv(path) for folder in folders if (path := folder / f"{name}.csv").is_file()]
        for name in ("ranking", "ablation")
    )
    write_text(PAGE, page(items, rankings, ablations))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the results folder of a run with VL-Eraser and the baselines")
    parser.add_argument("ablation", type=Path, nargs="?", help="that of presets/run-ablation-vl-eraser.yaml, if apart")
    folders = parser.parse_args()
    write(*filter(None, (folders.results, folders.ablation)))


if __name__ == "__main__":
    main()
