"""Tokenise training pairs, group them into units, and say which units each optimizer step uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from random import Random

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import Pair
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch, Request, collate, pack
from unsee.models.pictures import Pictures
from unsee.training.settings import TrainingSettings


@dataclass(frozen=True)
class Unit:
    """What a batch consists of: one pair, or all pairs of a person in one packed sequence."""

    key: str
    requests: tuple[Request, ...]


#: The units of one optimizer step, by group (``train``, or ``forget`` and ``retain``).
Step = dict[str, list[Unit]]


def units(
    model: VisionLanguageModel,
    pictures: Pictures,
    pairs: Sequence[Pair],
    packing: str,
    loss_tokens: str = "answer",
) -> list[Unit]:
    """Tokenise pairs and group them into units, ordered by key.

    Args:
        model: Its tokenizer and chat template are used.
        pictures: The pictures of the pairs; their sizes decide how many tokens each takes.
        pairs: Questions and answers.
        packing: ``none`` makes one unit per pair, ``person`` one per person.
        loss_tokens: ``answer`` scores the answer; ``all`` scores every token after the picture (without a picture:
            after the first token), so the question too.

    Raises:
        BenchmarkError: Some pairs are longer than the model's context.
    """
    requests = {
        pair.pair_id: model.request(
            model.prompt(pair.question, with_image=pair.image_id is not None), pair.answer, pictures, pair.image_id
        )
        for pair in pairs
    }
    _check_lengths(requests, model.context)
    if loss_tokens == "all":
        requests = {key: _score_all_tokens(request, model.image_token) for key, request in requests.items()}
    if packing == "none":
        return [Unit(pair.pair_id, (requests[pair.pair_id],)) for pair in pairs]
    by_person: dict[str, list[Request]] = {}
    for pair in pairs:
        by_person.setdefault(pair.person_id, []).append(requests[pair.pair_id])
    return [Unit(person, tuple(by_person[person])) for person in sorted(by_person)]


def _check_lengths(requests: Mapping[str, Request], context: int) -> None:
    """Refuse pairs longer than the context before anything is computed whose cost grows with their length."""
    lengths = {pair_id: len(request.tokens) for pair_id, request in requests.items()}
    too_long = [f"{pair_id} has {n} tokens" for pair_id, n in lengths.items() if n > context]
    if too_long:
        more = f", and {len(too_long) - 10} more are too long" if len(too_long) > 10 else ""
        raise BenchmarkError(
            f"training pairs: {', '.join(too_long[:10])}{more}; expected at most {context}, the model's context "
            "(max_position_embeddings in its config.json): shorten them, or use smaller pictures"
        )


def _score_all_tokens(request: Request, image_token: int) -> Request:
    """The request with the question moved from the prompt, which is not scored, to the answer, which is."""
    start = max((i for i, token in enumerate(request.prompt) if token == image_token), default=0) + 1
    return replace(request, prompt=request.prompt[:start], answer=request.prompt[start:] + request.answer)


def batch(model: VisionLanguageModel, units: Sequence[Unit]) -> Batch:
    """Collate units into one batch, one packed sequence per unit."""
    packs = [pack(unit.requests, model.image_token) for unit in units]
    return collate(packs, pad_token=model.pad_token)


def plan(groups: Mapping[str, Sequence[Unit]], settings: TrainingSettings, seed: int) -> Iterator[tuple[int, Step]]:
    """Yield (epoch, step) for a whole run, in an order that depends only on the seed and the units.

    ``alternation: joint``: each step uses units of every group. An epoch passes once over the first group; the others
    supply as many units, drawn without replacement until all were used, then again from the start.
    The other two are how the official code alternates, one group per step. ``sequential``: an epoch passes over each
    group in turn. ``interleaved``: an epoch passes over the second group, with the steps of the first spread evenly
    among them.

    Raises:
        ValueError: Not exactly one of ``settings.epochs`` and ``settings.steps`` is set.
    """
    if (settings.epochs is None) == (settings.steps is None):
        raise ValueError(f"epochs is {settings.epochs} and steps is {settings.steps}; expected one of them")
    epochs = count() if settings.epochs is None else range(settings.epochs)
    yield from islice(_plan(groups, settings, seed, epochs), settings.steps)


def _plan(
    groups: Mapping[str, Sequence[Unit]], settings: TrainingSettings, seed: int, epochs: Iterable[int]
) -> Iterator[tuple[int, Step]]:
    streams = {name: _endless(groups[name], seed, name) for name in list(groups)[1:]}
    for epoch in epochs:
        batches = {
            name: _batches(_shuffled(members, seed, epoch, name), settings.batch_size)
            for name, members in groups.items()
        }
        first, *others = batches
        if settings.alternation == "joint":
            for part in batches[first]:
                yield epoch, {first: part, **{name: [next(stream) for _ in part] for name, stream in streams.items()}}
        elif settings.alternation == "sequential" or not others:
            for name, parts in batches.items():
                yield from ((epoch, {name: part}) for part in parts)
        else:
            second = others[0]
            every = max(1, len(batches[second]) // len(batches[first]))
            for i, part in enumerate(batches[second]):
                if i % every == 0 and i // every < len(batches[first]):
                    yield epoch, {first: batches[first][i // every]}
                yield epoch, {second: part}


def _shuffled(units: Sequence[Unit], seed: int, epoch: int, stream: str) -> list[Unit]:
    """The units in an order that depends only on seed, epoch, stream and the units."""
    order = sorted(units, key=lambda unit: unit.key)
    Random(f"{seed}:{stream}:{epoch}").shuffle(order)
    return order


def _batches(order: Sequence[Unit], size: int) -> list[list[Unit]]:
    return [list(order[start : start + size]) for start in range(0, len(order), size)]


def _endless(units: Sequence[Unit], seed: int, stream: str) -> Iterator[Unit]:
    for epoch in count():
        yield from _shuffled(units, seed, epoch, stream)


def split_step(step: Step, n: int) -> list[Step]:
    """The step in ``n`` parts, or in as many as it has units."""
    size = len(next(iter(step.values())))
    n = min(n, size)
    return [{name: units[i * size // n : (i + 1) * size // n] for name, units in step.items()} for i in range(n)]


def parts_of_process(step: Step, n: int, rank: int, world_size: int) -> list[tuple[Step, bool]]:
    """The parts of a step that one process computes, and whether each counts.

    Every process gets the same number of parts, because the processes wait for each other in each. A process that has
    no units left computes a part that does not count.

    Args:
        step: The whole step.
        n: The largest number of parts per process.
        rank: The number of the process, from 0.
        world_size: The number of processes.
    """
    shares = split_step(step, world_size)
    has_share = rank < len(shares)
    parts = [(part, has_share) for part in split_step(shares[rank if has_share else 0], n)]
    largest = max(len(next(iter(share.values()))) for share in shares)
    return parts + [(parts[0][0], False)] * (min(n, largest) - len(parts))
