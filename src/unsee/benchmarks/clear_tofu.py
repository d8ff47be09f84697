"""CLEAR's text-only questions, which are TOFU's (Maini et al. 2024, https://arxiv.org/abs/2401.06121)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from unsee.benchmarks.cells import clean
from unsee.benchmarks.columns import TEXT
from unsee.benchmarks.names import people_named
from unsee.benchmarks.readers import PublishedFolder
from unsee.benchmarks.rows import Tables, pair_row, question_row

#: TOFU asks this many questions in a row about each author.
QUESTIONS_PER_AUTHOR = 20

#: The rows of one author: (file and row, question, answer).
Block = list[tuple[str, str, str]]


def read_tofu(folder: PublishedFolder, names: set[str], evaluated: set[str], tables: Tables) -> None:
    """Read training pairs of all authors, and evaluation questions about those who are evaluated.

    The rows carry no name. TOFU has twenty rows for one author after the other; the first asks for the name, and most of the others
    contain it too. A row that names another author, or an author with two blocks, shows that rows are missing or shifted.

    Args:
        folder: the data set; receives the problems.
        names: all people.
        evaluated: the people to ask about.
        tables: receives the pairs and questions.
    """
    blocks = list(_blocks(folder))
    if folder.problems:
        return
    nameless: list[tuple[str, str]] = []
    starts: dict[str, str] = {}
    for block in blocks:
        where = block[0][0]
        named = [people_named(f"{question} {answer}", names) for _, question, answer in block]
        name = _author(named)
        if name is None:
            folder.problems.add(
                where,
                f"{where}: this and the next {len(block) - 1} questions name no author of full more often than others; expected "
                f"{QUESTIONS_PER_AUTHOR} questions in a row about each",
            )
            continue
        if name in starts:
            folder.problems.add(
                where,
                f"{where}: {len(block)} questions about {name!r} start here, and others at {starts[name]}; expected them once",
            )
            continue
        starts[name] = where
        if name not in named[0]:
            nameless.append((where, name))
        _check_block(folder, block, name, named)
        for number, (_, question, answer) in enumerate(block):
            tables["training_pairs"].append(pair_row(f"{name}/tofu-{number:02d}", name, None, question, answer))
            if name in evaluated:
                key = f"profile/{name}/tofu/{number:02d}"
                row = question_row(key, name, "profile", "generation", None, question=question, answer=answer)
                tables["questions"].append(row)
    _check_starts(folder, names, starts, nameless)


def _blocks(folder: PublishedFolder) -> Iterator[Block]:
    """The rows of ``full+tofu`` with a question, one author at a time; no picture is read."""
    block: Block = []
    for where, row in folder.rows("full+tofu", {"question": TEXT, "answer": TEXT}):
        if not (row["question"] or "").strip():
            continue  # the caption of a picture, which full has too
        with folder.problems.collect(where):
            block.append((where, clean(where, "question", row["question"]), clean(where, "answer", row["answer"])))
        if len(block) == QUESTIONS_PER_AUTHOR:
            yield block
            block = []
    if block and not folder.problems:
        where = block[0][0]
        folder.problems.add(
            where,
            f"{where}: {len(block)} questions from here to the end, expected {QUESTIONS_PER_AUTHOR} about each author",
        )


def _author(named: list[set[str]]) -> str | None:
    """The name that most rows of a block contain; None without names, or if two names are equally frequent."""
    mentions = Counter(name for names in named for name in names)
    name, count = max(mentions.items(), key=lambda item: item[1], default=(None, 0))
    return name if list(mentions.values()).count(count) == 1 else None


def _check_block(folder: PublishedFolder, block: Block, name: str, named: list[set[str]]) -> None:
    start = block[0][0]
    for names, (where, _, _) in zip(named, block, strict=True):
        if names and name not in names:
            folder.problems.add(
                where,
                f"{where}: names {min(names)!r}, among {len(block)} questions about {name!r} that start at {start}; expected "
                f"{QUESTIONS_PER_AUTHOR} in a row about each author",
            )


def _check_starts(
    folder: PublishedFolder, names: set[str], starts: dict[str, str], nameless: list[tuple[str, str]]
) -> None:
    """Note people without questions and first questions without a name; if most lack the name, all rows are shifted."""
    if missing := sorted(names - starts.keys()):
        at = str(folder.directory / "full+tofu")
        folder.notes.add(at, f"{at}: no questions about {len(missing)} people of full: {', '.join(missing[:10])}")
    for where, name in nameless:
        sentence = (
            f"{where}: does not name {name!r}, the author of this and the next {QUESTIONS_PER_AUTHOR - 1} questions"
        )
        if 2 * len(nameless) > len(starts):
            folder.problems.add(
                where, f"{sentence}; expected each author's first question to ask for the name, are the rows shifted?"
            )
        else:
            folder.notes.add(where, sentence)
