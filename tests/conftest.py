"""Fixtures of the whole suite: a miniature benchmark and random tiny models, each written once per run; the order of tests."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

# Processes started from here, pytest-xdist's workers too, reuse freed memory: a float32 copy of a large matrix, made anew
# for each token, otherwise costs as much in page faults as in arithmetic.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:  # before torch is imported: the workers already use every core
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

#: Returns the shared folder with a name, after calling the given function to fill it if it does not exist yet.
SharedFolder = Callable[[str, Callable[[Path], object]], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, those of the workflow before all: pytest-xdist hands out whole files in this order."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path.parent.name != "workflow"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    """Write a folder once for all workers of pytest-xdist; tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if WORKER else base

    def folder(name: str, write: Callable[[Path], object]) -> Path:
        path, complete = base / "shared" / name, base / "shared" / f"{name}.complete"
        path.parent.mkdir(exist_ok=True)
        with FileLock(path.with_name(f"{name}.lock")):
            if not complete.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                write(path)
                complete.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def mini_published(shared_folder: SharedFolder) -> Path:
    """A benchmark of 12 people and 4 celebrities in the published layout."""
    from unsee.benchmarks import synthetic

    def write(folder: Path) -> None:
        synthetic.write(folder, people=12, celebrities=4, forget_percents=[25], seed=7)

    return shared_folder("published", write)


@pytest.fixture(scope="session")
def mini_benchmark(mini_published: Path, shared_folder: SharedFolder) -> Path:
    """The same as canonical tables."""
    from unsee.benchmarks import published

    return shared_folder("benchmark", lambda folder: published.load("mllmu", mini_published, [25]).write(folder))


@pytest.fixture(scope="session")
def random_checkpoint(shared_folder: SharedFolder) -> Path:
    """A tiny LLaVA with random weights, as a checkpoint folder."""
    from unsee.base_model import tiny_llava
    from unsee.benchmarks import question_templates

    def write(folder: Path) -> None:
        processor = tiny_llava.build_processor(question_templates.vocabulary(), vocabulary_size=1000)
        tiny_llava.save(tiny_llava.build_model(processor, seed=0, width=64, layers=2), processor, folder)

    return shared_folder("tiny_llava", write)


@pytest.fixture(scope="session")
def model_spec(random_checkpoint: Path) -> dict[str, Any]:
    """The configuration's ``model`` section for the random checkpoint."""
    return {"name": "random", "family": "llava", "path": str(random_checkpoint), "dtype": "float32"}


@pytest.fixture(scope="session")
def random_qwen2_vl(shared_folder: SharedFolder) -> Path:
    """A tiny Qwen2-VL with random weights, as a checkpoint folder."""
    import torch

    from unsee.base_model import tiny_qwen2_vl
    from unsee.benchmarks import question_templates

    def write(folder: Path) -> None:
        processor = tiny_qwen2_vl.build_processor(question_templates.vocabulary(), vocabulary_size=1000)
        model = tiny_qwen2_vl.build_model(processor, seed=0, width=64, layers=2)
        with torch.no_grad():  # fresh weights hardly attend to anything; larger ones make a wrong position show
            for name, weight in model.named_parameters():
                if "q_proj.weight" in name or "k_proj.weight" in name or "qkv.weight" in name:
                    weight.mul_(12)
        tiny_qwen2_vl.save(model, processor, folder)

    return shared_folder("tiny_qwen2_vl", write)


@pytest.fixture(scope="session")
def random_llava_next(shared_folder: SharedFolder) -> Path:
    """A tiny LLaVA-NeXT with random weights: 48 pixels are 2 x 2 tokens, a picture up to 2 x 2 such tiles and the whole."""
    return shared_folder("tiny_llava_next", write_llava_next)


def write_llava_next(folder: Path) -> None:
    """Write the checkpoint of :func:`random_llava_next`."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessorPil,
        LlavaNextProcessor,
    )

    from unsee.base_model import tiny_llava
    from unsee.benchmarks import question_templates

    tokenizer = tiny_llava.build_processor(question_templates.vocabulary(), vocabulary_size=1000).tokenizer
    tiles = [[48, 96], [96, 48], [96, 96], [48, 144]]
    pictures = LlavaNextImageProcessorPil(
        size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, image_grid_pinpoints=tiles
    )
    processor = LlavaNextProcessor(
        pictures,
        tokenizer,
        patch_size=24,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tiny_llava.CHAT_TEMPLATE,
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            image_size=48,
            patch_size=24,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=True,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=tiles,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.fixture(scope="session", params=["llava", "llava_next", "qwen2_vl"])
def family_spec(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The configuration's ``model`` section for a random checkpoint of each family."""
    made = {"llava": "random_checkpoint", "llava_next": "random_llava_next", "qwen2_vl": "random_qwen2_vl"}
    path = request.getfixturevalue(made[request.param])
    return {"name": "random", "family": request.param, "path": str(path), "dtype": "float32"}


@pytest.fixture(scope="session")
def many_shapes() -> Any:
    """Pictures as :func:`unsee.benchmarks.tables.read_images` gives them, each made wide, high or square."""
    from PIL import Image

    def reshape(images: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        shapes = [(100, 60), (52, 96), (96, 96), (120, 48)]
        reshaped = []
        for i, (image_id, data) in enumerate(sorted(images)):
            file = io.BytesIO()
            Image.open(io.BytesIO(data)).resize(shapes[i % len(shapes)]).save(file, "PNG")
            reshaped.append((image_id, file.getvalue()))
        return reshaped

    return reshape
