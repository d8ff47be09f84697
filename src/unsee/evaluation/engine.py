"""Inference: every answer of one model run, in one job.

All questions about a person share one pack (:mod:`unsee.models.packing`): a picture is encoded and read once, a
question's options share the question. Multiple choice is scored in that one pass and decodes nothing; open questions are continued
greedily from the keys and values that the pass left behind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import person_ids, read_images, read_split, read_table
from unsee.core.resume import CheckpointDir
from unsee.core.text import comparable
from unsee.evaluation import shards
from unsee.evaluation.classification import choose
from unsee.evaluation.decoding import Waiting, decode_greedily
from unsee.evaluation.protocols import Protocol, load_protocol, prompt_images
from unsee.models.likelihood import selective_log_softmax
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import Batch, Request, collate, pack
from unsee.models.pictures import Pictures, feature_cache

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


@dataclass(frozen=True)
class _Asked:
    """A question with its prompt, and the requests that answer it: one for each option, or the prompt alone."""

    row: dict[str, Any]
    requests: tuple[Request, ...]

    @property
    def is_open(self) -> bool:
        return not self.requests[0].answer


def predict(
    model: dict[str, Any],
    benchmark: Path,
    *,
    adapters: Sequence[Path],
    forget_percents: Sequence[int],
    settings: dict[str, Any],
    threads: int,
    output: Path,
    cache: Path | None = None,
    only: Mapping[str, str] | None = None,
    checkpoint_dir: CheckpointDir | None = None,
) -> None:
    """Answer the benchmark's questions and write predictions.parquet.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        adapters: what is stacked on the base: nothing, vanilla, vanilla and an unlearned one, or retain-only.
        forget_percents: whose test questions are asked: of the people forgotten at any of these ratios.
        settings: ``protocol`` and its own settings (:data:`unsee.evaluation.protocols.SETTINGS`), ``batch_size`` (packs at
            a time).
        threads: of this job.
        output: the parquet file.
        cache: folder of what jobs share, see :mod:`unsee.core.cache`.
        only: columns of the questions table and the value that a question must have there to be asked.
        checkpoint_dir: where an earlier start of this job left its answers, see :mod:`unsee.core.resume`.
    """
    torch.set_num_threads(threads)
    protocol = load_protocol(settings)
    questions = protocol_questions(benchmark, forget_percents, protocol)
    questions = [row for row in questions if all(row[column] == value for column, value in (only or {}).items())]
    vlm = load(model, adapters)
    images = read_images(benchmark, {image_id for row in questions for image_id in prompt_images(row)})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=feature_cache(cache, vlm.family, adapters))
    questions = with_prompts(vlm, pictures, questions, protocol)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) if checkpoint_dir is None else checkpoint_dir.folder
        found, batches = [], _batches(questions, protocol, settings["batch_size"])
        for i, groups in enumerate(tqdm(batches, unit="batch", mininterval=5)):
            shard = shards.find(folder, i, [row["question_id"] for rows in groups for row in rows])
            found.append(shard or shards.write(folder, i, _answer(vlm, pictures, groups, protocol), PREDICTIONS))
        shards.join(found, PREDICTIONS, output)
    if checkpoint_dir is not None:
        checkpoint_dir.clear()


def read_questions(benchmark: Path, forget_percents: Sequence[int]) -> list[dict[str, Any]]:
    """The questions that a run at these ratios must answer.

    Raises:
        BenchmarkError: a question whose answer could not be told right from wrong, see :func:`check_answers`.
    """
    forgotten = {person for percent in forget_percents for person in person_ids(benchmark, percent, "forget")}
    table = read_table(benchmark, "questions")
    asked = pc.or_(
        pc.not_equal(table["origin"], "test"),
        pc.is_in(table["person_id"], value_set=pa.array(sorted(forgotten), pa.string())),
    )
    questions = list(table.filter(asked).sort_by("question_id").to_pylist())
    check_answers(questions)
    return questions


def check_answers(questions: Sequence[Mapping[str, Any]]) -> None:
    """Refuse questions whose answers cannot be scored. Loaders do; this is for tables that no loader made.

    Args:
        questions: rows of the questions table.

    Raises:
        BenchmarkError: two options say the same, an option or an answer cannot be seen, or ``answer_index`` names another option
            than the answer. The message names the first ten such questions.
    """
    faults = [f"question {row['question_id']!r}: {fault}" for row in questions if (fault := _fault(row)) is not None]
    if faults:
        more = [f"and {len(faults) - 10} more"] if len(faults) > 10 else []
        raise BenchmarkError("\n".join([*faults[:10], *more]))


def _fault(row: Mapping[str, Any]) -> str | None:
    """The first thing that is wrong with a question's options and answer, or None."""
    options, index = row["options"], row["answer_index"]
    texts = [comparable(option or "") for option in options]
    if "" in texts:
        return f"option {texts.index('')} is {options[texts.index('')]!r}; expected text that can be seen"
    for i, text in enumerate(texts):
        if text in texts[:i]:
            first = texts.index(text)
            return (
                f"options {first} and {i} are {options[first]!r} and {options[i]!r}, which say the same; expected options that "
                "differ in more than case and white space"
            )
    if not comparable(row["answer"]):
        return f"the answer is {row['answer']!r}; expected text that can be seen"
    has_options = row["task"] in ("classification", "likelihood")
    if has_options and not (0 <= index < len(options) and texts[index] == comparable(row["answer"])):
        return (
            f"answer_index is {index}, and the answer {row['answer']!r}; expected its place among the options {options}"
        )
    return None


def protocol_questions(benchmark: Path, forget_percents: Sequence[int], protocol: Protocol) -> list[dict[str, Any]]:
    """The questions that a run at these ratios answers, as a protocol asks them."""
    splits = pa.concat_tables([read_split(benchmark, percent) for percent in forget_percents]).to_pandas()
    image_ids = read_table(benchmark, "images", ["image_id"])["image_id"].to_pylist()
    rows = protocol.prepare(read_questions(benchmark, forget_percents), splits, image_ids, forget_percents)
    log.info("protocol %s, version %d: %d questions", protocol.name, protocol.version, len(rows))
    return rows


def answer_questions(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[dict[str, Any]], settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """One prediction a question, in the order of question ids.

    Args:
        vlm, pictures: the model and what it looks at.
        questions: rows of the questions table, or what a protocol makes of them.
        settings: see :func:`predict`.

    Raises:
        ValueError: a prompt is longer than the model's context; the message names the question.
    """
    protocol = load_protocol(settings)
    batches = _batches(with_prompts(vlm, pictures, questions, protocol), protocol, settings["batch_size"])
    found = [prediction for groups in batches for prediction in _answer(vlm, pictures, groups, protocol)]
    return sorted(found, key=itemgetter("question_id"))


def _batches(questions: Sequence[dict[str, Any]], protocol: Protocol, size: int) -> list[list[list[dict[str, Any]]]]:
    """The questions by pack, so many packs at a time."""
    ordered = sorted(questions, key=itemgetter(*protocol.pack_by, "question_id"))
    groups = [list(rows) for _, rows in groupby(ordered, itemgetter(*protocol.pack_by))]
    # Longest first: what does not fit in memory fails at once, and packs of one length lie together. By characters,
    # for tokens are made a batch at a time: those of all questions together would not fit.
    groups.sort(key=lambda rows: -sum(len(text) for row in rows for text in (row["question"], *row["options"])))
    return [groups[start : start + size] for start in range(0, len(groups), size)]


@torch.no_grad()
def _answer(
    vlm: VisionLanguageModel, pictures: Pictures, groups: Sequence[list[dict[str, Any]]], protocol: Protocol
) -> list[dict[str, Any]]:
    """The predictions of one batch."""
    opened: list[_Asked] = []
    waiting: list[Waiting] = []
    found: list[dict[str, Any]] = []
    for rows in groups:
        asked = [_ask(vlm, pictures, row, protocol) for row in rows]
        classified, left = _read(vlm, pictures, asked, protocol)
        found += classified
        if left is not None:
            opened += [a for a in asked if a.is_open]
            waiting.append(left)
    written = decode_greedily(vlm, waiting, protocol.max_new_tokens)
    return found + [_written(vlm, a, tokens, protocol) for a, tokens in zip(opened, written, strict=True)]


def with_prompts(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[dict[str, Any]], protocol: Protocol
) -> list[dict[str, Any]]:
    """The questions, each with its ``prompt``; one that is longer than the model's context is refused before any is read.

    Raises:
        ValueError: one is; the message names the question.
    """
    found = [row | {"prompt": protocol.prompt(row, vlm)} for row in questions]
    for row in found:
        name = f"question {row['question_id']!r}"
        vlm.check_length(name, row["prompt"], protocol.candidates(row), pictures, prompt_images(row))
    return found


def _ask(vlm: VisionLanguageModel, pictures: Pictures, row: dict[str, Any], protocol: Protocol) -> _Asked:
    requests = vlm.requests(row["prompt"], protocol.candidates(row), pictures, prompt_images(row), end=False)
    return _Asked(row, tuple(requests))


def _read(
    vlm: VisionLanguageModel, pictures: Pictures, asked: Sequence[_Asked], protocol: Protocol
) -> tuple[list[dict[str, Any]], Waiting | None]:
    """Read the questions on one pack: predictions of multiple choice, and the open questions, if any, that wait.

    One pack at a time, so that no score depends on the company it is read in, to the last bit.
    """
    packed = pack([request for a in asked for request in a.requests], vlm.image_token)
    batch = collate([packed], pad_token=vlm.pad_token).to(vlm.device)
    cache = DynamicCache()
    hidden = vlm.hidden_states(batch, pictures, cache)
    likelihoods = _sum_by_request(vlm, hidden, batch)
    classified: list[dict[str, Any]] = []
    paths: list[np.ndarray] = []
    first = 0
    for a in asked:
        last = first + len(a.requests)
        if a.is_open:
            paths.append(packed.paths[first])
        else:
            classified.append(_classified(a, likelihoods[first:last], protocol))
        first = last
    if not paths:
        return classified, None
    kept = np.unique(np.concatenate(paths))  # the options' words are of no use any more
    nodes = torch.from_numpy(kept).to(vlm.device)
    ends = torch.tensor([path[-1] for path in paths], device=vlm.device)
    return classified, Waiting(
        cache=[_take(layer, nodes) for layer in cache.layers],
        seen=torch.from_numpy(np.stack([np.isin(kept, path) for path in paths])),
        token=vlm.base.get_output_embeddings()(hidden[0, ends]).argmax(-1).tolist(),
        position=[int(packed.positions[:, path[-1]].max()) + 1 for path in paths],
    )


def _take(layer: Any, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of some nodes, taken out of a layer of the cache: never all layers twice."""
    taken = layer.keys[:, :, nodes], layer.values[:, :, nodes]
    layer.keys = layer.values = None
    return taken


def _sum_by_request(vlm: VisionLanguageModel, hidden: Tensor, batch: Batch) -> list[float]:
    if not len(batch.targets):
        return [0.0] * batch.n_examples
    token = selective_log_softmax(vlm.answer_logits(hidden, batch), batch.targets)
    return token.new_zeros(batch.n_examples).index_add(0, batch.example, token).tolist()


def _classified(asked: _Asked, likelihoods: list[float], protocol: Protocol) -> dict[str, Any]:
    tokens = [len(request.answer) for request in asked.requests]
    choice = choose(likelihoods, tokens, per_token=protocol.per_token(asked.row["task"]))
    return _prediction(
        asked,
        asked.row["options"][choice],
        choice=choice,
        correct=choice == asked.row["answer_index"],
        option_log_likelihoods=likelihoods,
        option_tokens=tokens,
    )


def _prediction(asked: _Asked, text: str, **more: Any) -> dict[str, Any]:
    return {
        "question_id": asked.row["question_id"],
        "prompt": asked.row["prompt"],
        "output": text,
        "reference": asked.row["answer"],
        "option_log_likelihoods": [],
        "option_tokens": [],
        **more,
    }


def _written(vlm: VisionLanguageModel, asked: _Asked, tokens: Sequence[int], protocol: Protocol) -> dict[str, Any]:
    text = protocol.extract_answer(vlm.tokenizer.decode(tokens, skip_special_tokens=True))
    choice = protocol.parse_choice(asked.row, text)
    correct = None if choice is None else choice == asked.row["answer_index"]
    return _prediction(asked, text, choice=-1 if choice is None else choice, correct=correct)
