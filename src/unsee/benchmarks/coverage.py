"""What some people lack that others have: reported as a warning, or refused where a set of the table would be empty."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Container

import pyarrow as pa
import pyarrow.compute as pc

from unsee.benchmarks.problems import Problems
from unsee.benchmarks.schema import Benchmark, BenchmarkError

log = logging.getLogger(__name__)

_SHOWN = 10


def find_gaps(people: pa.Table, questions: pa.Table, training_pairs: pa.Table) -> dict[str, list[str]]:
    """The people or questions that each gap is about, by the gap's name; gaps that there are none of are left out.

    Args:
        people: ``person_id``, ``name`` and ``group``.
        questions: ``question_id``, ``person_id``, ``origin``, ``modality``, ``task``, ``question``, ``answer`` and ``options``.
        training_pairs: ``pair_id``, ``person_id``, ``modality``, ``question`` and ``answer``.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for row in people.select(["person_id", "group"]).to_pylist():
        groups[row["group"]].append(row["person_id"])
    kinds: dict[str, dict[str, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    options: dict[str, dict[str, int]] = defaultdict(dict)
    columns = ["question_id", "person_id", "origin", "modality", "task", "options"]
    for row in questions.select(columns).to_pylist():
        kinds[row["origin"]][row["person_id"]].add((row["modality"], row["task"]))
        if row["task"] == "classification":
            options[row["origin"]][row["question_id"]] = len(row["options"])
    trained: dict[str, set[str]] = defaultdict(set)
    for row in training_pairs.select(["person_id", "modality"]).to_pylist():
        trained[row["modality"]].add(row["person_id"])
    found = {
        f"Fictitious Without {name} Training Pairs": [p for p in groups["fictitious"] if p not in trained[modality]]
        for modality, name in (("image", "Image + Text"), ("text", "Pure Text"))
        if modality in trained
    }
    for name, group, origin in (
        ("Fictitious Without Profile Questions", "fictitious", "profile"),
        ("Fictitious Without Test Questions", "fictitious", "test"),
        ("Real Celeb Without Questions", "celebrity", "celebrity"),
    ):
        if origin in kinds:  # CLEAR has no test questions at all
            found[name] = [person for person in groups[group] if person not in kinds[origin]]
    fewer_tasks, fewer_options = [], []
    for by_person in kinds.values():
        counts = Counter(kind for of_person in by_person.values() for kind in of_person)
        usual = {kind for kind, n in counts.items() if 2 * n > len(by_person)}
        fewer_tasks += [person for person, of_person in by_person.items() if usual - of_person]
    for by_question in options.values():
        ((usual_number, _),) = Counter(by_question.values()).most_common(1)
        fewer_options += [question for question, n in by_question.items() if n < usual_number]
    found["People With Fewer Tasks Than Most"] = sorted(set(fewer_tasks))
    found["Multiple-choice Questions With Fewer Options Than Most"] = fewer_options
    names = {row["person_id"]: row["name"] for row in people.to_pylist() if row["group"] == "fictitious"}
    found["Training Pairs That Name Another Person Only"] = _about_others(training_pairs, "pair_id", names)
    found["Questions That Name Another Person Only"] = _about_others(questions, "question_id", names)
    return {name: members for name, members in found.items() if members}


def _about_others(rows: pa.Table, id_column: str, names: dict[str, str]) -> list[str]:
    """The rows whose question and answer have another person's whole name, and not that of the person they are filed under.

    Such rows may have been exchanged, and a forgotten person's facts be taught as a retained one's.
    """
    whole = {name for name in names.values() if " " in name}  # a single name may be a word like any other
    about_others = []
    for row in rows.select([id_column, "person_id", "question", "answer"]).to_pylist():
        own, text = names.get(row["person_id"]), f"{row['question']} {row['answer']}"
        if own is not None and own not in text and any(name in text for name in whole):
            about_others.append(row[id_column])
    return about_others


def abbreviated(members: list[str]) -> str:
    """How many, and the first of them."""
    return f"{len(members)} ({', '.join(members[:_SHOWN])}{', ...' if len(members) > _SHOWN else ''})"


def log_gaps(notes: Problems, benchmark: Benchmark, usual: Container[str] = ()) -> None:
    """Log what a loader noted, and the gaps of what it read but those that its benchmark has as published."""
    for line in notes.lines():
        log.warning(line)
    for name, members in find_gaps(benchmark.people, benchmark.questions, benchmark.training_pairs).items():
        if name not in usual:
            log.warning("%s: %s", name.lower(), abbreviated(members))


def check_sets(questions: pa.Table, training_pairs: pa.Table, splits: pa.Table) -> None:
    """Check that at each ratio those to forget and those to retain are taught, and asked every kind of question that others are.

    Args:
        questions: ``person_id``, ``origin``, ``modality`` and ``task``.
        training_pairs: ``person_id``.
        splits: the splits table, of any ratios.

    Raises:
        BenchmarkError: a set would be empty; the message has the ratio, the set and the kind of question.
    """
    asked: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in questions.select(["person_id", "origin", "modality", "task"]).to_pylist():
        asked[row["origin"]][row["modality"], row["task"]].add(row["person_id"])
    trained = set(training_pairs["person_id"].to_pylist())
    problems = []
    for percent in sorted(set(splits["forget_percent"].to_pylist())):
        of_ratio = splits.filter(pc.equal(splits["forget_percent"], percent))
        for role, name, origin in (
            ("forget", "forget", "profile"),
            ("forget", "test", "test"),
            ("retain", "retain", "profile"),
        ):
            people = set(of_ratio.filter(pc.equal(of_ratio["role"], role))["person_id"].to_pylist())
            ratio = f"splits at {percent} %, {name} set"
            if name != "test" and not people & trained:
                problems.append(f"{ratio}: none of its {len(people)} people has training pairs; expected some")
            for (modality, task), members in asked[origin].items():
                if not people & members:
                    problems.append(
                        f"{ratio}: no {task} question ({modality}) about any of its {len(people)} people, though others have some"
                    )
    if problems:
        raise BenchmarkError("\n".join(problems))
