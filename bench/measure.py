"""Take one measurement in a separate process, so that its peak memory counts nothing else: `python -m bench.measure '{"what": ...}'`.

Seconds are processor time of the process's one thread: wall-clock time on an idle machine, and nearly the same on a busy one. The last
line printed is a JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

Result = dict[str, Any]


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds so far, and after the block the seconds of the block."""
    started = time.process_time()
    stopped: list[float] = []
    yield lambda: (stopped[0] if stopped else time.process_time()) - started
    stopped.append(time.process_time())


def evaluate(
    model: dict[str, Any], benchmark: str, *, way: str, people: int | None = None, batch_size: int = 16, **_: Any
) -> Result:
    """Measure answering questions.

    Args:
        model: the configuration's section ``model``.
        benchmark: folder of canonical tables.
        way: ``shared`` (the engine), ``batched`` or ``official`` (see :mod:`bench.plain`).
        people: number of people, taken evenly from all; everyone by default.
        batch_size: number of people or sequences at a time.
    """
    from bench import plain
    from unsee.benchmarks.tables import read_images
    from unsee.evaluation.predict import answer_questions
    from unsee.evaluation.questions import read_questions
    from unsee.models.model import load
    from unsee.models.pictures import Pictures

    vlm = load(model)
    questions = read_questions(Path(benchmark), [])
    everyone = sorted({row["person_id"] for row in questions})
    selected = set(everyone if people is None else everyone[:: max(1, len(everyone) // people)][:people])
    questions = [row for row in questions if row["person_id"] in selected]
    images = read_images(Path(benchmark), {row["image_id"] for row in questions if row["image_id"]})

    def ask(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        if way == "shared":
            settings = {"classification": "likelihood", "batch_size": batch_size, "max_new_tokens": 50}
            return answer_questions(vlm, pictures, rows, settings)
        if way == "official":
            return plain.answer(vlm, pictures, rows, batch_size=1, choose="write")
        return plain.answer(vlm, pictures, rows, batch_size=batch_size)

    ask(questions[:2])  # warm up
    with _timed() as seconds:
        answers = ask(questions)
    kept = [{key: a[key] for key in ("question_id", "output", "choice")} for a in answers]
    return {"seconds": seconds(), "n": len(questions), "answers": kept}


def train(
    model: dict[str, Any], benchmark: str, *, way: str, people: int, batch_people: int = 5, epochs: int = 1, **_: Any
) -> Result:
    """Measure fine-tuning on the pairs of the first people.

    Args:
        model: the configuration's section ``model``.
        benchmark: folder of canonical tables.
        way: ``packed`` (one sequence per person), ``unpacked`` (the same steps, one sequence per pair) or ``small`` (one sequence
            per pair, four pairs per step).
        people: number of people.
        batch_people: number of people per step.
        epochs: number of passes.
    """
    from unsee.benchmarks.tables import person_ids, read_images, read_pairs
    from unsee.models.likelihood import score
    from unsee.models.model import load
    from unsee.models.packing import collate, pack
    from unsee.models.pictures import Pictures
    from unsee.training.batches import batch, units
    from unsee.training.loop import train
    from unsee.training.lora import add_lora
    from unsee.training.settings import LoraSettings, TrainingSettings

    vlm = load(model)
    pairs = read_pairs(Path(benchmark), person_ids(Path(benchmark), 0, "all")[:people])
    images = read_images(Path(benchmark), {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    add_lora(vlm, LoraSettings(dropout=0.0), 0)
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=epochs, batch_size=4 if way == "small" else batch_people, packing="person"
    )
    examples = units(vlm, pictures, pairs, "none" if way == "small" else "person")

    def objective(step: Any, counters: Any, n_in_step: Any) -> Any:
        if way != "unpacked":
            return score(vlm, batch(vlm, step["train"]), pictures).nll()
        packs = [pack([request], vlm.image_token) for unit in step["train"] for request in unit.requests]
        return score(vlm, collate(packs, pad_token=vlm.pad_token), pictures).nll()

    pictures.features(list(dict.fromkeys(pair.image_id for pair in pairs if pair.image_id)))
    with _timed() as seconds:
        progress = train(vlm, pictures, {"train": examples}, objective, settings, seed=0, description=way)
    return {"seconds": seconds(), "n": epochs * len(pairs), "losses": [row["loss"] for row in progress.rows]}


def vanilla(model: dict[str, Any], benchmark: str, *, output: str, settings: Any, **_: Any) -> Result:
    """Measure fine-tuning on everyone, and write the adapter to ``output``, from which the methods start."""
    from unsee.training.finetune import finetune

    with _timed() as seconds:
        finetune(
            model,
            Path(benchmark),
            forget_percent=0,
            role="vanilla",
            settings=settings,
            seed=0,
            threads=1,
            output=Path(output),
        )
    return {"seconds": seconds()}


def unlearn(
    model: dict[str, Any], benchmark: str, *, method: str, adapter: str, percent: int, settings: Any, **_: Any
) -> Result:
    """Measure one method with its settings of config.yaml, from loading the model to saving the adapter."""
    from unsee.unlearning.run import unlearn

    with tempfile.TemporaryDirectory() as folder, _timed() as seconds:
        unlearn(
            model,
            Path(benchmark),
            vanilla=Path(adapter),
            reference=Path(adapter),
            method=method,
            forget_percent=percent,
            settings=settings,
            seed=0,
            threads=1,
            output=Path(folder),
        )
    return {"seconds": seconds()}


def geometry_evaluate(*, shape: str, way: str, people: int, **_: Any) -> Result:
    """Measure answering the published prompts at the published geometry, see :mod:`bench.geometry`.

    Args:
        shape: a key of :data:`bench.geometry.SHAPES`.
        way: ``shared`` (the engine), ``batched`` (16 sequences, nothing shared) or ``official`` (one sequence).
        people: number of people, 18 questions each.
    """
    from bench import geometry

    work = geometry.work(geometry.SHAPES[shape], people)
    with geometry.counted(work.vlm) as count, _timed() as seconds:
        size = {"batched": 16, "official": 1}
        answers = geometry.shared_answers(work) if way == "shared" else geometry.plain_answers(work, size[way])
    return {
        "seconds": seconds(),
        "n": len(answers),
        "answers": answers,
        "tokens": count.tokens,
        "useful": geometry.useful_tokens(work),
        "flops": count.flops,
        "rate": geometry.matrix_rate(geometry.linear_shapes(work.vlm)),
    }


def geometry_train(*, shape: str, way: str, people: int = 1, pairs: int = 14, **_: Any) -> Result:
    """Measure a LoRA step at the published geometry, the pictures' features computed before.

    Args:
        shape: a key of :data:`bench.geometry.SHAPES`.
        way: ``packed`` or ``unpacked``.
        people, pairs: number of people in the step, and of pairs of each.
    """
    from bench import check, full_size, geometry
    from bench.operations import training_pass
    from unsee.models.pictures import Pictures

    sizes = geometry.SHAPES[shape]
    vlm = geometry.trained_model(sizes)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, full_size.questions(people, sizes)[1])
    examples = full_size.pairs(people, pairs)
    pictures.features(sorted({pair.image_id for pair in examples if pair.image_id}))
    with geometry.counted(vlm) as count, _timed() as seconds:
        loss, gradient = geometry.step_gradient(vlm, pictures, examples, packed=way == "packed")
    # Adapters replace the calls of the layers that are counted, and attention's backward pass has five products instead of two.
    scored = sum(len(vlm.request(pair.question, pair.answer, None, None).answer) for pair in examples)
    shapes = check.shapes_of(vlm, sizes.image)
    cost = training_pass(shapes, count.tokens, 0, scored, rank=8, scope="language", checkpointing=False)
    norms = [float(weight.norm()) for weight in gradient]
    projections = [float((weight * _probe(weight)).sum()) for weight in gradient]
    return {
        "seconds": seconds(),
        "n": len(examples),
        "loss": loss,
        "norms": norms,
        "projections": projections,
        "tokens": count.tokens,
        "flops": cost.products + 3.5 * count.attention,
        "rate": geometry.matrix_rate(geometry.linear_shapes(vlm)),
    }


def _probe(weight: Any) -> Any:
    """Random numbers in the shape of a gradient, the same in every process: gradients are compared by their products with them."""
    import torch

    return torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))


def peak_mb() -> float:
    """Peak memory of this process in MB.

    Read from ``VmHWM``, because ``ru_maxrss`` also counts the memory of the parent when it started this process.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(argument: str) -> None:
    """Run one measurement and print its result."""
    import torch

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    settings = json.loads(argument)
    kinds: dict[str, Callable[..., Result]] = {
        "evaluate": evaluate,
        "train": train,
        "vanilla": vanilla,
        "unlearn": unlearn,
        "geometry_evaluate": geometry_evaluate,
        "geometry_train": geometry_train,
    }
    result = kinds[settings.pop("what")](**settings)
    print(json.dumps({**result, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1])
