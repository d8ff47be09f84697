"""Inference: the answers of one model to queries about people, in batches.

The queries of a group share their picture, which is encoded and read once: :func:`unsee.models.packing.split` cuts each task's pack behind
the picture, and every task reads the rest of its pack behind the same keys and values. Multiple choice is scored in that forward pass.
Open questions are continued greedily from the keys and values of that pass.

Each task has separate forward passes. Its answers are therefore the same, to the last bit, for any selection of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unsee.evaluation.decoding import OpenQuestions, decode_greedily
from unsee.evaluation.pack_cache import PackCache
from unsee.evaluation.queries import Query
from unsee.models.examples import split_examples
from unsee.models.likelihood import selective_log_softmax
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch, Pack, Request, collate, pack, split
from unsee.models.pictures import Pictures

#: A row of :data:`unsee.evaluation.shards.ANSWERS`.
Answer = dict[str, Any]


class TaskPack:
    """The queries of one task in one group, as a pack in two parts.

    Attributes:
        row: the group's row in the cache.
        queries: the queries.
        parts: the pack, split behind its pictures.
        requests: how many requests each query has: one for each candidate, or the prompt alone.
        open_paths: the nodes of each open question in the rest.
        stored: the nodes of the rest that open questions see, sorted; their keys and values are stored for decoding.
    """

    def __init__(self, vlm: VisionLanguageModel, pictures: Pictures, row: int, queries: Sequence[Query]) -> None:
        requests = [_requests(vlm, pictures, query) for query in queries]
        self.row, self.queries = row, queries
        self.parts = split(pack([request for one in requests for request in one], vlm.image_token))
        self.requests = [len(one) for one in requests]
        paths = iter(self.parts.rest.paths)
        firsts = [[next(paths) for _ in one][0] for one in requests]
        self.open_paths = [path for path, query in zip(firsts, queries, strict=True) if _is_open(query)]
        self.stored = np.unique(np.concatenate(self.open_paths)) if self.open_paths else np.zeros(0, dtype=np.int64)

    @property
    def prefix_length(self) -> int:
        return int(self.parts.seen.shape[1])


#: The packs of one batch of queries, by task.
TaskPacks = Mapping[str, Sequence[TaskPack]]


def answer(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    groups: Sequence[Sequence[Query]],
    tasks: Sequence[str],
    max_new_tokens: int,
) -> dict[str, list[Answer]]:
    """The answers to one batch of queries, by task.

    Args:
        vlm: the model.
        pictures: the pictures of all queries.
        groups: the queries of each group, with those of all tasks.
        tasks: the tasks to answer.
        max_new_tokens: the most tokens of a written answer.
    """
    return answer_batch(vlm, pictures, lay_out(vlm, pictures, groups, tasks), max_new_tokens)


def lay_out(
    vlm: VisionLanguageModel, pictures: Pictures, groups: Sequence[Sequence[Query]], tasks: Sequence[str]
) -> TaskPacks:
    """Lay out one batch of queries as packs, which do not depend on the model's weights; arguments as for :func:`answer`."""
    return {
        task: [
            TaskPack(vlm, pictures, row, queries)
            for row, group in enumerate(groups)
            if (queries := [query for query in group if query.task == task])
        ]
        for task in tasks
    }


@torch.inference_mode()
def answer_batch(
    vlm: VisionLanguageModel, pictures: Pictures, packs: TaskPacks, max_new_tokens: int
) -> dict[str, list[Answer]]:
    """The answers to one batch of queries, by task; ``packs`` are from :func:`lay_out`, the other arguments as for :func:`answer`."""
    start = max((p.prefix_length for task_packs in packs.values() for p in task_packs), default=0)
    columns = start + max(map(_columns, packs.values(), [max_new_tokens] * len(packs)), default=0)
    rows = max((p.row + 1 for task_packs in packs.values() for p in task_packs), default=0)
    cache = PackCache(rows, start, columns)
    in_cache: dict[int, Pack] = {}
    return {
        task: _answer_task(vlm, pictures, cache, in_cache, task_packs, max_new_tokens)
        for task, task_packs in packs.items()
    }


def _columns(packs: Sequence[TaskPack], max_new_tokens: int) -> int:
    """The number of cache columns that a task needs behind the prefixes."""
    widest = max((len(p.stored) for p in packs), default=0)
    return widest + max((len(p.open_paths) for p in packs), default=0) * max_new_tokens


def _answer_task(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    cache: PackCache,
    in_cache: dict[int, Pack],
    packs: Sequence[TaskPack],
    max_new_tokens: int,
) -> list[Answer]:
    """The answers to one task; ``in_cache`` is the prefix in each row of the cache, and is updated."""
    answers: list[Answer] = []
    to_decode: list[OpenQuestions] = []
    for p in packs:
        prefix = p.parts.prefix
        if prefix is not None and not _same(in_cache.get(p.row), prefix):
            _read_prefix(vlm, pictures, cache, in_cache, p.row, prefix)
        scored, opened = _read_rest(vlm, pictures, cache, p)
        answers += scored
        if opened is not None:
            to_decode.append(opened)
    texts = iter(decode_greedily(vlm, cache, to_decode, max_new_tokens))
    for query in (query for p in packs for query in p.queries if _is_open(query)):
        text = vlm.tokenizer.decode(next(texts), skip_special_tokens=True)
        answers.append(_row(query, text=text, option_log_likelihoods=[], option_tokens=[]))
    return answers


def _same(one: Pack | None, other: Pack) -> bool:
    return (
        one is not None
        and one.image_ids == other.image_ids
        and np.array_equal(one.tokens, other.tokens)
        and np.array_equal(one.ends, other.ends)
    )


def _read_prefix(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    cache: PackCache,
    in_cache: dict[int, Pack],
    row: int,
    prefix: Pack,
) -> None:
    """Read a prefix into a row of the cache. Examples are read in a pass of their own, or copied from a row that has them."""
    examples, behind = split_examples(prefix)
    first = 0
    if examples is not None:
        first = len(examples)
        rows = (r for r, other in in_cache.items() if _same(split_examples(other)[0], examples))
        if (source := next(rows, None)) is None:
            _read_part(vlm, pictures, cache.read_prefix(row, len(prefix), 0, first), examples, 0)
        elif source != row or len(in_cache[row]) != len(prefix):
            cache.copy_prefix(source, len(in_cache[source]), row, len(prefix), first)
    in_cache[row] = prefix
    _read_part(vlm, pictures, cache.read_prefix(row, len(prefix), first, len(behind)), behind, first)


def _read_part(vlm: VisionLanguageModel, pictures: Pictures, cache: PackCache, part: Pack, seen: int) -> None:
    """Read a part of a prefix behind ``seen`` tokens."""
    batch = collate([part], pad_token=vlm.pad_token, seen=np.ones((len(part), seen), dtype=bool)).to(vlm.device)
    vlm.hidden_states(batch, pictures, cache)


def _read_rest(
    vlm: VisionLanguageModel, pictures: Pictures, cache: PackCache, p: TaskPack
) -> tuple[list[Answer], OpenQuestions | None]:
    """Read a pack behind its prefix; returns the answers to multiple choice, and the open questions, if any.

    Packs are read one at a time, so that no score depends on the other packs of the batch, to the last bit.
    """
    rest, seen = p.parts.rest, p.parts.seen
    batch = collate([rest], pad_token=vlm.pad_token, seen=seen).to(vlm.device)
    stored = torch.from_numpy(p.stored).to(vlm.device) if len(p.stored) else None
    hidden = vlm.hidden_states(batch, pictures, cache.read_rest(p.row, p.prefix_length, stored))
    likelihoods = _sum_by_request(vlm, hidden, batch)
    tokens = [len(path) - k for path, k in zip(rest.paths, rest.prompt_lengths, strict=True)]
    answers: list[Answer] = []
    first = 0
    for query, n in zip(p.queries, p.requests, strict=True):
        span = slice(first, first + n)
        if not _is_open(query):
            answers.append(_row(query, text=None, option_log_likelihoods=likelihoods[span], option_tokens=tokens[span]))
        first += n
    if not p.open_paths:
        return answers, None
    ends = np.array([path[-1] for path in p.open_paths])
    return answers, OpenQuestions(
        row=p.row,
        prefix=torch.from_numpy(seen[ends]),
        rest=torch.from_numpy(np.stack([np.isin(p.stored, path) for path in p.open_paths])),
        token=vlm.base.get_output_embeddings()(hidden[0, torch.from_numpy(ends).to(vlm.device)]).argmax(-1).tolist(),
        position=(rest.positions[:, ends].max(0) + 1).tolist(),
    )


def _sum_by_request(vlm: VisionLanguageModel, hidden: Tensor, batch: Batch) -> list[float]:
    if not len(batch.targets):
        return [0.0] * batch.n_examples
    token = selective_log_softmax(vlm.answer_logits(hidden, batch), batch.targets)
    return token.new_zeros(batch.n_examples).index_add(0, batch.example, token).tolist()


def _is_open(query: Query) -> bool:
    return query.candidates == (None,)


def _requests(vlm: VisionLanguageModel, pictures: Pictures, query: Query) -> list[Request]:
    return vlm.requests(query.prompt, query.candidates, pictures, query.image_ids, end=False)


def _row(query: Query, **answer: Any) -> Answer:
    return {"question_id": query.question_id, "prompt": query.prompt, **answer}


def check_lengths(vlm: VisionLanguageModel, pictures: Pictures, queries: Sequence[Query]) -> None:
    """Check that all prompts fit the model's context, before any is read.

    Raises:
        ValueError: a prompt does not; the message names the question.
    """
    for query in queries:
        vlm.check_length(f"question {query.question_id!r}", query.prompt, query.candidates, pictures, query.image_ids)
