"""Inference: every answer of one model run, in one job.

All questions about a person share one pack (:mod:`unsee.models.packing`): a picture is encoded and read once, a
question's options share the question. Multiple choice is scored in that one pass and decodes nothing; open questions are continued
greedily from the keys and values that the pass left behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from unsee.benchmarks.schema import read_table
from unsee.evaluation import prompts
from unsee.evaluation.classification import choose
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import Batch, Pack, Request, collate, pack
from unsee.models.pictures import Pictures
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


def predict(
    model: dict[str, Any],
    benchmark: Path,
    *,
    adapters: Sequence[Path],
    forget_percents: Sequence[int],
    settings: dict[str, Any],
    threads: int,
    output: Path,
) -> None:
    """Answer the benchmark's questions and write predictions.parquet.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        adapters: what is stacked on the base: nothing, vanilla, vanilla and an unlearned one, or retain-only.
        forget_percents: whose test questions are asked: of the people forgotten at any of these ratios.
        settings: ``classification`` (``likelihood`` or ``letter``), ``batch_size`` (people at a time), ``max_new_tokens``.
        threads: of this job.
        output: the parquet file.
    """
    torch.set_num_threads(threads)
    questions = select(benchmark, forget_percents)
    vlm = load(model, adapters)
    images = read_images(benchmark, {row["image_id"] for row in questions if row["image_id"]})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    rows = answer(vlm, pictures, questions, settings)
    pq.write_table(pa.Table.from_pylist(rows, PREDICTIONS), output)


def select(benchmark: Path, forget_percents: Sequence[int]) -> list[dict[str, Any]]:
    """The questions that a run at these ratios must answer."""
    forgotten = {person for percent in forget_percents for person in people(benchmark, percent, "forget")}
    table = read_table(benchmark, "questions")
    asked = pc.or_(
        pc.not_equal(table["origin"], "test"),
        pc.is_in(table["person_id"], value_set=pa.array(sorted(forgotten), pa.string())),
    )
    return list(table.filter(asked).sort_by("question_id").to_pylist())


@torch.no_grad()
def answer(
    vlm: VisionLanguageModel, pictures: Pictures, questions: Sequence[dict[str, Any]], settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """One prediction a question, in the order of question ids.

    Args:
        vlm, pictures: the model and what it looks at.
        questions: rows of the questions table.
        settings: see :func:`predict`.
    """
    groups = []
    key = lambda row: (row["origin"], row["person_id"])  # noqa: E731
    for _, rows in groupby(sorted(questions, key=key), key):
        asked = [_ask(vlm, pictures, row, settings["classification"]) for row in rows]
        groups.append((asked, pack([r for a in asked for r in a.requests], vlm.image_token)))
    # Longest first: what does not fit in memory fails at once, and packs of one length lie together.
    groups.sort(key=lambda group: -len(group[1]))
    found: dict[str, dict[str, Any]] = {}
    size = settings["batch_size"]
    for start in tqdm(range(0, len(groups), size), desc="questions", unit="batch", mininterval=5):
        for row in _answer_batch(vlm, pictures, groups[start : start + size], settings["max_new_tokens"]):
            found[row["question_id"]] = row
    return [found[question_id] for question_id in sorted(found)]


def _ask(vlm: VisionLanguageModel, pictures: Pictures, row: dict[str, Any], scoring: str) -> _Asked:
    words = prompts.render(row["task"], row["question"], row["options"], scoring)
    prompt = vlm.prompt(words, with_image=row["image_id"] is not None)
    answers: list[str | None] = [None]
    if row["task"] == "classification":
        answers = list(row["options"] if scoring == "likelihood" else prompts.LETTERS[: len(row["options"])])
    requests = tuple(vlm.request(prompt, a, pictures, row["image_id"], end=False) for a in answers)
    return _Asked(row, prompt, requests)


def _answer_batch(
    vlm: VisionLanguageModel, pictures: Pictures, groups: Sequence[tuple[list[_Asked], Pack]], max_new_tokens: int
) -> Iterator[dict[str, Any]]:
    batch = collate([p for _, p in groups], pad_token=vlm.pad_token, image_token=vlm.image_token).to(vlm.device)
    cache = DynamicCache()
    hidden = vlm.hidden_states(batch, pictures, cache)
    likelihoods = _sum_by_request(vlm, hidden, batch)

    number = 0
    open_questions: list[tuple[_Asked, int, np.ndarray, int]] = []
    for row, (asked, packed) in enumerate(groups):
        first = 0
        for a in asked:
            if a.row["task"] == "classification":
                yield _classified(a, likelihoods[number : number + len(a.requests)])
            else:
                path = packed.paths[first]
                open_questions.append((a, row, path, int(packed.positions[:, path[-1]].max()) + 1))
            number += len(a.requests)
            first += len(a.requests)
    if open_questions:
        rows = [row for _, row, _, _ in open_questions]
        outputs = _continue(
            vlm,
            hidden,
            cache,
            rows,
            [path for _, _, path, _ in open_questions],
            [position for _, _, _, position in open_questions],
            max_new_tokens,
        )
        for (a, _, _, _), tokens in zip(open_questions, outputs, strict=True):
            text = vlm.tokenizer.decode(tokens, skip_special_tokens=True).strip()
            yield _prediction(a, text, choice=-1, correct=None)


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


def _continue(
    vlm: VisionLanguageModel,
    hidden: Tensor,
    cache: DynamicCache,
    rows: Sequence[int],
    paths: Sequence[np.ndarray],
    positions: Sequence[int],
    max_new_tokens: int,
) -> list[list[int]]:
    """Continue prompts greedily from the keys and values of the packs they lie in.

    Args:
        hidden, cache: of the packs, (b, n, hidden) and one (b, heads, n, size) a layer.
        rows: the pack of each prompt.
        paths: the nodes of each prompt.
        positions: the rotary position of each prompt's next token.
        max_new_tokens: where to stop at the latest.

    Returns:
        The new tokens of each prompt, without the end-of-sequence token.
    """
    device = hidden.device
    longest = max(len(path) for path in paths)
    row = torch.tensor(rows, device=device)
    nodes = torch.zeros(len(paths), longest, dtype=torch.long)
    seen = torch.zeros(len(paths), longest, dtype=torch.bool)
    for i, path in enumerate(paths):  # left-padded, so that new tokens stand behind every prompt
        nodes[i, longest - len(path) :] = torch.from_numpy(path)
        seen[i, longest - len(path) :] = True
    nodes, seen = nodes.to(device), seen.to(device)
    own = DynamicCache()
    for i, (keys, values, *_) in enumerate(cache):
        keys, values = (part[row[:, None], :, nodes].transpose(1, 2).contiguous() for part in (keys, values))
        own.update(keys, values, i)
    decoder = vlm.family.language_model(vlm.base)
    head = vlm.base.get_output_embeddings()
    embed = vlm.base.get_input_embeddings()
    next_position = torch.tensor(positions, device=device)
    token = head(hidden[row, nodes[:, -1]]).argmax(-1)
    outputs: list[list[int]] = [[] for _ in paths]
    alive = list(range(len(paths)))
    for step in range(max_new_tokens):
        going = [j for j, t in enumerate(token.tolist()) if t != vlm.tokenizer.eos_token_id]
        for j in going:
            outputs[alive[j]].append(int(token[j]))
        if not going or step + 1 == max_new_tokens:
            break
        if len(going) < len(alive):
            alive = [alive[j] for j in going]
            index = torch.tensor(going, device=device)
            token, seen, next_position = token[index], seen[index], next_position[index]
            own.batch_select_indices(index)
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        output = decoder(
            inputs_embeds=embed(token[:, None]),
            attention_mask=seen[:, None, None],
            position_ids=next_position[:, None],
            past_key_values=own,
            use_cache=True,
        )
        token = head(output.last_hidden_state[:, -1]).argmax(-1)
        next_position = next_position + 1
    return outputs
