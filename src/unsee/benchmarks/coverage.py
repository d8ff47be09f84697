"""Check that the tables cover every person: gaps are logged, an empty set or exchanged people are refused."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unsee.benchmarks.names import people_named
from unsee.benchmarks.problems import Problems
from unsee.benchmarks.schema import Benchmark, BenchmarkError
from unsee.benchmarks.tables import read_table
from unsee.core.files import atomic_write

log = logging.getLogger(__name__)

_SHOWN = 10


def find_gaps(people: pa.Table, questions: pa.Table, training_pairs: pa.Table) -> dict[str, list[str]]:
    """The ids of the people, questions or pairs of each gap, by the gap's name; empty gaps are left out.

    Args:
        people: ``person_id``, ``name`` and ``group``.
        questions: ``question_id``, ``person_id``, ``origin``, ``modality``, ``task``, ``question``, ``answer`` and ``options``.
        training_pairs: ``pair_id``, ``person_id``, ``modality``, ``question`` and ``answer``.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for row in people.select(["person_id", "group"]).to_pylist():
        groups[row["group"]].append(row["person_id"])
    kinds = _kinds_of_questions(questions)
    trained: dict[str, set[str]] = defaultdict(set)
    for row in training_pairs.select(["person_id", "modality"]).to_pylist():
        trained[row["modality"]].add(row["person_id"])
    gaps = {
        f"Fictitious Without {name} Training Pairs": [p for p in groups["fictitious"] if p not in trained[modality]]
        for modality, name in (("image", "Image + Text"), ("text", "Pure Text"))
        if modality in trained
    }
    for name, group, origin in (
        ("Fictitious Without Profile Questions", "fictitious", "profile"),
        ("Fictitious Without Test Questions", "fictitious", "test"),
        ("Real Celeb Without Questions", "celebrity", "celebrity"),
    ):
        if origin in kinds:  # CLEAR has no test questions
            gaps[name] = [person for person in groups[group] if person not in kinds[origin]]
    gaps["People With Fewer Tasks Than Most"] = _fewer_tasks(kinds)
    gaps["Multiple-choice Questions With Fewer Options Than Most"] = _fewer_options(questions)
    names = _fictitious_names(people)
    for name, table, id_column in (
        ("Training Pairs That Name Another Person Only", training_pairs, "pair_id"),
        ("Questions That Name Another Person Only", questions, "question_id"),
    ):
        gaps[name] = [row[id_column] for row, named in _rows_with_names(table, id_column, names) if named]
    return {name: ids for name, ids in gaps.items() if ids}


def check_subjects(benchmark: Benchmark) -> None:
    """Refuse a person most of whose training pairs, or questions of one origin, name another person only.

    One such row may mention another person by coincidence, and is a gap. Most of a person's rows are so only if they belong to
    another person, as when the rows of two people were exchanged: then a forgotten person's facts are taught as a retained one's.

    Raises:
        BenchmarkError: there are such people; one line for each.
    """
    names = _fictitious_names(benchmark.people)
    problems = []
    questions = benchmark.questions
    tables = [("training_pairs", benchmark.training_pairs, "pair_id")]
    for origin in ("profile", "test"):
        rows = questions.filter(pc.equal(questions["origin"], origin))
        tables.append((f"questions (origin {origin})", rows, "question_id"))
    for table, rows, id_column in tables:
        counts: Counter[str] = Counter(rows["person_id"].to_pylist())
        others: dict[str, Counter[str]] = defaultdict(Counter)
        for row, named in _rows_with_names(rows, id_column, names):
            if named:
                others[row["person_id"]][named] += 1
        for person, named_others in others.items():
            wrong = named_others.total()
            if wrong > 1 and 2 * wrong > counts[person]:
                other = named_others.most_common(1)[0][0]
                problems.append(
                    f"{table}: {wrong} of the {counts[person]} rows of person {person!r} name another person ({other!r}) and not "
                    f"{names[person]!r}; expected rows about {names[person]!r}, are the rows of two people exchanged?"
                )
    if problems:
        hidden = len(problems) - _SHOWN
        raise BenchmarkError("\n".join([*problems[:_SHOWN], *([f"and {hidden} more people"] if hidden > 0 else [])]))


def abbreviated(ids: list[str]) -> str:
    """The number of ids and the first of them."""
    return f"{len(ids)} ({', '.join(ids[:_SHOWN])}{', ...' if len(ids) > _SHOWN else ''})"


def log_gaps(notes: Problems, benchmark: Benchmark, usual: Container[str] = ()) -> None:
    """Log a loader's notes as warnings, and the gaps of its tables except for the ``usual`` ones of the published data."""
    for line in notes.lines():
        log.warning(line)
    for name, ids in find_gaps(benchmark.people, benchmark.questions, benchmark.training_pairs).items():
        if name not in usual:
            log.warning("%s: %s", name.lower(), abbreviated(ids))


def check_sets(questions: pa.Table, training_pairs: pa.Table, splits: pa.Table) -> None:
    """Check that the people to forget and to retain have training pairs, and questions of every kind that others have.

    Args:
        questions: ``person_id``, ``origin``, ``modality`` and ``task``.
        training_pairs: ``person_id``.
        splits: the splits table, of any ratios.

    Raises:
        BenchmarkError: a set would be empty; the message has the ratio, the set and the kind of question.
    """
    kinds: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in questions.select(["person_id", "origin", "modality", "task"]).to_pylist():
        kinds[row["origin"]][row["modality"], row["task"]].add(row["person_id"])
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
            for (modality, task), members in kinds[origin].items():
                if not people & members:
                    problems.append(
                        f"{ratio}: no {task} question ({modality}) about any of its {len(people)} people; expected some, as about "
                        "other people"
                    )
    if problems:
        raise BenchmarkError("\n".join(problems))


def check_request(questions: pa.Table, training_pairs: pa.Table, request: Sequence[str]) -> None:
    """Check that every person of a named request was learned and is asked about.

    Args:
        questions: ``person_id`` and ``origin``.
        training_pairs: ``person_id``.
        request: the ids of the people to forget.

    Raises:
        BenchmarkError: a person has no training pairs or no questions, such as most people of CLEAR.
    """
    rows = questions.filter(pc.equal(questions["origin"], "profile"))
    for what, table in (("training pairs", training_pairs), ("questions", rows)):
        people = set(table["person_id"].to_pylist())
        if without := sorted(set(request) - people):
            raise BenchmarkError(
                f"benchmark.forget: the benchmark has no {what} of {abbreviated(without)}; expected some of its {len(people)} people "
                f"who have them, such as {min(people, default='')!r}"
            )


def write_split(tables: Path, split: pa.Table, request: Sequence[str], output: Path) -> None:
    """Write the split of one ratio, after the checks of :func:`check_request` and :func:`check_sets`.

    Args:
        tables: the folder of the benchmark's tables.
        split: ``person_id``, and the set of each person.
        request: the ids of the people to forget, if they are named.
        output: the parquet file.
    """
    questions = read_table(tables, "questions", ["person_id", "origin", "modality", "task"])
    training_pairs = read_table(tables, "training_pairs", ["person_id"])
    check_request(questions, training_pairs, request)
    check_sets(questions, training_pairs, split)
    with atomic_write(output) as part:
        pq.write_table(split, part)


def _kinds_of_questions(questions: pa.Table) -> dict[str, dict[str, set[tuple[str, str]]]]:
    """The modalities and tasks of each person's questions, by origin and person."""
    kinds: dict[str, dict[str, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for row in questions.select(["person_id", "origin", "modality", "task"]).to_pylist():
        kinds[row["origin"]][row["person_id"]].add((row["modality"], row["task"]))
    return kinds


def _fewer_tasks(kinds: dict[str, dict[str, set[tuple[str, str]]]]) -> list[str]:
    """People who lack a kind of question that more than half of the people of an origin have."""
    fewer = set()
    for by_person in kinds.values():
        counts = Counter(kind for of_person in by_person.values() for kind in of_person)
        usual = {kind for kind, n in counts.items() if 2 * n > len(by_person)}
        fewer |= {person for person, of_person in by_person.items() if usual - of_person}
    return sorted(fewer)


def _fewer_options(questions: pa.Table) -> list[str]:
    """Multiple-choice questions with fewer options than the most frequent number of their origin."""
    options: dict[str, dict[str, int]] = defaultdict(dict)
    for row in questions.select(["question_id", "origin", "task", "options"]).to_pylist():
        if row["task"] == "classification":
            options[row["origin"]][row["question_id"]] = len(row["options"])
    fewer = []
    for by_question in options.values():
        ((usual, _),) = Counter(by_question.values()).most_common(1)
        fewer += [question for question, n in by_question.items() if n < usual]
    return fewer


def _fictitious_names(people: pa.Table) -> dict[str, str]:
    return {row["person_id"]: row["name"] for row in people.to_pylist() if row["group"] == "fictitious"}


def _rows_with_names(
    rows: pa.Table, id_column: str, names: dict[str, str]
) -> Iterator[tuple[dict[str, str], str | None]]:
    """Rows about fictitious people, each with the name of another person if its texts have that name and not the person's own."""
    full_names = sorted({name for name in names.values() if " " in name})  # a single name may be an ordinary word
    for row in rows.select([id_column, "person_id", "question", "answer"]).to_pylist():
        if row["person_id"] in names:
            text = f"{row['question']} {row['answer']}"
            others = [] if names[row["person_id"]] in text else [name for name in full_names if name in text]
            yield row, min(people_named(text, others), default=None)
