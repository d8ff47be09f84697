"""Measure LLaVA-1.5-7B and Qwen2-VL-7B on a GPU, with random weights (nothing is downloaded): `python -m bench.gpu`.

For each model: shared and plain evaluation, LoRA training at batch sizes 4 and 16, and peak memory, compared with the limits of the
GPU (its measured rate of bf16 matrix products and its measured bandwidth). The run takes at most eight minutes. Measurements for which
the time or the memory does not suffice are skipped with a message.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402

from bench import plain  # noqa: E402
from bench.full_size import LLAVA_7B, QWEN2_VL_7B, Shape, build, pairs, questions  # noqa: E402
from bench.table import Table  # noqa: E402
from unsee.evaluation import prompts  # noqa: E402
from unsee.evaluation.predict import answer_questions  # noqa: E402
from unsee.models.likelihood import score  # noqa: E402
from unsee.models.model import VisionLanguageModel  # noqa: E402
from unsee.models.packing import Request, pack  # noqa: E402
from unsee.models.pictures import Pictures  # noqa: E402
from unsee.training.batches import Unit, batch, units  # noqa: E402
from unsee.training.lora import add_lora  # noqa: E402
from unsee.training.settings import LoraSettings  # noqa: E402


@dataclass(frozen=True)
class Work:
    """The amount of work.

    Attributes:
        people: number of people whose questions the shared path answers.
        plain_people: number of these people whose questions the plain path answers too.
        batch_size: number of people at a time.
        new_tokens: length of an open answer; a model with random weights never ends one.
        batches: numbers of pairs in a training step.
        repeats: number of times that a training step is measured; the fastest counts.
        minutes: time limit of the whole run.
    """

    people: int = 32
    plain_people: int = 2
    batch_size: int = 16
    new_tokens: int = 30
    batches: tuple[int, ...] = (4, 16)
    repeats: int = 3
    minutes: float = 8.0


def seconds(work: Callable[[], Any], device: str, repeats: int = 1) -> float:
    """Wall-clock seconds of the fastest of some runs, until all of its kernels have ended."""
    best = float("inf")
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(device: str) -> float:
    """The most GB that tensors have held since the last call; 0 on a CPU, whose allocator keeps no record."""
    if device != "cuda":
        return 0.0
    held = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return held


def rates(device: str, dtype: torch.dtype, n: int) -> tuple[float, float]:
    """Measured rate of matrix products (FLOP/s) and bandwidth (bytes/s, reads and writes of a copy)."""
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    long = torch.empty(n * n * 8, device=device, dtype=dtype)
    target = torch.empty_like(long)
    for work in (lambda: a @ b, lambda: target.copy_(long)):
        seconds(work, device, 3)
    flops = 2 * n**3 / seconds(lambda: a @ b, device, 10)
    return flops, 2 * long.nbytes / seconds(lambda: target.copy_(long), device, 10)


class Run:
    """The rows of one run, which skips measurements beyond its time or the GPU's memory."""

    def __init__(self, device: str, dtype: torch.dtype, work: Work) -> None:
        self.table, self.device, self.work = Table(), device, work
        self._end = time.monotonic() + 60 * work.minutes
        self.flops, self.bandwidth = rates(device, dtype, 8192 if device == "cuda" else 256)
        self.table.add("matrix products", self.flops / 1e12, "TFLOP/s")
        self.table.add("bandwidth", self.bandwidth / 1e9, "GB/s")

    def part(self, name: str, measured: Callable[[], Any]) -> None:
        """Take a measurement, or print why it is skipped."""
        if time.monotonic() > self._end:
            print(f"{name}: skipped, the {self.work.minutes:g} minutes are over", flush=True)
            return
        peak(self.device)
        try:
            measured()
        except torch.cuda.OutOfMemoryError:
            print(f"{name}: skipped, does not fit the memory", flush=True)
        if self.device == "cuda":
            torch.cuda.empty_cache()


def measure(shapes: Sequence[Shape], device: str, dtype: torch.dtype, work: Work) -> Table:
    """Measure every shape."""
    run = Run(device, dtype, work)
    for shape in shapes:
        run.part(shape.name, lambda shape=shape: model(run, shape, build(shape, device, dtype)))  # type: ignore[misc]
    return run.table


def model(run: Run, shape: Shape, vlm: VisionLanguageModel) -> None:
    """Measure one model."""
    decoder = sum(p.numel() for p in vlm.family.language_model(vlm.base).layers.parameters())
    run.table.add(f"{shape.name}, decoder weights", decoder / 1e9, "billions")
    evaluation(run, shape, vlm, decoder)
    training(run, shape, vlm, decoder)


def evaluation(run: Run, shape: Shape, vlm: VisionLanguageModel, decoder: int) -> None:
    """Questions per second of the shared and the plain path, and the shared path's time over its lower bound."""
    work, name = run.work, f"{shape.name}, evaluation"
    rows, images = questions(work.people, shape)
    settings = {"classification": "likelihood", "batch_size": work.batch_size, "max_new_tokens": work.new_tokens}

    def fresh() -> Pictures:
        return Pictures(vlm.family, vlm.base, vlm.processor, images)

    few = [row for row in rows if int(row["person_id"]) < work.plain_people]

    def one_at_a_time() -> None:
        plain.answer(vlm, fresh(), few[:1], max_new_tokens=2, choose="write")
        took = seconds(
            lambda: plain.answer(vlm, fresh(), few, max_new_tokens=work.new_tokens, choose="write"), run.device
        )
        run.table.add(f"{name}, plain", len(few) / took, "questions/s")
        run.table.add(f"{name}, plain, peak memory", peak(run.device), "GB")

    def shared() -> None:
        answer_questions(vlm, fresh(), few[:18], settings)
        peak(run.device)
        took = seconds(lambda: answer_questions(vlm, fresh(), rows, settings), run.device)
        over = f"{name}, plain"
        over = over if any(row.name == over for row in run.table.rows) else ""
        run.table.add(f"{name}, shared", len(rows) / took, "questions/s", over=over)
        run.table.add(f"{name}, shared, peak memory", peak(run.device), "GB")
        run.table.add(f"{name} of 1,153 pictures x 18 questions, shared", took * 1153 / work.people, "s")
        run.table.add(f"{name}, time over floor", took / floor(run, shape, vlm, fresh(), rows, decoder), "x")

    run.part(f"{name}, plain", one_at_a_time)
    run.part(f"{name}, shared", shared)


def floor(
    run: Run, shape: Shape, vlm: VisionLanguageModel, pictures: Pictures, rows: list[dict[str, Any]], decoder: int
) -> float:
    """Lower bound of the shared path's seconds.

    Every token of the packs passes the decoder's weights once at the matrix rate, and every decoding step of every batch reads
    all weights, and the keys and values of its packs, once from memory.
    """
    work = run.work
    opened: dict[str, list[Request]] = {}
    everything: dict[str, list[Request]] = {}
    for row in rows:
        words = prompts.render(row["task"], row["question"], row["options"])
        prompt = vlm.prompt(words, with_image=row["image_id"] is not None)
        answers = row["options"] or [None]
        requests = [vlm.request(prompt, answer, pictures, row["image_id"], end=False) for answer in answers]
        for kind in (everything, opened) if row["task"] != "classification" else (everything,):
            kind.setdefault(row["person_id"], []).extend(requests)
    tokens, kept = (
        sum(len(pack(of_person, vlm.image_token)) for of_person in people.values()) for people in (everything, opened)
    )
    size = next(vlm.base.parameters()).element_size()
    steps = -(-work.people // work.batch_size) * (work.new_tokens - 1)
    keys = 2 * shape.layers * shape.width // shape.heads * shape.kv_heads * size
    read = steps * decoder * size + (work.new_tokens - 1) * kept * keys
    return 2 * decoder * tokens / run.flops + read / run.bandwidth


def training(run: Run, shape: Shape, vlm: VisionLanguageModel, decoder: int) -> None:
    """Measure a training step (forward, backward and Adam) at each batch size and packed, and its share of the matrix rate.

    The model's work is two operations per weight and token in the forward pass, and two for the gradient of the input; the
    gradient of frozen weights is not computed. The products of attention and of the adapter are not counted, nor is the
    recomputation of checkpointing.
    """
    n = -(-max(run.work.batches) // 20) + 1
    _, images = questions(n, shape)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    add_lora(vlm, LoraSettings(rank=8, alpha=8, dropout=0.0), 0)
    vlm.model.train()
    examples = pairs(n)
    alone = units(vlm, pictures, examples, "none")
    kinds: dict[str, list[Unit]] = {f"batch {size}": alone[:size] for size in run.work.batches}
    kinds["two people packed"] = units(vlm, pictures, examples, "person")[:2]
    weights = [p for p in vlm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=1e-6)
    for checkpointing in (False, True):
        if checkpointing:
            vlm.base.gradient_checkpointing_enable({"use_reentrant": False})
            vlm.base.enable_input_require_grads()
        for kind, part in kinds.items():
            name = f"{shape.name}, training, {kind}{', checkpointed' if checkpointing else ''}"

            def steps(part: list[Unit] = part, name: str = name) -> None:
                def step() -> None:
                    optimizer.zero_grad()
                    score(vlm, batch(vlm, part), pictures).nll().backward()
                    optimizer.step()

                step()
                peak(run.device)
                took = seconds(step, run.device, run.work.repeats)
                tokens = sum(len(pack(unit.requests, vlm.image_token)) for unit in part)
                run.table.add(name, sum(len(unit.requests) for unit in part) / took, "pairs/s")
                utilisation = 4 * decoder * tokens / took / run.flops
                run.table.add(f"{name}, model FLOP utilisation", 100 * utilisation, "%")
                run.table.add(f"{name}, peak memory", peak(run.device), "GB")

            run.part(name, steps)
            optimizer.zero_grad()


def main(arguments: list[str] | None = None) -> int:
    """Measure on the GPU; without one, print a message and return 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument(
        "--people", type=int, default=32, help="number of people with 18 questions each; 1,153 are extrapolated"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="number of people at a time")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit of the whole run")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench-gpu.csv")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("bench.gpu: no CUDA GPU on this machine; expected one with 24 GB of memory or more", file=sys.stderr)
        return 1
    print(f"{date.today()}, {torch.cuda.get_device_name()}, torch {torch.__version__}\n", flush=True)
    work = Work(people=options.people, batch_size=options.batch_size, minutes=options.minutes)
    measure([LLAVA_7B, QWEN2_VL_7B], "cuda", torch.bfloat16, work).write(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
