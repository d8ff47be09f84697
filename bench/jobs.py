"""The jobs of a preset, and the cost of each, from shapes and lengths alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.operations import Cost, causal, encode, forward, training_pass
from unsee.jobs.config import Entry
from unsee.jobs.runs import evaluated_runs, table_runs
from unsee.memory import LENGTHS, Lengths, Need, Shapes, needs_of

#: People whom the published data adds to the fictitious ones: celebrities.
CELEBRITIES = {"mllmu": 153, "clear": 151}
#: Per person, of a published protocol: multiple-choice questions, whose answer is a letter and an end, and words of their examples.
CHOICES, LETTER = 10, 2
#: Pictures of the examples in front of multiple choice and of cloze questions, and tokens of their words.
EXAMPLES = ((5, 500), (4, 250))


@dataclass(frozen=True)
class Job:
    """The jobs of a rule, or of one of its methods.

    Attributes:
        rule, method: their rule, and the method of ``unlearn`` (else empty).
        count: the number of jobs.
        cost: of all of them.
        need: the memory of one.
    """

    rule: str
    method: str
    count: int
    cost: Cost
    need: Need


def jobs(config: Mapping[str, Any], entries: Mapping[str, Entry], shapes: Shapes) -> list[Job]:
    """The jobs of the results table that load the model, rule by rule.

    Args:
        config: a configuration that has been checked.
        entries: its methods, see :func:`unsee.jobs.config.resolve`.
        shapes: those of its model.
    """
    benchmark, seeds = config["benchmark"], config["seeds"]
    lengths: Lengths = LENGTHS[benchmark["name"]]
    people = benchmark["people"] if benchmark["name"] == "synthetic" else lengths.people
    needs: dict[tuple[str, str], Need] = {}
    for key, rule, need in needs_of(config, entries, shapes):
        needs[rule, key[1] if key[0] == "methods" else ""] = need
    percents = benchmark["forget_percents"]
    retained = {percent: people - forgotten(people, percent) for percent in percents}
    tune = _training(shapes, lengths, config["finetune"])
    result = [
        Job("finetune", "", len(seeds), tune.epochs(people) * len(seeds), needs["finetune", ""]),
        Job(
            "train_reference",
            "",
            len(seeds) * len(percents),
            sum((tune.epochs(n) for n in retained.values()), Cost()) * len(seeds),
            needs["train_reference", ""],
        ),
    ]
    for name, entry in entries.items():
        cost = sum((_unlearning(shapes, lengths, entry.at(percent), people, percent) for percent in percents), Cost())
        count = len(seeds) * len(percents)
        result.append(Job("unlearn", name, count, cost * len(seeds), needs["unlearn", name]))
    published = config["evaluation"]["protocol"] != "unsee"
    runs = table_runs(percents, list(entries), seeds)
    by_percent = Counter(
        run.forget_percent for run in evaluated_runs(runs, percents, prompts_depend_on_ratio=published)
    )
    total = Cost()
    for percent, count in by_percent.items():
        evaluated = people + _celebrities(config) + forgotten(people, percent or max(percents))
        total += answering(shapes, lengths, config["evaluation"], evaluated) * count
    result.append(Job("predict", "", sum(by_percent.values()), total, needs["predict", ""]))
    return result


def forgotten(people: int, percent: int) -> int:
    """The number of people to forget at a ratio."""
    return math.ceil(people * percent / 100)


def _celebrities(config: Mapping[str, Any]) -> int:
    name = config["benchmark"]["name"]
    return int(config["benchmark"]["celebrities"] if name == "synthetic" else CELEBRITIES[name])


@dataclass(frozen=True)
class _Training:
    """The costs of reading a unit (a pair, or a packed person) in training.

    Attributes:
        settings: the settings of the run.
        units: units of a person.
        step, read: of a unit: a forward and a backward pass, and a forward pass.
        pictures: of encoding a person's pictures.
    """

    settings: Mapping[str, Any]
    units: int
    step: Cost
    read: Cost
    pictures: Cost

    def epochs(self, people: int) -> Cost:
        """All steps of a run over some people's pairs, with the encoding of their pictures."""
        return self.step * self.examples(people) + self.pictures * people

    def examples(self, people: int) -> float:
        """Units that the steps of a run read, of one group."""
        if self.settings.get("steps"):
            return float(self.settings["steps"] * self.settings["batch_size"])
        return float(self.settings["epochs"] * people * self.units)


def _training(shapes: Shapes, lengths: Lengths, settings: Mapping[str, Any], scope: str = "") -> _Training:
    packed = settings.get("packing") == "person"
    lora = settings.get("lora", {})
    words = lengths.words * (lengths.pairs if packed else 1)
    scored = (lengths.words if settings.get("loss_tokens") == "all" else lengths.answer) * (
        lengths.pairs if packed else 1
    )
    tokens = shapes.picture_tokens + words
    # Behind the picture, the words of a pair see the picture and each other, and not other pairs.
    pairs = (
        causal(shapes.picture_tokens) + words * shapes.picture_tokens + words / lengths.words * causal(lengths.words)
    )
    rows = max(1, settings["batch_size"] // settings.get("gradient_accumulation", 1))
    step = training_pass(
        shapes,
        tokens,
        pairs,
        scored,
        rank=int(lora.get("rank", 8)),
        scope=scope or lora.get("scope", "language"),
        checkpointing=bool(settings.get("gradient_checkpointing")),
    )
    read = forward(shapes, tokens, pairs, scored)
    return _Training(
        settings,
        1 if packed else lengths.pairs,
        _in_batches(step, rows),
        _in_batches(read, rows),
        encode(shapes) * lengths.pictures,
    )


def _in_batches(cost: Cost, rows: int) -> Cost:
    """The cost of a unit when several are read in one pass, which moves the weights once."""
    return Cost(cost.products, cost.attention, cost.bytes / rows, cost.blocks / rows)


def _unlearning(shapes: Shapes, lengths: Lengths, entry: Entry, people: int, percent: int) -> Cost:
    """One job of a method at a ratio, from what it declares."""
    needs, settings = entry.method.needs.with_options(entry.settings), entry.settings
    forget = forgotten(people, percent)
    both = people if "retain" in needs.groups else forget
    if not needs.training:
        plain = {"batch_size": 1}
        read = _training(shapes, lengths, plain)
        return read.read * (both * read.units) + read.pictures * both
    feed_forward = "feed_forward" if entry.method.name == "vl_eraser" else ""
    run = _training(shapes, lengths, settings, feed_forward)
    examples = run.examples(forget)
    retain = examples
    if settings.get("alternation", "joint") != "joint":  # an epoch passes over all retained pairs
        retain = run.examples(people - forget)
    trained = examples * (2 if needs.alternative == "beside" else 1) + retain * needs.retain_examples
    total = run.step * trained
    if needs.reference == "vanilla":
        on_retain = needs.reference_on == "retain"
        total += run.read * ((retain if on_retain else examples) * (2 if needs.alternative == "beside" else 1))
    elif needs.reference == "retain_only":
        total += run.read * ((people - forget if needs.reference_on == "retain" else forget) * run.units)
    if entry.method.name == "mmunlearner":  # squared gradients of every pair, before training
        total += run.step * (people * run.units)
    elif needs.prepare == "retain":
        total += run.read * ((people - forget) * run.units)
    return total + run.pictures * both


@dataclass(frozen=True)
class Prompting:
    """How an evaluation asks.

    Attributes:
        batch: people at a time.
        examples: (pictures, tokens of words) of the examples in front of the prompts, by task that has some.
        letters: whether multiple choice is answered with a letter, instead of by comparing options.
        new: the most tokens of an open answer.
    """

    batch: int
    examples: tuple[tuple[int, int], ...]
    letters: bool
    new: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Prompting:
        """As the configuration's section ``evaluation`` says."""
        published = settings["protocol"] != "unsee"
        shots = settings["protocol"] == "mllmu-official" or (published and settings["shots"])
        letters = published or settings.get("classification") == "letter"
        new = 50 if published else settings["max_new_tokens"]
        return cls(settings["batch_size"], EXAMPLES if shots else (), letters, new)


def answering(shapes: Shapes, lengths: Lengths, settings: Mapping[str, Any], people: int) -> Cost:
    """One job that answers all questions about some people."""
    prompting = Prompting.of(settings)
    return reading(shapes, lengths, prompting, people) + writing(shapes, lengths, prompting, people)


def reading(shapes: Shapes, lengths: Lengths, prompting: Prompting, people: int) -> Cost:
    """Pictures and prompts of all questions about some people.

    A picture is encoded once. Every task reads it again where its prompts begin with examples, and the examples once per batch.
    """
    picture, batches = shapes.picture_tokens, math.ceil(people / prompting.batch)
    total = encode(shapes) * people
    for pictures, words in prompting.examples:
        seen = pictures * picture + words
        total += forward(shapes, seen, causal(seen), 0) * batches
        total += forward(shapes, picture, picture * seen + causal(picture), 0, cached=seen) * people
    total += forward(shapes, picture, causal(picture), 0) * people
    scored = lengths.open + (CHOICES if prompting.letters else lengths.options)
    before, question = _context(shapes, lengths, prompting)
    pairs = lengths.questions * before + (CHOICES + lengths.open) * causal(question)
    return total + forward(shapes, lengths.questions, pairs, scored, cached=before) * people


def writing(shapes: Shapes, lengths: Lengths, prompting: Prompting, people: int) -> Cost:
    """The answers' tokens behind the first, a step for all people of a batch; cloze and generation are written one after the other."""
    before, question = _context(shapes, lengths, prompting)
    steps = [(lengths.open / 2, prompting.new - 1)] * 2 + ([(CHOICES, LETTER - 1)] if prompting.letters else [])
    total = Cost()
    for questions, n in steps:
        rows = questions * prompting.batch
        # A row's questions are stored side by side, and each step computes what is hidden too; half of the words are there on average.
        columns = before + questions * (question + n / 2)
        step = forward(shapes, rows, rows * columns, rows, cached=columns * prompting.batch)
        total += step * (n * math.ceil(people / prompting.batch))
    return total


def _context(shapes: Shapes, lengths: Lengths, prompting: Prompting) -> tuple[float, float]:
    """Tokens in front of a person's questions, and tokens of one question."""
    examples = max((n * shapes.picture_tokens + words for n, words in prompting.examples), default=0)
    return shapes.picture_tokens + examples, lengths.questions / (CHOICES + lengths.open)
