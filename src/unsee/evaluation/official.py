"""A run's scores in the format of MLLMU-Bench's published evaluation: its files, its keys, its order.

    python -m unsee.evaluation.official results/models/MODEL/forget10/ga/seed0

reads the answers and scores of a run with a published protocol, and writes the files into the folder ``official`` beside them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.benchmarks.splits import assign_sets
from unsee.core.files import write_text
from unsee.evaluation.settings import PROTOCOLS, TASKS

#: The key of each set's results, and the prefix of its file of generations.
SETS = {
    "forget": ("Forget Set Results", "forget"),
    "test": ("Test Set Results", "test"),
    "retain": ("Retain Set (shared dataset) Results", "retain_shared"),
    "celebrity": ("Retain Set (real person) Results", "retain_celebrity"),
}
MODALITIES = {"image": "Image_Textual", "text": "Pure_Text"}
_ACCURACIES = {
    ("fill_in_the_blank", "cloze"): {"image": "image_textual_accuracy", "text": "pure_text_accuracy"},
    ("classification", "classification"): {
        "image": "Image-Textual Question Accuracy",
        "text": "Pure Text Question Accuracy",
    },
}
_OVERLAPS = {"rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L", "bleu": "BLEU"}


def results(items: pd.DataFrame, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> dict[str, Any]:
    """The contents of ``final_evaluation_results.json``: accuracies in percent, other metrics 0 to 1; NaN is null.

    Args:
        items: the scores of the run's answers, all tasks.
        questions, splits: the benchmark's tables.
        percent: the forget ratio of the sets.
    """
    keys = questions[["question_id", "person_id", "origin", "modality", "task"]]
    joined = items.merge(keys.assign(set=assign_sets(keys, splits, percent)), on="question_id")
    means = joined.groupby(["set", "task", "modality", "metric"], observed=True)["value"].mean().to_dict()

    def mean(*key: str, scale: float = 1.0) -> float | None:
        return means[key] * scale if key in means else None

    by_title: dict[str, Any] = {}
    for group, (title, _) in SETS.items():
        block: dict[str, dict[str, float | None]] = {
            name: {key: mean(group, task, modality, "accuracy", scale=100.0) for modality, key in names.items()}
            for (name, task), names in _ACCURACIES.items()
        }
        block["generation"] = {
            f"Average {label} ({kind})": mean(group, "generation", modality, metric)
            for modality, kind in MODALITIES.items()
            for metric, label in _OVERLAPS.items()
        }
        by_title[title] = block
    return by_title


def generations(
    predictions: pd.DataFrame, questions: pd.DataFrame, splits: pd.DataFrame, percent: int
) -> dict[str, dict[str, list[dict[str, str]]]]:
    """The generated answers of each set, by the prefix of its file; arguments as for :func:`results`."""
    columns = ["question_id", "person_id", "origin", "modality", "task", "question"]
    keys = questions[columns].assign(set=assign_sets(questions, splits, percent))
    joined = predictions[["question_id", "output", "reference"]].merge(keys, on="question_id")
    joined = joined[joined["task"] == "generation"].sort_values("question_id")
    return {
        mode: {
            "Generation_Questions": [
                {
                    # The published ids of celebrities begin at 000, like those of the fictitious people.
                    "image_id": row["person_id"].removeprefix("celebrity-"),
                    "question type": MODALITIES[row["modality"]],
                    "question": row["question"],
                    "generated_answer": row["output"],
                    "ground_truth": row["reference"],
                }
                for row in joined[joined["set"] == group].to_dict("records")
            ]
        }
        for group, (_, mode) in SETS.items()
    }


def export(run: Path) -> list[Path]:
    """Write the published files of one run; returns their paths.

    Args:
        run: the folder of the run, ``results/models/{model}/forget{percent}/{method}/seed{seed}``.

    Raises:
        ValueError: it is not such a folder, was not evaluated by a published protocol, or lacks a file.
    """
    match = re.fullmatch(r"forget(\d+)", run.absolute().parents[1].name)
    if match is None or int(match[1]) == 0:
        raise ValueError(
            f"{run}: is no run at a forget ratio; expected results/models/MODEL/forget10/METHOD/seed0 or the like"
        )
    percent, results_folder = int(match[1]), run.absolute().parents[4]
    _check_protocol(results_folder, run)
    benchmark = results_folder / "benchmark"
    questions = _read(benchmark / "questions.parquet")
    splits = _read(benchmark / "splits" / f"forget{percent}.parquet")
    predictions, scores = (
        pd.concat([_read(run / name / f"{task}.parquet") for task in TASKS]).sort_values("question_id", kind="stable")
        for name in ("predictions", "scores")
    )
    method = run.absolute().parent.name
    contents = {f"{method}_final_evaluation_results.json": results(scores, questions, splits, percent)}
    for mode, content in generations(predictions, questions, splits, percent).items():
        contents[f"{mode}_generation_results.json"] = content
    for name, content in contents.items():
        write_text(run / "official" / name, json.dumps(content, indent=4, ensure_ascii=False) + "\n")
    return [run / "official" / name for name in contents]


def _check_protocol(results_folder: Path, run: Path) -> None:
    """Refuse a run whose answers another protocol made: the receipt of its job says which."""
    name = run.absolute().relative_to(results_folder / "models")
    receipt = results_folder / "jobs" / "predict" / f"{name.as_posix()}.json"
    if not receipt.is_file():
        raise ValueError(
            f"{receipt}: is not there; expected the receipt of the job that answered: run the workflow first"
        )
    protocol = json.loads(receipt.read_text(encoding="utf-8"))["parameters"]["settings"]["protocol"]
    if protocol == "unsee":
        published = ", ".join(name for name in PROTOCOLS if name != "unsee")
        raise ValueError(
            f"{run}: evaluation.protocol was 'unsee', and the published result files are of published protocols; "
            f"expected one of {published}"
        )


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise ValueError(f"{file}: is not there; expected all tasks of a finished run (snakemake results/table3.csv)")
    return pd.read_parquet(file)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m unsee.evaluation.official", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("run", type=Path, nargs="+", help="results/models/MODEL/forget10/METHOD/seed0")
    try:
        for run in parser.parse_args(arguments).run:
            print(*export(run), sep="\n")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
