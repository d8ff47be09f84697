"""A full-size LLaVA-1.5-7B on a GPU, with random weights (nothing is downloaded): `python -m bench.gpu`.

The same questions shared and plain, one training step of each kind, peak memory, and how far that is from what the GPU could do: its
measured rate of bf16 matrix products, and its measured bandwidth.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration  # noqa: E402

from bench import plain  # noqa: E402
from bench.table import Table  # noqa: E402
from unsee.evaluation import engine, prompts  # noqa: E402
from unsee.models import tiny  # noqa: E402
from unsee.models.family import family  # noqa: E402
from unsee.models.model import VisionLanguageModel  # noqa: E402
from unsee.models.packing import pack  # noqa: E402
from unsee.models.pictures import Pictures  # noqa: E402
from unsee.training.loop import add_lora  # noqa: E402
from unsee.training.pairs import Pair, Unit, batch, units  # noqa: E402
from unsee.training.scores import score  # noqa: E402
from unsee.training.settings import LoraSettings  # noqa: E402


@dataclass(frozen=True)
class Shape:
    """The sizes of a LLaVA: its picture, its tower, its decoder."""

    image: int
    patch: int
    tower_width: int
    tower_hidden: int
    tower_layers: int
    tower_heads: int
    width: int
    hidden: int
    layers: int
    heads: int
    vocabulary: int


LLAVA_7B = Shape(336, 14, 1024, 4096, 24, 16, 4096, 11008, 32, 32, 32064)
TINY = Shape(28, 14, 32, 64, 2, 2, 64, 128, 2, 2, 2000)

WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "lagoon",
    "meadow",
    "north",
    "ocean",
    "pine",
    "quartz",
    "river",
    "stone",
    "tide",
]


def build(shape: Shape, device: str, dtype: torch.dtype) -> VisionLanguageModel:
    """A LLaVA of that shape with random weights, in evaluation mode."""
    question = " ".join(WORDS)
    texts = [f" {text}" for text in (*WORDS, prompts.cloze("__"), prompts.generation(question))]
    processor = tiny.build_processor([*texts, prompts.classification(question, WORDS[:4], "letter")])
    processor.image_processor.size = {"shortest_edge": shape.image}
    processor.image_processor.crop_size = {"height": shape.image, "width": shape.image}
    processor.patch_size = shape.patch
    tokenizer = processor.tokenizer
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            image_size=shape.image,
            patch_size=shape.patch,
            hidden_size=shape.tower_width,
            intermediate_size=shape.tower_hidden,
            num_hidden_layers=shape.tower_layers,
            num_attention_heads=shape.tower_heads,
        ),
        text_config=LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=4096,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(shape.image // shape.patch) ** 2,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlavaForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    # Buffers of the rotary positions and the like are made in float32 by loading, and so here.
    model.eval().requires_grad_(False)
    return VisionLanguageModel(family("llava"), model, processor)


def questions(n_people: int, shape: Shape) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """18 questions a person as MLLMU-Bench has them (10 choices, 4 blanks, 4 open; half with the picture), of random words."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    images = []
    for person in range(n_people):
        person_id = f"{person:04d}"
        noise = np.random.default_rng(person).integers(0, 255, (shape.image, shape.image, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "PNG")
        images.append((person_id, buffer.getvalue()))
        for task, count in (("classification", 5), ("cloze", 2), ("generation", 2)):
            for modality in ("image", "text"):
                for i in range(count):
                    rows.append(
                        {
                            "question_id": f"{person_id}/{modality}/{task}/{i}",
                            "person_id": person_id,
                            "origin": "profile",
                            "modality": modality,
                            "task": task,
                            "image_id": person_id if modality == "image" else None,
                            "question": " ".join(draw.choices(WORDS, k=20)) + (" __" if task == "cloze" else ""),
                            "options": [" ".join(draw.choices(WORDS, k=3)) for _ in range(4)]
                            if task == "classification"
                            else [],
                            "answer": "amber",
                            "answer_index": 0,
                        }
                    )
    return rows, images


def pairs(n_people: int) -> list[Pair]:
    """20 training pairs a person, all with the picture."""
    draw = random.Random(1)
    return [
        Pair(
            f"{p:04d}/{i:02d}",
            f"{p:04d}",
            f"{p:04d}",
            " ".join(draw.choices(WORDS, k=20)),
            " ".join(draw.choices(WORDS, k=10)),
        )
        for p in range(n_people)
        for i in range(20)
    ]


def seconds(work: Callable[[], Any], device: str, repeats: int = 1) -> float:
    """The fastest of some runs by the clock, all of its kernels done."""
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
    """GB that tensors held at most since the last call; 0 on a CPU, whose allocator does not say."""
    if device != "cuda":
        return 0.0
    held = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return held


def rates(device: str, dtype: torch.dtype, n: int) -> tuple[float, float]:
    """Measured matrix products (FLOP/s) and bandwidth (bytes/s, a copy's reads and writes)."""
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    long = torch.empty(n * n * 8, device=device, dtype=dtype)
    target = torch.empty_like(long)
    for work in (lambda: a @ b, lambda: target.copy_(long)):
        seconds(work, device, 3)
    flops = 2 * n**3 / seconds(lambda: a @ b, device, 10)
    return flops, 2 * long.nbytes / seconds(lambda: target.copy_(long), device, 10)


def measure(
    shape: Shape, device: str, dtype: torch.dtype, *, people: int, plain_people: int, batch_size: int, new_tokens: int
) -> Table:
    """All rows.

    Args:
        shape, device, dtype: of the model.
        people: asked by the shared path, and trained on.
        plain_people: of them, asked by the plain path as well.
        batch_size: people at a time.
        new_tokens: of an open answer; random weights never end by themselves.
    """
    table = Table()
    flops, bandwidth = rates(device, dtype, 8192 if device == "cuda" else 256)
    table.add("matrix products", flops / 1e12, "TFLOP/s")
    table.add("bandwidth", bandwidth / 1e9, "GB/s")
    vlm = build(shape, device, dtype)
    decoder = sum(p.numel() for p in vlm.family.language_model(vlm.base).layers.parameters())
    table.add("decoder weights", decoder / 1e9, "billions")
    evaluation(table, vlm, shape, device, (flops, bandwidth, decoder), people, plain_people, batch_size, new_tokens)
    training(table, vlm, shape, device, (flops, decoder), min(people, 8))
    return table


def evaluation(
    table: Table,
    vlm: VisionLanguageModel,
    shape: Shape,
    device: str,
    machine: tuple[float, float, int],
    people: int,
    plain_people: int,
    batch_size: int,
    new_tokens: int,
) -> None:
    """Questions a second shared and plain, and the shared path against its floor."""
    flops, bandwidth, decoder = machine
    rows, images = questions(people, shape)
    settings = {"classification": "likelihood", "batch_size": batch_size, "max_new_tokens": new_tokens}

    def fresh() -> Pictures:
        return Pictures(vlm.family, vlm.base, vlm.processor, images)

    few = [row for row in rows if int(row["person_id"]) < plain_people]
    engine.answer(vlm, fresh(), few[:18], settings)
    plain.answer(vlm, fresh(), few[:1], max_new_tokens=2, choose="write")
    peak(device)
    slow = len(few) / seconds(lambda: plain.answer(vlm, fresh(), few, max_new_tokens=50, choose="write"), device)
    table.add("evaluation, plain", slow, "questions/s")
    table.add("evaluation, plain, peak memory", peak(device), "GB")
    took = seconds(lambda: engine.answer(vlm, fresh(), rows, settings), device)
    table.add("evaluation, shared", len(rows) / took, "questions/s", over="evaluation, plain")
    table.add("evaluation, shared, peak memory", peak(device), "GB")
    table.add("evaluation of 1,153 pictures x 18 questions, shared", took * 1153 / people, "s")
    # The floor: every token of the packs once through the decoder's weights at the matrix rate, and for each
    # batch's every step all the weights, and the keys and values of its packs, once through memory.
    pictures = fresh()
    asked = [engine._ask(vlm, pictures, row, "likelihood") for row in rows]
    by_person: dict[str, list[Any]] = {}
    for a in asked:
        by_person.setdefault(a.row["person_id"], []).extend(a.requests)
    tokens = sum(len(pack(requests, vlm.image_token)) for requests in by_person.values())
    size = next(vlm.base.parameters()).element_size()
    steps = -(-people // batch_size) * (new_tokens - 1)
    opened: dict[str, list[Any]] = {}
    for a in asked:
        if a.row["task"] != "classification":
            opened.setdefault(a.row["person_id"], []).extend(a.requests)
    kept = sum(len(pack(requests, vlm.image_token)) for requests in opened.values())
    read = steps * decoder * size + (new_tokens - 1) * kept * 2 * shape.layers * shape.width * size
    floor = 2 * decoder * tokens / flops + read / bandwidth
    table.add("evaluation, floor for the same", floor * 1153 / people, "s")
    table.add("evaluation, time over floor", took / floor, "x")


def training(
    table: Table, vlm: VisionLanguageModel, shape: Shape, device: str, machine: tuple[float, int], people: int
) -> None:
    """One step, forward and backward, of each kind on the same pairs, and its share of the matrix rate."""
    flops, decoder = machine
    _, images = questions(people, shape)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    add_lora(vlm, LoraSettings(rank=16, alpha=16, dropout=0.0), 0)
    vlm.model.train()
    chosen = pairs(people)
    kinds: dict[str, list[Unit]] = {
        "plain": units(vlm, pictures, chosen, "none")[:8],
        "packed": units(vlm, pictures, chosen, "person")[:2],
    }
    weights = [p for p in vlm.model.parameters() if p.requires_grad]
    first = ""
    for checkpointing in (False, True):
        if checkpointing:
            vlm.base.gradient_checkpointing_enable({"use_reentrant": False})
            vlm.base.enable_input_require_grads()
        for kind, part in kinds.items():
            examples = batch(vlm, part)
            n_tokens = int(sum(len(pack(u.requests, vlm.image_token)) for u in part))
            n_pairs = sum(len(u.requests) for u in part)

            def step(examples: Any = examples) -> None:
                torch.autograd.grad(score(vlm, examples, pictures).nll(), weights)

            step()
            peak(device)
            took = seconds(step, device, 3)
            name = f"training, {kind}{', checkpointed' if checkpointing else ''}"
            row = table.add(name, n_pairs / took, "pairs/s", over=first)
            first = first or row.name
            # Forward and the gradient of the inputs; that of the frozen weights is never made.
            table.add(f"{name}, share of the matrix rate", 100 * 4 * decoder * n_tokens / took / flops, "%")
            table.add(f"{name}, peak memory", peak(device), "GB")


def main(arguments: list[str] | None = None) -> int:
    """Measure on the GPU; without one, say so and return 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--people", type=int, default=32, help="pictures of 18 questions each; 1,153 are extrapolated")
    parser.add_argument("--batch-size", type=int, default=16, help="people at a time")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench-gpu.csv")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("bench.gpu: no CUDA GPU here; expected one with 40 GB of memory or more", file=sys.stderr)
        return 1
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n", flush=True)
    table = measure(
        LLAVA_7B,
        "cuda",
        torch.bfloat16,
        people=chosen.people,
        plain_people=2,
        batch_size=chosen.batch_size,
        new_tokens=30,
    )
    table.write(chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
