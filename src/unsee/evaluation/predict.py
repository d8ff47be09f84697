"""The job that answers the questions of one run and writes one file per task.

Answers from an earlier job are read from the cache. If it has the answers to all tasks, no model is loaded and torch is not imported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from unsee.benchmarks.tables import read_images
from unsee.core import gpus
from unsee.core.files import atomic_write
from unsee.core.resume import CheckpointDir
from unsee.evaluation import shards
from unsee.evaluation.answer_cache import AnswerKeys
from unsee.evaluation.choice import choose
from unsee.evaluation.protocol import Protocol, Question, prompt_images
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.queries import Query
from unsee.evaluation.questions import protocol_questions
from unsee.evaluation.settings import TASKS, task_of

if TYPE_CHECKING:
    from unsee.evaluation import engine
    from unsee.models.model import VisionLanguageModel
    from unsee.models.pictures import Pictures

log = logging.getLogger(__name__)

PREDICTIONS = pa.schema(
    [
        ("question_id", pa.string()),
        ("prompt", pa.string()),
        ("output", pa.string()),
        ("reference", pa.string()),
        ("option_log_likelihoods", pa.list_(pa.float32())),
        ("option_tokens", pa.list_(pa.int32())),
        ("choice", pa.int8()),
        ("correct", pa.bool_()),
    ]
)


def predict(
    model: dict[str, Any],
    benchmark: Path,
    *,
    adapters: Sequence[Path],
    forget_percents: Sequence[int],
    settings: Mapping[str, Any],
    threads: int,
    output: Path,
    cache: Path | None = None,
    checkpoint_dir: Callable[[], CheckpointDir] | None = None,
) -> None:
    """Answer the benchmark's questions and write ``{task}.parquet`` for each task.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        adapters: PEFT adapter folders on the base model, in order: none, vanilla's, vanilla's and an unlearned one, or retain-only's.
        forget_percents: the model answers the test questions about the people forgotten at any of these ratios.
        settings: ``protocol`` and its settings (:func:`unsee.evaluation.settings.settings_of`), ``batch_size`` (people at a time)
            and ``tasks`` (all by default).
        threads: number of threads of this job.
        output: the folder of the files.
        cache: the folder of the cache that jobs share; ``None`` disables it.
        checkpoint_dir: returns the folder with answers from an earlier start of this job; called only if the model must run.
    """
    protocol, tasks = load_protocol(settings), settings.get("tasks", TASKS)
    questions = protocol_questions(benchmark, forget_percents, protocol)
    images = dict(read_images(benchmark, {image_id for row in questions for image_id in prompt_images(row)}))
    by_task = {task: [row for row in questions if task_of(row["task"]) == task] for task in tasks}
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(TemporaryDirectory()))
        environment = ["gpu" if gpus.usable() else f"cpu, {threads} threads"]
        keys = AnswerKeys(model, adapters, environment, cache)
        names = {task: keys.of(rows, protocol, images) for task, rows in by_task.items()}
        ids = {task: [row["question_id"] for row in rows] for task, rows in by_task.items()}
        paths: dict[str, Path | None] = {
            task: shards.find(folder / name[:2], name, ids[task]) for task, name in names.items()
        }
        missing = [task for task, path in paths.items() if path is None]
        if missing:
            resume = checkpoint_dir() if checkpoint_dir else None
            scratch = resume.folder if resume else Path(stack.enter_context(TemporaryDirectory()))
            parts = _answer_batches(
                model, adapters, images, questions, protocol, missing, settings["batch_size"], threads, cache, scratch
            )
            for task in missing:
                paths[task] = shards.join(parts[task], folder / names[task][:2], names[task])
            if resume:
                resume.clear()
        for task, path in paths.items():
            assert path is not None
            rows = {row["question_id"]: row for row in by_task[task]}
            with atomic_write(output / f"{task}.parquet") as part:
                read = (prediction(answer, rows[answer["question_id"]], protocol) for answer in shards.read(path))
                shards.write_rows(part, read, PREDICTIONS)


def _answer_batches(
    model: dict[str, Any],
    adapters: Sequence[Path],
    images: Mapping[str, bytes],
    questions: Sequence[Question],
    protocol: Protocol,
    tasks: Sequence[str],
    batch_size: int,
    threads: int,
    cache: Path | None,
    scratch: Path,
) -> dict[str, list[Path]]:
    """Load the model and answer all batches; returns the files of the batches, by task."""
    import torch
    from tqdm import tqdm

    from unsee.evaluation import engine
    from unsee.models.model import load
    from unsee.models.pictures import Pictures, feature_cache

    torch.set_num_threads(threads)
    vlm = load(model, adapters)
    features = feature_cache(cache, vlm.family, adapters)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images.items(), cache=features)
    batches = _batches(questions, protocol, vlm, batch_size)
    engine.check_lengths(vlm, pictures, [q for groups in batches for group in groups for q in group if q.task in tasks])
    parts: dict[str, list[Path]] = {task: [] for task in tasks}
    for i, groups in enumerate(tqdm(batches, unit="batch", mininterval=5)):
        ids = {task: [q.question_id for group in groups for q in group if q.task == task] for task in tasks}
        paths = {task: shards.find(scratch, f"{task}-{i:06d}", ids[task]) for task in tasks if ids[task]}
        missing = [task for task, path in paths.items() if path is None]
        answers = engine.answer(vlm, pictures, groups, missing, protocol.max_new_tokens) if missing else {}
        for task in paths:
            parts[task].append(paths[task] or shards.write(scratch, f"{task}-{i:06d}", answers[task]))
    return parts


def answer_questions(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[Question], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One prediction per question, in the order of question ids.

    Args:
        vlm: the model.
        pictures: the pictures of the questions.
        questions: rows of the questions table, or prepared by a protocol.
        settings: as for :func:`predict`.

    Raises:
        ValueError: a prompt is longer than the model's context; the message names the question.
    """
    return answer_batches(vlm, pictures, questions, lay_out(vlm, pictures, questions, settings), settings)


def lay_out(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[Question], settings: Mapping[str, Any]
) -> Iterator[engine.TaskPacks]:
    """Questions in batches, as the engine reads them, one batch after another; they do not depend on the model's weights.

    Args:
        vlm, pictures, questions, settings: as for :func:`answer_questions`.

    Raises:
        ValueError: a prompt is longer than the model's context; the message names the question.
    """
    from unsee.evaluation import engine

    protocol, tasks = load_protocol(settings), settings.get("tasks", TASKS)
    batches = _batches(questions, protocol, vlm, settings["batch_size"])
    engine.check_lengths(vlm, pictures, [q for groups in batches for group in groups for q in group if q.task in tasks])
    return (engine.lay_out(vlm, pictures, groups, tasks) for groups in batches)


def answer_batches(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    questions: Sequence[Question],
    batches: Iterable[engine.TaskPacks],
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """One prediction per question, in the order of question ids.

    Args:
        vlm, pictures, questions, settings: as for :func:`answer_questions`.
        batches: the same questions, from :func:`lay_out`.
    """
    from unsee.evaluation import engine

    protocol = load_protocol(settings)
    rows = {row["question_id"]: row for row in questions}
    answers = (
        answer
        for batch in batches
        for task_answers in engine.answer_batch(vlm, pictures, batch, protocol.max_new_tokens).values()
        for answer in task_answers
    )
    predictions = [prediction(answer, rows[answer["question_id"]], protocol) for answer in answers]
    return sorted(predictions, key=itemgetter("question_id"))


def _batches(
    questions: Sequence[Question], protocol: Protocol, vlm: VisionLanguageModel, size: int
) -> list[list[list[Query]]]:
    """The queries of all tasks by group, ``size`` groups per batch; batches are the same for any selection of tasks."""
    ordered = sorted(questions, key=itemgetter("origin", "person_id", "question_id"))
    groups = [list(rows) for _, rows in groupby(ordered, itemgetter("origin", "person_id"))]
    # Longest first: a batch that does not fit in memory fails at once, and packs of similar length share a batch. Length is counted in
    # characters, because the tokens of all questions at once would not fit in memory.
    groups.sort(key=lambda rows: -sum(len(text) for row in rows for text in (row["question"], *row["options"])))
    queries = [[_query(row, protocol, vlm) for row in rows] for rows in groups]
    return [queries[start : start + size] for start in range(0, len(queries), size)]


def _query(question: Question, protocol: Protocol, vlm: VisionLanguageModel) -> Query:
    return Query(
        question["question_id"],
        task_of(question["task"]),
        protocol.prompt(question, vlm),
        tuple(protocol.candidates(question)),
        tuple(prompt_images(question)),
    )


def prediction(answer: Mapping[str, Any], question: Question, protocol: Protocol) -> dict[str, Any]:
    """A row of predictions: an answer as a protocol reads it.

    Args:
        answer: a row of :data:`unsee.evaluation.shards.ANSWERS`.
        question: the question.
        protocol: the protocol.
    """
    likelihoods, tokens = answer["option_log_likelihoods"], answer["option_tokens"]
    choice: int | None
    if answer["text"] is None:
        choice = choose(likelihoods, tokens, per_token=protocol.per_token(question["task"]))
        output = question["options"][choice]
    else:
        output = protocol.extract_answer(answer["text"])
        choice = protocol.parse_choice(question, output)
    return {
        "question_id": question["question_id"],
        "prompt": answer["prompt"],
        "output": output,
        "reference": question["answer"],
        "option_log_likelihoods": likelihoods,
        "option_tokens": tokens,
        "choice": -1 if choice is None else choice,
        "correct": None if choice is None else choice == question["answer_index"],
    }
