"""Training pairs, tokenised and grouped into the units that a batch is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import Pair
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch, Request, collate, pack
from unsee.models.pictures import Pictures


@dataclass(frozen=True)
class Unit:
    """What a batch is made of: one pair, or all pairs of a person in one pack."""

    key: str
    requests: tuple[Request, ...]


def units(
    model: VisionLanguageModel,
    pictures: Pictures,
    pairs: Sequence[Pair],
    packing: str,
    loss_tokens: str = "answer",
) -> list[Unit]:
    """Tokenise pairs and group them into units, in the order of their keys.

    Args:
        model, pictures, pairs: what is tokenised.
        packing: ``none`` or ``person``.
        loss_tokens: ``answer``, or ``all``: every word behind the picture (without one: behind the first token) is
            scored, the question too.

    Raises:
        BenchmarkError: pairs that are longer than the model's context.
    """
    requests = {
        pair.pair_id: model.request(
            model.prompt(pair.question, with_image=pair.image_id is not None), pair.answer, pictures, pair.image_id
        )
        for pair in pairs
    }
    _check_lengths(requests, model.context)
    if loss_tokens == "all":
        requests = {key: _all_scored(request, model.image_token) for key, request in requests.items()}
    if packing == "none":
        return [Unit(pair.pair_id, (requests[pair.pair_id],)) for pair in pairs]
    grouped: dict[str, list[Request]] = {}
    for pair in pairs:
        grouped.setdefault(pair.person_id, []).append(requests[pair.pair_id])
    return [Unit(person, tuple(grouped[person])) for person in sorted(grouped)]


def _check_lengths(requests: Mapping[str, Request], context: int) -> None:
    """Refuse pairs that the model has no positions for, before anything that grows with their length is computed."""
    lengths = {pair_id: len(request.tokens) for pair_id, request in requests.items()}
    longer = [f"{pair_id} has {n} tokens" for pair_id, n in lengths.items() if n > context]
    if longer:
        more = f", and {len(longer) - 10} more are too long" if len(longer) > 10 else ""
        raise BenchmarkError(
            f"training pairs: {', '.join(longer[:10])}{more}; expected at most {context}, the model's context "
            "(max_position_embeddings in its config.json): shorten them, or use smaller pictures"
        )


def _all_scored(request: Request, image_token: int) -> Request:
    start = max((i for i, token in enumerate(request.prompt) if token == image_token), default=0) + 1
    return replace(request, prompt=request.prompt[:start], answer=request.prompt[start:] + request.answer)


def shuffled(chosen: Sequence[Unit], seed: int, epoch: int, stream: str) -> list[Unit]:
    """The units in an order that depends on nothing but seed, epoch, stream and the units."""
    order = sorted(chosen, key=lambda unit: unit.key)
    Random(f"{seed}:{stream}:{epoch}").shuffle(order)
    return order


def batch(model: VisionLanguageModel, chosen: Sequence[Unit]) -> Batch:
    """One batch of units, one pack a unit."""
    packs = [pack(unit.requests, model.image_token) for unit in chosen]
    return collate(packs, pad_token=model.pad_token)
