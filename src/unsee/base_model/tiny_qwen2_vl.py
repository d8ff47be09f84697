"""A real Qwen2-VL, small enough to learn on a CPU: patches of 12 pixels, four of them a token, a decoder with grouped heads.

A portrait of 96 pixels becomes 4 x 4 tokens; pictures of another shape become other grids, up to 16 tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from unsee.base_model.tiny_llava import train_tokenizer
from unsee.core.files import atomic_write
from unsee.models.families.qwen2_vl import Qwen2VLProcessor

PATCH_SIZE = 12
SPECIAL_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]

#: Qwen2-VL's turns, with its own first one: ``<|im_start|>user\n{picture}{question}<|im_end|>\n<|im_start|>assistant\n``
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_processor(texts: Iterable[str], vocabulary_size: int = 8192) -> Qwen2VLProcessor:
    """A tokenizer trained on ``texts`` and an image processor, as one processor."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(texts, vocabulary_size, SPECIAL_TOKENS),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL_TOKENS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    token = (2 * PATCH_SIZE) ** 2
    pictures = Qwen2VLImageProcessorPil(
        patch_size=PATCH_SIZE, merge_size=2, size={"shortest_edge": 4 * token, "longest_edge": 16 * token}
    )
    return Qwen2VLProcessor(pictures, tokenizer, chat_template=CHAT_TEMPLATE)


def build_model(
    processor: Qwen2VLProcessor, *, seed: int, width: int = 192, layers: int = 4
) -> Qwen2VLForConditionalGeneration:
    """A Qwen2-VL with random weights for that processor."""
    torch.manual_seed(seed)
    tokenizer = processor.tokenizer
    ids = dict(zip(SPECIAL_TOKENS, tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS), strict=True))
    config = Qwen2VLConfig(
        vision_config={
            "depth": layers,
            "embed_dim": 128,
            "hidden_size": width,
            "num_heads": 4,
            "patch_size": PATCH_SIZE,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "num_key_value_heads": width // 64,
            "max_position_embeddings": 512,
            # Of a head's 16 frequencies: time, rows, columns.
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    return model


def save(model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, directory: Path) -> None:
    """Save as a checkpoint folder."""
    with atomic_write(directory) as part:
        model.save_pretrained(part)
        processor.save_pretrained(part)
