"""Inference: every answer of one model run, in one job.

All questions about a person share one pack (:mod:`unsee.models.packing`): a picture is encoded and read once, a
question's options share the question. Multiple choice is scored in that one pass and decodes nothing; open questions are continued
greedily from the keys and values that the pass left behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
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
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from unsee.benchmarks.schema import read_table
from unsee.cache import Cache
from unsee.evaluation import protocols, shards
from unsee.evaluation.classification import choose
from unsee.evaluation.protocols import Asking
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import Batch, Request, collate, pack
from unsee.models.pictures import Pictures
from unsee.resume import Unfinished
from unsee.training.pairs import people, read_images
from unsee.training.scores import selective_log_softmax

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
    """A question, its prompt and the requests that answer it: one for each option, or the prompt alone."""

    row: dict[str, Any]
    prompt: str
    requests: tuple[Request, ...]


@dataclass
class _Waiting:
    """Open questions on one pack, q of them, read and to be answered.

    Attributes:
        asked: the questions.
        cache: keys and values of the n tokens that some of them see, (1, heads, n, size) each, one pair a layer.
        seen: which of those tokens are a question's own, (q, n).
        token, position: the first token of each answer, and its rotary position.
    """

    asked: list[_Asked]
    cache: list[tuple[Tensor, Tensor]]
    seen: Tensor
    token: list[int]
    position: list[int]


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
    unfinished: Unfinished | None = None,
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
        cache: folder of what jobs share, see :mod:`unsee.cache`.
        only: columns of the questions table and the value that a question must have there to be asked.
        unfinished: where an earlier start of this job left its answers, see :mod:`unsee.resume`.
    """
    torch.set_num_threads(threads)
    asking = protocols.make(settings)
    questions = plan(benchmark, forget_percents, asking)
    questions = [row for row in questions if all(row[column] == value for column, value in (only or {}).items())]
    vlm = load(model, adapters)
    images = read_images(benchmark, {image_id for row in questions for image_id in protocols.pictures(row)})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images, cache=Cache(cache))
    check_lengths(vlm, pictures, questions, asking)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) if unfinished is None else unfinished.folder
        found, batches = [], _batches(questions, asking, settings["batch_size"])
        for i, groups in enumerate(tqdm(batches, unit="batch", mininterval=5)):
            shard = shards.find(folder, i, [row["question_id"] for rows in groups for row in rows])
            found.append(shard or shards.write(folder, i, _answer(vlm, pictures, groups, asking), PREDICTIONS))
        shards.join(found, PREDICTIONS, output)
    if unfinished is not None:
        unfinished.clear()


def select(benchmark: Path, forget_percents: Sequence[int]) -> list[dict[str, Any]]:
    """The questions that a run at these ratios must answer."""
    forgotten = {person for percent in forget_percents for person in people(benchmark, percent, "forget")}
    table = read_table(benchmark, "questions")
    asked = pc.or_(
        pc.not_equal(table["origin"], "test"),
        pc.is_in(table["person_id"], value_set=pa.array(sorted(forgotten), pa.string())),
    )
    return list(table.filter(asked).sort_by("question_id").to_pylist())


def plan(benchmark: Path, forget_percents: Sequence[int], asking: Asking) -> list[dict[str, Any]]:
    """The questions that a run at these ratios answers, as a protocol asks them."""
    splits = read_table(benchmark, "splits").to_pandas()
    image_ids = read_table(benchmark, "images", ["image_id"])["image_id"].to_pylist()
    rows = asking.rows(select(benchmark, forget_percents), splits, image_ids, forget_percents)
    log.info("protocol %s, version %d: %d questions", asking.name, asking.version, len(rows))
    return rows


def answer(
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
    asking = protocols.make(settings)
    check_lengths(vlm, pictures, questions, asking)
    batches = _batches(questions, asking, settings["batch_size"])
    found = [prediction for groups in batches for prediction in _answer(vlm, pictures, groups, asking)]
    return sorted(found, key=itemgetter("question_id"))


def _batches(questions: Sequence[dict[str, Any]], asking: Asking, size: int) -> list[list[list[dict[str, Any]]]]:
    """The questions by pack, so many packs at a time."""
    ordered = sorted(questions, key=itemgetter(*asking.together, "question_id"))
    groups = [list(rows) for _, rows in groupby(ordered, itemgetter(*asking.together))]
    # Longest first: what does not fit in memory fails at once, and packs of one length lie together. By characters,
    # for tokens are made a batch at a time: those of all questions together would not fit.
    groups.sort(key=lambda rows: -sum(len(text) for row in rows for text in (row["question"], *row["options"])))
    return [groups[start : start + size] for start in range(0, len(groups), size)]


@torch.no_grad()
def _answer(
    vlm: VisionLanguageModel, pictures: Pictures, groups: Sequence[list[dict[str, Any]]], asking: Asking
) -> list[dict[str, Any]]:
    """The predictions of one batch."""
    waiting: list[_Waiting] = []
    found: list[dict[str, Any]] = []
    for rows in groups:
        asked = [_ask(vlm, pictures, row, asking) for row in rows]
        found += _read(vlm, pictures, asked, waiting)
    return found + list(_write(vlm, waiting, asking))


def check_lengths(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[dict[str, Any]], asking: Asking
) -> None:
    """Refuse prompts that are longer than the model's context, before any is read.

    Raises:
        ValueError: one is; the message names the question.
    """
    for row in questions:
        name = f"question {row['question_id']!r}"
        vlm.check_length(name, asking.prompt(row, vlm), asking.answers(row), pictures, protocols.pictures(row))


def _ask(vlm: VisionLanguageModel, pictures: Pictures, row: dict[str, Any], asking: Asking) -> _Asked:
    prompt = asking.prompt(row, vlm)
    requests = vlm.requests(prompt, asking.answers(row), pictures, protocols.pictures(row), end=False)
    return _Asked(row, prompt, tuple(requests))


def _read(
    vlm: VisionLanguageModel, pictures: Pictures, asked: Sequence[_Asked], waiting: list[_Waiting]
) -> Iterator[dict[str, Any]]:
    """Read the questions on one pack: answer multiple choice, add the open questions to those that wait.

    One pack at a time, so that no score depends on the company it is read in, to the last bit.
    """
    packed = pack([request for a in asked for request in a.requests], vlm.image_token)
    batch = collate([packed], pad_token=vlm.pad_token).to(vlm.device)
    cache = DynamicCache()
    hidden = vlm.hidden_states(batch, pictures, cache)
    likelihoods = _sum_by_request(vlm, hidden, batch)
    opened: list[_Asked] = []
    paths: list[np.ndarray] = []
    first = 0
    for a in asked:
        last = first + len(a.requests)
        if a.requests[0].answer:
            yield _classified(a, likelihoods[first:last])
        else:
            opened.append(a)
            paths.append(packed.paths[first])
        first = last
    if opened:
        kept = np.unique(np.concatenate(paths))  # the options' words are of no use any more
        nodes = torch.from_numpy(kept).to(vlm.device)
        ends = torch.tensor([path[-1] for path in paths], device=vlm.device)
        waiting.append(
            _Waiting(
                opened,
                [(keys[:, :, nodes], values[:, :, nodes]) for keys, values, *_ in cache],
                torch.from_numpy(np.stack([np.isin(kept, path) for path in paths])),
                vlm.base.get_output_embeddings()(hidden[0, ends]).argmax(-1).tolist(),
                [int(packed.positions[:, path[-1]].max()) + 1 for path in paths],
            )
        )


def _sum_by_request(vlm: VisionLanguageModel, hidden: Tensor, batch: Batch) -> list[float]:
    if not len(batch.targets):
        return [0.0] * batch.n_examples
    token = selective_log_softmax(vlm.answer_logits(hidden, batch), batch.targets)
    return token.new_zeros(batch.n_examples).index_add(0, batch.example, token).tolist()


def _classified(asked: _Asked, likelihoods: list[float]) -> dict[str, Any]:
    tokens = [len(request.answer) for request in asked.requests]
    choice = choose(likelihoods, tokens)
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
        "prompt": asked.prompt,
        "output": text,
        "reference": asked.row["answer"],
        "option_log_likelihoods": [],
        "option_tokens": [],
        **more,
    }


def _write(vlm: VisionLanguageModel, waiting: Sequence[_Waiting], asking: Asking) -> Iterator[dict[str, Any]]:
    questions = [a for pack in waiting for a in pack.asked]
    for a, tokens in zip(questions, _continue(vlm, waiting, asking.max_new_tokens) if waiting else [], strict=True):
        text = asking.output(vlm.tokenizer.decode(tokens, skip_special_tokens=True))
        choice = asking.choice(a.row, text)
        correct = None if choice is None else choice == a.row["answer_index"]
        yield _prediction(a, text, choice=-1 if choice is None else choice, correct=correct)


def _continue(vlm: VisionLanguageModel, waiting: Sequence[_Waiting], max_new_tokens: int) -> list[list[int]]:
    """Continue open questions greedily from the keys and values of their packs.

    A row is a pack, and all its questions write at once, each a token a step: they share the picture's and each
    other's common keys, and a question sees its own words only. Packs are padded on the left, so that new
    words stand behind every prompt. A question that has ended takes no further part.

    Returns:
        The new tokens of each question, without the token that ended it.
    """
    device, end = vlm.device, vlm.tokenizer.eos_token_id
    ends = torch.tensor(sorted(vlm.end_tokens))
    b, q = len(waiting), max(len(w.asked) for w in waiting)
    n = max(w.seen.shape[1] for w in waiting)
    cache = DynamicCache()
    for layer in range(len(waiting[0].cache)):
        keys, values = (
            torch.cat([F.pad(w.cache[layer][part], (0, 0, n - w.seen.shape[1], 0)) for w in waiting]) for part in (0, 1)
        )
        cache.update(keys, values, layer)
        for w in waiting:
            w.cache[layer] = (keys[:0], values[:0])  # never all of them twice
    seen = torch.zeros(b, q, n, dtype=torch.bool)
    token = torch.full((b, q), end)
    position = torch.zeros(b, q, dtype=torch.long)
    number = torch.full((b, q), -1)  # which question writes in which place
    outputs: list[list[int]] = []
    for row, w in enumerate(waiting):
        k = len(w.asked)
        seen[row, :k, n - w.seen.shape[1] :] = w.seen
        token[row, :k], position[row, :k] = torch.tensor(w.token), torch.tensor(w.position)
        number[row, :k] = torch.arange(len(outputs), len(outputs) + k)
        outputs += [[] for _ in w.asked]
    decoder, embed, head = (
        vlm.family.language_model(vlm.base),
        vlm.base.get_input_embeddings(),
        vlm.base.get_output_embeddings(),
    )
    for step in range(max_new_tokens):
        going = ~torch.isin(token, ends)
        for i, t in zip(number[going].tolist(), token[going].tolist(), strict=True):
            outputs[i].append(t)
        if not going.any() or step + 1 == max_new_tokens:
            break
        rows = going.any(1).nonzero()[:, 0]
        if len(rows) < len(going):
            cache.batch_select_indices(rows.to(device))
        # Places that still write first, no more of them than the busiest row needs.
        places = (~going[rows]).int().argsort(dim=1, stable=True)[:, : int(going.sum(1).max())]
        seen = seen[rows[:, None], places]
        token, position, number = (x[rows[:, None], places] for x in (token, position, number))
        seen = torch.cat([seen, torch.eye(places.shape[1], dtype=torch.bool).expand(len(rows), -1, -1)], dim=2)
        output = decoder(
            inputs_embeds=embed(token.to(device)),
            attention_mask=seen[:, None].to(device),
            position_ids=position.to(device),
            past_key_values=cache,
            use_cache=True,
        )
        # A place that has ended stays ended, whatever the model would say behind its end.
        token = head(output.last_hidden_state).argmax(-1).cpu().where(~torch.isin(token, ends), torch.tensor(end))
        position = position + 1
    return outputs
