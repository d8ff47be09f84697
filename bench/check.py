"""Compare the arithmetic of :mod:`bench.jobs` with measurements on this machine, at two widths: `python -m bench.estimate --check`.

The processor's rates are measured in the same process: of products of the model's own shapes with as many rows as a pass has, and of
attention. A factor for training and one for answering, :data:`EFFICIENCY`, stand for everything that is not counted (norms, activations,
tokenisation, Python).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from bench import full_size, geometry
from bench.jobs import Prompting, reading, writing
from bench.operations import Cost, causal, training_pass
from unsee import memory
from unsee.evaluation.settings import TASKS
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Request, pack, split
from unsee.models.pictures import Pictures

#: The share of the measured rates that whole passes reach on a CPU, fitted to this check on a quiet machine.
EFFICIENCY = {"training": 0.64, "answering": 0.43}
#: The largest ratio of predicted and measured seconds, either way, that passes.
CLOSE = 1.25
WIDTHS = (256, 384)
PEOPLE, PAIRS, PAIRS_AT_A_TIME = 4, 8, 4


def shape(width: int) -> full_size.Shape:
    """A LLaVA of a width, whose pictures have 144 tokens."""
    narrow = replace(geometry.LLAVA, name=f"width {width}", image=168, vocabulary=8192)
    return replace(narrow, width=width, hidden=8 * width // 3, heads=width // 64, kv_heads=width // 64)


def shapes_of(vlm: VisionLanguageModel, image: int) -> memory.Shapes:
    """The shapes of a model in memory."""
    pictures = vlm.processor.image_processor.to_dict()
    shapes = memory.read_shapes(vlm.base.config.to_dict(), pictures, "float32", (image, image))
    assert shapes is not None
    return shapes


def training_cost(shapes: memory.Shapes, requests: list[Request], rank: int) -> Cost:
    """The cost of training once on each request, in a sequence of its own."""
    costs = (
        training_pass(
            shapes,
            len(request.tokens),
            causal(len(request.tokens)),
            len(request.answer),
            rank=rank,
            scope="language",
            checkpointing=False,
        )
        for request in requests
    )
    return sum(costs, Cost())


def lengths_of(work: geometry.Work) -> memory.Lengths:
    """The lengths of the questions about the first person, as the arithmetic takes them."""
    pictures, questions = work.pictures(), 0
    for task in TASKS:
        queries = [query for query in work.groups[0] if query.task == task]
        requests = [
            request for q in queries for request in work.vlm.requests(q.prompt, q.candidates, pictures, q.image_ids)
        ]
        questions += len(split(pack(requests, work.vlm.image_token)).rest)
    return memory.Lengths(
        words=0, answer=0, pairs=1, questions=questions, options=0, open=8, picture=(0, 0), people=len(work.groups)
    )


def attention_rate(shapes: memory.Shapes, tokens: int) -> float:
    """Operations per second of attention in a sequence."""
    x = torch.randn(1, shapes.heads, tokens, shapes.head_width)
    best = min(_seconds(lambda: F.scaled_dot_product_attention(x, x, x, is_causal=True)) for _ in range(5))
    return 4 * shapes.query_width * causal(tokens) / best


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def rows(width: int, repeats: int = 3) -> Iterator[tuple[str, float, float]]:
    """(what, predicted seconds, measured seconds) at a width."""
    sizes = shape(width)
    vlm = geometry.trained_model(sizes)
    shapes = shapes_of(vlm, sizes.image)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, full_size.questions(1, sizes)[1])
    examples = full_size.pairs(1, PAIRS)
    requests = [vlm.request(vlm.prompt(p.question, with_image=True), p.answer, pictures, p.image_id) for p in examples]
    pictures.features([examples[0].image_id or ""])
    linear = [s for s in geometry.linear_shapes(vlm) if s[1] != shapes.vocabulary and min(s) > 8]
    tokens = len(requests[0].tokens)
    # One measurement of each kind in turn, so that other load on the machine affects all of them.
    measured, rates = [], []
    for _ in range(repeats):
        measured.append(_seconds(lambda: geometry.step_gradient(vlm, pictures, examples, packed=False)))
        rates.append((geometry.matrix_rate(linear, PAIRS_AT_A_TIME * tokens, 1), attention_rate(shapes, tokens)))
    cost = training_cost(shapes, requests, 8)
    yield f"training, width {width}", _predicted(cost, *_best(rates), "training"), min(measured)
    yield from _answering(sizes, repeats)


def _answering(sizes: full_size.Shape, repeats: int) -> Iterator[tuple[str, float, float]]:
    work = geometry.work(sizes, PEOPLE, {"protocol": "mmunlearner", "shots": 0})
    shapes, lengths = shapes_of(work.vlm, sizes.image), lengths_of(work)
    prompting = Prompting(PEOPLE, (), True, geometry.NEW_TOKENS)
    linear = [s for s in geometry.linear_shapes(work.vlm)]
    decoder = [s for s in linear if s[1] != shapes.vocabulary]
    wide, narrow, measured = [], [], []
    for _ in range(repeats):
        measured.append(_seconds(lambda: geometry.shared_answers(work)))
        wide.append((geometry.matrix_rate(decoder, shapes.picture_tokens, 1), attention_rate(shapes, 256)))
        narrow.append((geometry.matrix_rate(linear, PEOPLE * lengths.open // 2, 5), attention_rate(shapes, 256)))
    read = _predicted(reading(shapes, lengths, prompting, PEOPLE), *_best(wide), "answering")
    write = _predicted(writing(shapes, lengths, prompting, PEOPLE), *_best(narrow), "answering")
    yield f"answering, {sizes.name}", read + write, min(measured)


def _best(rates: list[tuple[float, float]]) -> tuple[float, float]:
    products, attention = zip(*rates, strict=True)
    return max(products), max(attention)


def _predicted(cost: Cost, products: float, attention: float, kind: str) -> float:
    return (cost.products / products + cost.attention / attention) / EFFICIENCY[kind]


def main() -> int:
    """Print the comparison; returns 1 if a row is not close."""
    torch.set_num_threads(1)
    print(f"processor seconds; predicted with efficiencies {EFFICIENCY}\n")
    print("| | predicted, s | measured, s | ratio |\n|---|--:|--:|--:|")
    far = False
    for width in WIDTHS:
        for name, predicted, measured in rows(width):
            ratio = predicted / measured
            far |= not 1 / CLOSE <= ratio <= CLOSE
            print(f"| {name} | {predicted:.2f} | {measured:.2f} | {ratio:.2f} |", flush=True)
    return int(far)
