"""The rows of `make bench` at the published geometry, see :mod:`bench.geometry`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.table import Table

#: The ways to answer, and the number of people in each; the rate of the ways that share nothing does not depend on it.
WAYS = {
    "official": ("one question at a time", 1),
    "batched": ("batches of 16, nothing shared", 2),
    "shared": ("shared", 8),
}
#: The largest difference between a packed and an unpacked gradient, relative to the gradient's size.
SAME_GRADIENT = 1e-3

Fastest = Callable[..., dict[str, dict[str, Any]]]
Measure = Callable[..., dict[str, Any]]


def add_rows(table: Table, measure: Measure, fastest: Fastest, names: dict[str, str], times: int = 2) -> None:
    """Measure answering and training at each geometry.

    Args:
        table: gets the rows.
        measure, fastest: see :mod:`bench.__main__`.
        names: the name in the rows of each key of :data:`bench.geometry.SHAPES`.
        times: repeats, of which the fastest counts.
    """
    for shape, name in names.items():
        _answering(table, measure, shape, name, times)
        _training(table, fastest, shape, name, times)


def _answering(table: Table, measure: Measure, shape: str, name: str, times: int) -> None:
    rounds = [
        {way: measure("geometry_evaluate", shape=shape, way=way, people=people) for way, (_, people) in WAYS.items()}
        for _ in range(times)
    ]
    results = {way: min((r[way] for r in rounds), key=lambda result: float(result["seconds"])) for way in WAYS}
    check_answers(results)
    labels = {way: f"{name}, evaluation, {label}" for way, (label, _) in WAYS.items()}
    for way, label in labels.items():
        result = results[way]
        over = "" if way == "official" else labels["official"]
        table.add(label, result["n"] / result["seconds"], "questions/s", over=over)
    table.add(f"{labels['shared']} (again)", table[labels["shared"]].value, "questions/s", over=labels["batched"])
    for way, label in labels.items():
        _add_work(table, label, results[way], "question")


def check_answers(results: dict[str, dict[str, Any]]) -> None:
    """Check that all ways gave the same answers to the questions that they share.

    Raises:
        RuntimeError: they did not, or share no question.
    """
    shared = results["shared"]["answers"]
    for way in ("official", "batched"):
        answers = results[way]["answers"]
        different = [question for question, text in answers.items() if shared.get(question) != text]
        if different or not answers:
            raise RuntimeError(
                f"{len(different)} of {len(answers)} answers, {way} and shared, differ: {different[:3]}; expected the same texts"
            )


def _training(table: Table, fastest: Fastest, shape: str, name: str, times: int) -> None:
    results = fastest("geometry_train", ("unpacked", "packed"), times, shape=shape)
    check_gradients(results["packed"], results["unpacked"])
    labels = {way: f"{name}, training, one {of} a sequence" for way, of in (("unpacked", "pair"), ("packed", "person"))}
    for way, label in labels.items():
        result = results[way]
        over = labels["unpacked"] if way == "packed" else ""
        table.add(label, result["n"] / result["seconds"], "pairs/s", over=over)
    for way, label in labels.items():
        _add_work(table, label, results[way], "pair")


def check_gradients(packed: dict[str, Any], unpacked: dict[str, Any]) -> None:
    """Check that a packed step has the loss and the gradient of an unpacked one.

    Raises:
        RuntimeError: it does not.
    """
    losses = packed["loss"], unpacked["loss"]
    differences = np.abs(np.subtract(packed["projections"], unpacked["projections"])) / unpacked["norms"]
    if abs(losses[0] - losses[1]) > 1e-4 or differences.max() > SAME_GRADIENT:
        raise RuntimeError(
            f"packed and unpacked: losses {losses}, gradients differ by up to {differences.max():.1e} of their size; expected the same"
        )


def _add_work(table: Table, label: str, result: dict[str, Any], unit: str) -> None:
    """How many tokens were computed and needed, and how near the machine's rate of products the way came."""
    table.add(f"{label}, tokens computed", result["tokens"] / result["n"], f"a {unit}")
    if "useful" in result:
        table.add(f"{label}, of them needed", 100 * result["useful"] / result["tokens"], "%")
    share = 100 * result["flops"] / result["seconds"] / result["rate"]
    table.add(f"{label}, share of the rate of products", share, "%")
