"""Narrow models with the published shape of work: pictures, vocabularies, prompts and lengths as published, widths that a CPU bears.

Weights are random, and scaled so that attention selects few tokens and different questions get different answers. The output projection
has as many rows as published; those without a word in the small tokenizer are zero, so that every answer is a text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F

from bench import plain
from bench.full_size import Shape, build, questions
from unsee.benchmarks.tables import Pair
from unsee.evaluation import engine
from unsee.evaluation.protocol import prompt_images
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.queries import Query
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import pack
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.lora import add_lora
from unsee.training.settings import LoraSettings

#: The loss of a step, and the gradient of each weight of the adapter.
Gradient = tuple[float, list[torch.Tensor]]

#: 336 pixels in patches of 14: 576 tokens a picture.
LLAVA = Shape("LLaVA-1.5 geometry", "llava", 336, 14, 64, 256, 3, 4, 256, 688, 4, 4, 4, 32064)
#: 896 pixels in patches of 14, merged 2 x 2: 1,024 tokens a picture.
QWEN2_VL = Shape("Qwen2-VL geometry", "qwen2_vl", 896, 14, 80, 320, 3, 2, 256, 1344, 4, 4, 1, 152064, (8, 12, 12))
#: The same with small pictures and vocabularies, for tests.
SMALL = {
    "llava": Shape("small LLaVA", "llava", 56, 14, 32, 64, 3, 2, 64, 128, 2, 4, 4, 2048),
    "qwen2_vl": Shape("small Qwen2-VL", "qwen2_vl", 112, 14, 32, 128, 2, 2, 64, 128, 2, 2, 1, 2048, (4, 6, 6)),
}
#: How each family is asked in the published evaluations: MLLMU-Bench's for LLaVA, MMUnlearner's for Qwen2-VL.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "llava": {"protocol": "mllmu-official"},
    "qwen2_vl": {"protocol": "mmunlearner", "shots": 0},
}
#: The published limit of a written answer. A letter ends after two tokens, itself and the end.
NEW_TOKENS = 50
LETTER_TOKENS = 2
#: The people to forget, of whom one is the example of multiple choice and two of cloze. The rest can be asked all questions.
PEOPLE, ASKED = 11, 8


@dataclass(frozen=True)
class Work:
    """A model, and the queries of each person, in groups as the engine takes them."""

    vlm: VisionLanguageModel
    images: list[tuple[str, bytes]]
    groups: list[list[Query]]

    def pictures(self) -> Pictures:
        """The pictures, none of them encoded yet."""
        return Pictures(self.vlm.family, self.vlm.base, self.vlm.processor, self.images)


def work(shape: Shape, people: int, settings: dict[str, Any] | None = None) -> Work:
    """A model of a shape, and the published prompts of all questions about some people.

    The people are those to forget, so that multiple choice and cloze of MLLMU-Bench's protocol begin with examples.

    Args:
        shape: the sizes of the model.
        people: the number of people, at most :data:`ASKED`.
        settings: the protocol and its settings; by default the family's of :data:`PROTOCOLS`.
    """
    vlm = narrow_model(shape)
    protocol = load_protocol(settings or PROTOCOLS[shape.family])
    rows, images = questions(
        PEOPLE, shape
    )  # always as many, so that the examples are the same for any number of people
    everyone = sorted({row["person_id"] for row in rows})
    splits = pd.DataFrame({"person_id": everyone, "forget_percent": 5, "role": "forget"})
    by_person: dict[str, list[Query]] = {}
    for row in protocol.prepare(rows, splits, [], [5]):
        query = Query(row["question_id"], row["task"], protocol.prompt(row, vlm), (None,), tuple(prompt_images(row)))
        by_person.setdefault(row["person_id"], []).append(query)
    whole = [queries for queries in by_person.values() if len(queries) == len(rows) // len(everyone)]
    return Work(vlm, images, whole[:people])


def narrow_model(shape: Shape) -> VisionLanguageModel:
    """A model with scaled random weights (see the module), in evaluation mode."""
    vlm = build(shape, "cpu", torch.float32)
    scales = {"q_proj": 4.0, "k_proj": 4.0, "v_proj": 3.0, "o_proj": 12.0}
    decoder = vlm.family.language_model(vlm.base)
    with torch.no_grad():
        for name, module in decoder.named_modules():
            if (scale := scales.get(name.rpartition(".")[2])) is not None:
                module.weight.mul_(scale)  # type: ignore[operator, union-attr]
        vlm.base.get_input_embeddings().weight.mul_(50.0)  # type: ignore[operator, union-attr]
        head = vlm.base.get_output_embeddings().weight
        tokens = torch.arange(len(head))
        special = torch.tensor(vlm.tokenizer.all_special_ids)
        head[(tokens >= len(vlm.tokenizer)) | torch.isin(tokens, special)] = 0.0  # type: ignore[index]
    return vlm


def limits() -> list[tuple[list[str], int]]:
    """Tasks that are answered together, and the most new tokens of their answers."""
    return [(["classification"], LETTER_TOKENS), (["cloze", "generation"], NEW_TOKENS)]


SHAPES = {"llava": LLAVA, "qwen2_vl": QWEN2_VL, "small-llava": SMALL["llava"], "small-qwen2_vl": SMALL["qwen2_vl"]}


def shared_answers(work: Work) -> dict[str, str]:
    """The engine's answers by question id: everyone in one batch.

    A random model does not end its letters, so that they are limited in a call of their own, which reads the pictures once more.
    """
    pictures, answers = work.pictures(), {}
    for tasks, limit in limits():
        for of_task in engine.answer(work.vlm, pictures, work.groups, tasks, limit).values():
            answers |= {answer["question_id"]: answer["text"].strip() for answer in of_task}
    return answers


def plain_answers(work: Work, batch_size: int) -> dict[str, str]:
    """Answers without sharing, by question id: every prompt is read whole, and its pictures are encoded for it."""
    pictures, answers = work.pictures(), {}
    for tasks, limit in limits():
        for task in tasks:
            queries = [query for group in work.groups for query in group if query.task == task]
            answers |= plain.write(work.vlm, pictures, queries, batch_size=batch_size, max_new_tokens=limit)
    return answers


def useful_tokens(work: Work) -> int:
    """The tokens that any way must read: those of all prompts, equal beginnings once, and the written ones but for each answer's last."""
    pictures, new = work.pictures(), {task: limit for tasks, limit in limits() for task in tasks}
    queries = [query for group in work.groups for query in group]
    requests = [
        request
        for query in queries
        for request in work.vlm.requests(query.prompt, query.candidates, pictures, query.image_ids, end=False)
    ]
    return len(pack(requests, work.vlm.image_token)) + sum(new[query.task] - 1 for query in queries)


def step_gradient(vlm: VisionLanguageModel, pictures: Pictures, examples: Sequence[Pair], *, packed: bool) -> Gradient:
    """The loss and the gradient of the adapter in one step on some people's pairs.

    Args:
        vlm: a model with an adapter.
        pictures: the pictures of the pairs.
        examples: the pairs.
        packed: a sequence per person, or a sequence per pair, four at a time; the gradient is the same.
    """
    parts = units(vlm, pictures, examples, "person" if packed else "none")
    size = 1 if packed else 4
    vlm.model.zero_grad()
    loss = 0.0
    for start in range(0, len(parts), size):
        of_part = score(vlm, batch(vlm, parts[start : start + size]), pictures, n_in_step=len(examples)).nll()
        of_part.backward()  # type: ignore[no-untyped-call]
        loss += float(of_part.detach())
    return loss, [weight.grad.clone() for weight in vlm.model.parameters() if weight.grad is not None]


def trained_model(shape: Shape) -> VisionLanguageModel:
    """A narrow model with an adapter that already changes its outputs, so that both of its matrices have a gradient."""
    vlm = narrow_model(shape)
    add_lora(vlm, LoraSettings(dropout=0.0), 0)
    draw = torch.Generator().manual_seed(0)
    for name, weight in vlm.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0.0, 0.01, generator=draw)
    return vlm


@dataclass
class Computed:
    """What was computed in a block of code.

    Attributes:
        tokens: positions that passed the decoder, padding included.
        products, attention: operations of the linear layers and of attention, hidden positions included, in forward passes.
    """

    tokens: int = 0
    products: float = 0.0
    attention: float = 0.0

    @property
    def flops(self) -> float:
        """All operations."""
        return self.products + self.attention


@contextmanager
def counted(vlm: VisionLanguageModel) -> Iterator[Computed]:
    """Count what a model computes inside the context."""
    count = Computed()

    def linear(module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        count.products += 2 * arguments[0].numel() * module.out_features

    def decoder(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        count.tokens += named["inputs_embeds"].shape[:2].numel()

    attention = F.scaled_dot_product_attention

    def counting(query: torch.Tensor, key: torch.Tensor, *more: Any, is_causal: bool = False, **named: Any) -> Any:
        count.attention += 4 * query.numel() * key.shape[2] / (2 if is_causal else 1)
        return attention(query, key, *more, is_causal=is_causal, **named)

    hooks = [m.register_forward_pre_hook(linear) for m in vlm.base.modules() if isinstance(m, torch.nn.Linear)]
    hooks.append(vlm.family.language_model(vlm.base).register_forward_pre_hook(decoder, with_kwargs=True))
    F.scaled_dot_product_attention = counting
    try:
        yield count
    finally:
        F.scaled_dot_product_attention = attention
        for hook in hooks:
            hook.remove()


def matrix_rate(shapes: Iterable[tuple[int, int]], rows: int = 512, repeats: int = 3) -> float:
    """The operations per processor second of products of the given (in, out) shapes, the fastest of some repeats each."""
    seconds = flops = 0.0
    for (width, out), count in Counter(shapes).items():
        x, weight = torch.randn(rows, width), torch.randn(out, width)
        best = float("inf")
        for _ in range(repeats):
            started = time.process_time()
            F.linear(x, weight)
            best = min(best, time.process_time() - started)
        seconds += count * best
        flops += count * 2 * rows * width * out
    return flops / seconds


def linear_shapes(vlm: VisionLanguageModel) -> list[tuple[int, int]]:
    """(in, out) of every linear layer of a model."""
    return [(m.in_features, m.out_features) for m in vlm.base.modules() if isinstance(m, torch.nn.Linear)]
