"""Full-size models with random weights (nothing is downloaded), and questions and pairs as many and as long as the published ones."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from unsee.base_model import tiny_llava, tiny_qwen2_vl
from unsee.benchmarks.tables import Pair
from unsee.evaluation import prompts
from unsee.models import attention
from unsee.models.families import load_family
from unsee.models.half import compute_in_float32
from unsee.models.model import VisionLanguageModel


@dataclass(frozen=True)
class Shape:
    """The sizes of a model's pictures, vision tower and decoder; ``rope`` holds the frequencies of Qwen2-VL's three axes."""

    name: str
    family: str
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
    kv_heads: int
    vocabulary: int
    rope: tuple[int, int, int] = (0, 0, 0)


LLAVA_7B = Shape("LLaVA-1.5-7B", "llava", 336, 14, 1024, 4096, 24, 16, 4096, 11008, 32, 32, 32, 32064)
QWEN2_VL_7B = Shape(
    "Qwen2-VL-7B", "qwen2_vl", 336, 14, 1280, 5120, 32, 16, 3584, 18944, 28, 28, 4, 152064, (16, 24, 24)
)
TINY = {
    "llava": Shape("tiny LLaVA", "llava", 28, 14, 32, 64, 2, 2, 64, 128, 2, 2, 2, 2000),
    "qwen2_vl": Shape("tiny Qwen2-VL", "qwen2_vl", 56, 14, 32, 128, 2, 2, 64, 128, 2, 2, 1, 2000, (4, 6, 6)),
}

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


#: Words of the chat templates, which a real tokenizer also has.
SYSTEM = ["You are a helpful assistant.", "system", "user", "assistant"]


def build(shape: Shape, device: str, dtype: torch.dtype) -> VisionLanguageModel:
    """Build a model of a shape with random weights, in evaluation mode."""
    question = " ".join(WORDS)
    texts = [f" {text}" for text in (*WORDS, prompts.cloze("__"), prompts.generation(question))]
    texts += [prompts.classification(question, WORDS[:4], "letter"), *SYSTEM]
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model, processor = {"llava": _llava, "qwen2_vl": _qwen2_vl}[shape.family](shape, texts)
    finally:
        torch.set_default_dtype(before)
    if dtype != torch.float32:
        compute_in_float32(model)  # as models.model.load does
    model.eval().requires_grad_(False)
    family = load_family(shape.family)
    family.language_model(model).set_attn_implementation(attention.NAME)  # type: ignore[operator]
    return VisionLanguageModel(family, model, processor)


def _decoder(shape: Shape, tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 4096,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _llava(shape: Shape, texts: list[str]) -> tuple[PreTrainedModel, Any]:
    processor = tiny_llava.build_processor(texts)
    processor.image_processor.size = {"shortest_edge": shape.image}
    processor.image_processor.crop_size = {"height": shape.image, "width": shape.image}
    processor.patch_size = shape.patch
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            image_size=shape.image,
            patch_size=shape.patch,
            hidden_size=shape.tower_width,
            intermediate_size=shape.tower_hidden,
            num_hidden_layers=shape.tower_layers,
            num_attention_heads=shape.tower_heads,
        ),
        text_config=LlamaConfig(**_decoder(shape, processor.tokenizer)),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(shape.image // shape.patch) ** 2,
    )
    return LlavaForConditionalGeneration(config), processor


def _qwen2_vl(shape: Shape, texts: list[str]) -> tuple[PreTrainedModel, Any]:
    processor = tiny_qwen2_vl.build_processor(texts)
    side = 2 * shape.patch
    processor.image_processor.patch_size = shape.patch
    processor.image_processor.size = {"shortest_edge": 4 * side**2, "longest_edge": 1280 * side**2}
    ids = {token: processor.tokenizer.convert_tokens_to_ids(token) for token in tiny_qwen2_vl.SPECIAL_TOKENS}
    config = Qwen2VLConfig(
        vision_config={
            "depth": shape.tower_layers,
            "embed_dim": shape.tower_width,
            "hidden_size": shape.width,
            "num_heads": shape.tower_heads,
            "mlp_ratio": shape.tower_hidden // shape.tower_width,
            "patch_size": shape.patch,
        },
        text_config={
            **_decoder(shape, processor.tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(shape.rope)},
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return Qwen2VLForConditionalGeneration(config), processor


def questions(n_people: int, shape: Shape) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """18 questions per person as in MLLMU-Bench (10 choices, 4 blanks, 4 open; half with the picture), of random words."""
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


def pairs(n_people: int, per_person: int = 20) -> list[Pair]:
    """Training pairs of each person, all with the picture."""
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
        for i in range(per_person)
    ]
