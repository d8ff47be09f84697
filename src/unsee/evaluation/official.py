"""A run's scores in the format of the published evaluation: its files, its keys, its order."""

from __future__ import annotations

from typing import Any

import pandas as pd

from unsee.benchmarks.splits import assign_sets

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
        items: item_scores of the run.
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
