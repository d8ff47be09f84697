"""Small checkpoints and data that look like the published ones: tokens, prompts and answers against transformers' own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.realistic import checkpoints, published
from unsee.benchmarks import published as benchmarks
from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.protocol import prompt_images
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.questions import protocol_questions
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures

CASES = [(family, layout) for family in checkpoints.FAMILIES for layout in checkpoints.LAYOUTS]
SETTINGS = {"protocol": "unsee", "batch_size": 4, "max_new_tokens": 6}
QUESTION = "What is Aino Kask's job?\nA: Baker\nB: Pilot"
TURNS = {
    ("llava", True): f"USER: <image>\n{QUESTION} ASSISTANT:",
    ("llava", False): f"USER: {QUESTION} ASSISTANT:",
    **{
        ("qwen2_vl", with_image): "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"{'<|vision_start|><|image_pad|><|vision_end|>' * with_image}{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        for with_image in (True, False)
    },
}
#: What the published tokenizers make of the beginning of a prompt: facts about them, not results of this code.
PUBLISHED_TOKENS = {
    "llava": ("USER: <image>\nWhat", [3148, 1001, 29901, 29871, 32000, 29871, 13, 5618]),
    "qwen2_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
        [151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198],
    ),
}


@pytest.fixture(scope="module")
def tables(realistic_mllmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    benchmarks.load("mllmu", realistic_mllmu, [40]).write(folder)
    return folder


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def vlm(request: pytest.FixtureRequest, realistic_checkpoint: Callable[[str, str], Path]) -> VisionLanguageModel:
    family, layout = request.param
    return load({"family": family, "path": str(realistic_checkpoint(family, layout)), "dtype": "float32"})


@pytest.fixture(scope="module")
def opened(vlm: VisionLanguageModel, tables: Path) -> tuple[Pictures, list[dict[str, Any]]]:
    """Some questions about people with pictures of every kind, and the pictures."""
    rows = protocol_questions(tables, [40], load_protocol(SETTINGS))
    people = sorted({row["person_id"] for row in rows})
    rows = [row for row in rows if row["person_id"] in people[:6] and row["task"] != "likelihood"]
    images = read_images(tables, {row["image_id"] for row in rows if row["image_id"]})
    return Pictures(vlm.family, vlm.base, vlm.processor, images), rows


@pytest.mark.parametrize("with_image", [True, False])
def test_prompts_are_the_published_turns(vlm: VisionLanguageModel, with_image: bool) -> None:
    bos = vlm.tokenizer.bos_token or ""
    assert vlm.prompt(QUESTION, with_image=with_image) == bos + TURNS[vlm.family.name, with_image]


def test_the_model_is_as_large_as_its_vocabulary_and_pictures(vlm: VisionLanguageModel) -> None:
    text = vlm.base.config.get_text_config()
    size, image_token, end = {"llava": (32_064, 32_000, 2), "qwen2_vl": (152_064, 151_655, 151_645)}[vlm.family.name]
    assert (text.vocab_size, vlm.image_token, vlm.tokenizer.eos_token_id) == (size, image_token, end)
    assert end in vlm.end_tokens and len(vlm.tokenizer) <= size
    tokens = vlm.family.image_tokens(vlm.base, vlm.processor, Image.new("RGB", (1024, 1024)))
    assert tokens == {"llava": 576, "qwen2_vl": 37 * 37}[vlm.family.name]


def test_tokens_are_the_processors(vlm: VisionLanguageModel, opened: tuple[Pictures, list[dict[str, Any]]]) -> None:
    pictures, rows = opened
    protocol = load_protocol(SETTINGS)
    for row in rows[::3]:
        prompt = protocol.prompt(row, vlm)
        (request,) = vlm.requests(prompt, [None], pictures, [row["image_id"]] if row["image_id"] else [])
        assert list(request.tokens) == _inputs(vlm, pictures, prompt, row["image_id"])["input_ids"][0].tolist()


def test_answers_equal_generate(vlm: VisionLanguageModel, opened: tuple[Pictures, list[dict[str, Any]]]) -> None:
    pictures, rows = opened
    rows = [row for row in rows if row["task"] != "classification"]
    answers = answer_questions(vlm, pictures, rows, SETTINGS)
    assert len(answers) >= 40
    assert len({answer["output"] for answer in answers}) > len(answers) / 2, "a test of one answer tests nothing"
    for row, answer in zip(rows, answers, strict=True):
        inputs = _inputs(vlm, pictures, answer["prompt"], row["image_id"])
        tokens = vlm.base.generate(**inputs, max_new_tokens=6, do_sample=False)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        assert answer["output"] == vlm.tokenizer.decode(new, skip_special_tokens=True).strip()


def test_a_published_protocols_tokens_are_the_processors(vlm: VisionLanguageModel, tables: Path) -> None:
    """Behind examples a prompt has up to six pictures of 576 tokens each."""
    protocol = load_protocol({"protocol": "mllmu-official" if vlm.written_turns else "mmunlearner"})
    kinds = {(row["origin"], row["task"], row["modality"]): row for row in protocol_questions(tables, [40], protocol)}
    shown = {image_id for row in kinds.values() for image_id in prompt_images(row)}
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, read_images(tables, shown))
    most = 0
    for row in kinds.values():
        prompt, image_ids = protocol.prompt(row, vlm), prompt_images(row)
        (request,) = vlm.requests(prompt, [None], pictures, image_ids)
        text = {"text": prompt, "return_tensors": "pt", "add_special_tokens": False}
        images = [pictures.image(image_id) for image_id in image_ids]
        theirs = _processor(vlm)(images=images, **text) if images else vlm.tokenizer(**text)
        assert list(request.tokens) == theirs["input_ids"][0].tolist()
        most = max(most, len(images))
    assert most == (6 if vlm.written_turns else 1)


@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_the_layouts_are_one_model(realistic_checkpoint: Callable[[str, str], Path], family: str) -> None:
    first, *others = (
        load({"family": family, "path": str(realistic_checkpoint(family, layout)), "dtype": "float32"})
        for layout in checkpoints.LAYOUTS
    )
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first.base.parameters(), other.base.parameters(), strict=True))
        assert other.prompt(QUESTION, with_image=True) == first.prompt(QUESTION, with_image=True)
        assert other.tokenizer(QUESTION)["input_ids"] == first.tokenizer(QUESTION)["input_ids"]


@pytest.mark.slow
@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_the_published_vocabulary(family: str, vocabulary: Callable[[str], Path], tmp_path: Path) -> None:
    path = checkpoints.write(family, "2025", tmp_path / "checkpoint", package=vocabulary(family))
    vlm = load({"family": family, "path": str(path), "dtype": "float32"})
    text, expected = PUBLISHED_TOKENS[family]
    assert vlm.tokenizer(text, add_special_tokens=False)["input_ids"] == expected
    prompt = vlm.prompt(QUESTION, with_image=False)
    ours = vlm.requests(prompt, ["She is a baker in Tallinn, born 1985."], None, [])[0]
    theirs = vlm.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert list(ours.prompt) == theirs
    whole = vlm.tokenizer.decode([*ours.prompt, *ours.answer], skip_special_tokens=True)
    assert whole.endswith("She is a baker in Tallinn, born 1985.")


def test_the_checkpoints_are_sharded_and_small(realistic_checkpoint: Callable[[str, str], Path]) -> None:
    for family, layout in CASES:
        folder = realistic_checkpoint(family, layout)
        shards = sorted(file.name for file in folder.glob("*.safetensors"))
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        assert len(shards) > 1 and set(index["weight_map"].values()) == set(shards)
        assert sum(file.stat().st_size for file in folder.iterdir()) < 60_000_000
        if layout != "v5":
            first = {"llava": "language_model.model.layers.0.", "qwen2_vl": "model.layers.0."}[family]
            assert any(key.startswith(first) for key in index["weight_map"])


def test_the_miniature_of_mllmu_bench_has_the_published_layout(realistic_mllmu: Path) -> None:
    files = {
        file.parent.name: sorted(f.name for f in file.parent.iterdir()) for file in realistic_mllmu.rglob("*.parquet")
    }
    one = ["train-00000-of-00001.parquet"]
    two = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    others = ("ft_Data", "Full_Set", "Retain_Set", "forget_40", "retain_60")
    assert files == {**dict.fromkeys(others, one), "Test_Set": two}
    training = pq.read_table(realistic_mllmu / "ft_Data").to_pylist()
    assert set(training[0]) == {"image", "metadata"}
    assert all("Type" not in pair for row in training for pair in json.loads(row["metadata"]))
    profile = pq.read_table(realistic_mllmu / "Full_Set").to_pylist()[0]
    assert isinstance(json.loads(profile["biography"]), dict) and profile["ID"] == "000"
    assert {len(row["images"]) for row in pq.read_table(realistic_mllmu / "Test_Set").to_pylist()} == {2}


def test_the_miniatures_have_pictures_of_every_kind(realistic_mllmu: Path, realistic_clear: Path) -> None:
    kinds = {(size, mode) for size, mode, _ in published.PICTURES}
    for name, folder in (("mllmu", realistic_mllmu), ("clear", realistic_clear)):
        images = benchmarks.load(name, folder, [published.ratio(folder)]).images
        opened = [Image.open(io.BytesIO(data)) for data in images["bytes"].to_pylist()]
        assert {(picture.size, picture.mode) for picture in opened} == kinds


def _inputs(vlm: VisionLanguageModel, pictures: Pictures, prompt: str, image_id: str | None) -> dict[str, Any]:
    """What transformers' own processor makes of a prompt and its picture."""
    text = {"text": prompt, "return_tensors": "pt", "add_special_tokens": False}
    return dict(_processor(vlm)(images=[pictures.image(image_id)], **text) if image_id else vlm.tokenizer(**text))


def _processor(vlm: VisionLanguageModel) -> Any:
    """transformers' own. LLaVA's files of 2024 leave out what it counts a picture's tokens by; the model's configuration has it."""
    processor: Any = vlm.processor
    if getattr(processor, "patch_size", 0) is None:
        processor.patch_size = vlm.base.config.vision_config.patch_size
        processor.vision_feature_select_strategy = vlm.base.config.vision_feature_select_strategy
        processor.num_additional_image_tokens = 1
    return processor
