"""Small checkpoints that look like the published LLaVA-1.5-7B and Qwen2-VL-7B.

Vocabulary, special tokens, chat template, picture sizes, names of weights, several shards: as published. Two layers, 64 wide, random
weights. Three layouts of the files:

- ``2024``: weights under their first names; picture settings in ``preprocessor_config.json``, the chat template in
  ``tokenizer_config.json``;
- ``2025``: the same weights; ``chat_template.json`` (and ``processor_config.json`` for LLaVA), as the published repositories are now;
- ``v5``: what transformers 5 saves.

``python -m tests.realistic.checkpoints llava 2025 FOLDER`` writes one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from tests.realistic import vocabularies
from unsee.models.families import load_family

LAYOUTS = ("2024", "2025", "v5")
FAMILIES = ("llava", "qwen2_vl")
WIDTH, LAYERS = 64, 2
DTYPES = {"llava": torch.float16, "qwen2_vl": torch.bfloat16}  # as published
#: ``USER: <image>\n{question} ASSISTANT:``; with the tag that marks what the assistant says.
LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}"
    "{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
#: ChatML, whose system turn is there where none is given; pictures may be counted.
QWEN_TEMPLATE = (
    "{% set pictures = namespace(n=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}{% set pictures.n = pictures.n + 1 %}"
    "{% if add_vision_id %}Picture {{ pictures.n }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {"llava": LLAVA_TEMPLATE, "qwen2_vl": QWEN_TEMPLATE}
_CLIP = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
}
_PICTURES: dict[str, dict[str, Any]] = {
    "llava": {
        **_CLIP,
        "crop_size": {"height": 336, "width": 336},
        "do_center_crop": True,
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor",
        "size": {"shortest_edge": 336},
    },
    "qwen2_vl": {
        **_CLIP,
        "image_processor_type": "Qwen2VLImageProcessor",
        "max_pixels": 12_845_056,
        "merge_size": 2,
        "min_pixels": 3_136,
        "patch_size": 14,
        "processor_class": "Qwen2VLProcessor",
        "size": {"max_pixels": 12_845_056, "min_pixels": 3_136},
        "temporal_patch_size": 2,
    },
}
_TOKENIZERS: dict[str, dict[str, Any]] = {
    "llava": {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "legacy": False,
        "model_max_length": 10**30,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    },
    "qwen2_vl": {
        "add_prefix_space": False,
        "additional_special_tokens": vocabularies.QWEN_SPECIAL[1:],
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32_768,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    },
}
#: Where published weights stand under another name than in today's model.
_FIRST_NAMES = {
    "llava": [
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.vision_model.", "vision_tower.vision_model."),
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
    ],
    "qwen2_vl": [("model.language_model.", "model."), ("model.visual.", "visual.")],
}


def write(name: str, layout: str, folder: Path, *, package: Path | None = None, seed: int = 0) -> Path:
    """Write a checkpoint of a family in a layout.

    Args:
        name: of :data:`FAMILIES`.
        layout: of :data:`LAYOUTS`.
        folder: is made.
        package: the file with the published vocabulary (:mod:`tests.realistic.vocabularies`); a stand-in without.
        seed: of the weights.
    """
    folder.mkdir(parents=True)
    if layout == "v5":
        old = write(name, "2025", folder / "old", package=package, seed=seed)
        kind = load_family(name)
        model: Any = kind.load(str(old), DTYPES[name])
        model.save_pretrained(folder, max_shard_size="6MB")
        kind.load_processor(str(old)).save_pretrained(folder)
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
        return folder
    model = _llava() if name == "llava" else _qwen2_vl()
    _draw_weights(model, seed)
    _save_weights(model.to(DTYPES[name]), name, folder)
    _save_config(model.config, name, folder)
    tokenizer = vocabularies.llama(package) if name == "llava" else vocabularies.qwen2(package)
    _save_processor(tokenizer, name, layout, folder)
    return folder


def _llava() -> LlavaForConditionalGeneration:
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        image_size=336,
        intermediate_size=2 * WIDTH,
        num_attention_heads=2,
        num_hidden_layers=LAYERS + 1,  # the last is not read: vision_feature_layer is -2
        patch_size=14,
        projection_dim=WIDTH,
    )
    text = LlamaConfig(
        vocab_size=32_064,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=4_096,
        num_attention_heads=2,
        num_hidden_layers=LAYERS,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=32_000,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=576,
        tie_word_embeddings=False,
        pad_token_id=32_001,
    )
    return LlavaForConditionalGeneration(config)


def _qwen2_vl() -> Qwen2VLForConditionalGeneration:
    config = Qwen2VLConfig(
        vision_config={
            "depth": LAYERS,
            "embed_dim": WIDTH,
            "hidden_size": WIDTH,
            "mlp_ratio": 2,
            "num_heads": 2,
            "patch_size": 14,
        },
        text_config={
            "vocab_size": 152_064,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "max_position_embeddings": 32_768,
            "num_attention_heads": 2,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": 1,
            # Published: 16, 24 and 24 of the 64 frequencies of a head; here a head has 16.
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": 151_643,
            "eos_token_id": 151_645,
        },
        image_token_id=151_655,
        video_token_id=151_656,
        vision_start_token_id=151_652,
        vision_end_token_id=151_653,
        tie_word_embeddings=False,
    )
    return Qwen2VLForConditionalGeneration(config)


@torch.no_grad()
def _draw_weights(model: torch.nn.Module, seed: int) -> None:
    """Random weights that matter: fresh ones hardly attend, and every answer would be alike."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            weight.copy_(torch.zeros_like(weight) if name.endswith("bias") else torch.ones_like(weight))
            continue
        scale = 1 / weight[0].numel() ** 0.5
        if "embed_tokens" in name:
            scale = 1.0
        elif any(part in name for part in ("q_proj", "k_proj", "attn.qkv", "lm_head")):
            scale *= 3
        weight.copy_(torch.randn(weight.shape, generator=generator) * scale)


def _save_weights(model: torch.nn.Module, name: str, folder: Path, shards: int = 3) -> None:
    """Weights under their first names, in several shards with an index."""
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in model.state_dict().items():
        for now, first in _FIRST_NAMES[name]:
            if key.startswith(now):
                key = first + key.removeprefix(now)
                break
        tensors[key] = tensor.contiguous()
    keys, index = sorted(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = keys[i::shards]
        save_file({key: tensors[key] for key in part}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    content = {"metadata": {"total_size": size}, "weight_map": {key: index[key] for key in keys}}
    _write(folder / "model.safetensors.index.json", content)


def _save_config(config: Any, name: str, folder: Path) -> None:
    """``config.json`` as it was published: LLaVA's in two sections, Qwen2-VL's decoder beside its tower."""
    text, vision = config.text_config, config.vision_config
    if name == "llava":
        kept = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
        content = {
            "architectures": ["LlavaForConditionalGeneration"],
            "ignore_index": -100,
            "image_token_index": 32_000,
            "model_type": "llava",
            "pad_token_id": 32_001,
            "projector_hidden_act": "gelu",
            "text_config": {
                "architectures": ["LlamaForCausalLM"],
                "max_position_embeddings": 4_096,
                "model_type": "llama",
                "rms_norm_eps": 1e-05,
                "torch_dtype": "float16",
                "vocab_size": 32_064,
                **{key: getattr(text, key) for key in kept},
            },
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.36.0.dev0",
            "vision_config": {
                "image_size": 336,
                "model_type": "clip_vision_model",
                "patch_size": 14,
                "projection_dim": vision.projection_dim,
                **{key: getattr(vision, key) for key in kept},
            },
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "vocab_size": 32_064,
        }
        generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32_001}
    else:
        content = {
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "attention_dropout": 0.0,
            "bos_token_id": 151_643,
            "eos_token_id": 151_645,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "image_token_id": 151_655,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": 32_768,
            "max_window_layers": 28,
            "model_type": "qwen2_vl",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {"mrope_section": [4, 6, 6], "type": "mrope"},
            "rope_theta": 1000000.0,
            "sliding_window": 32_768,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.41.2",
            "use_cache": True,
            "use_sliding_window": False,
            "video_token_id": 151_656,
            "vision_config": {
                "depth": vision.depth,
                "embed_dim": vision.embed_dim,
                "hidden_size": text.hidden_size,
                "in_chans": 3,
                "mlp_ratio": vision.mlp_ratio,
                "num_heads": vision.num_heads,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "spatial_patch_size": 14,
                "temporal_patch_size": 2,
            },
            "vision_end_token_id": 151_653,
            "vision_start_token_id": 151_652,
            "vision_token_id": 151_654,
            "vocab_size": 152_064,
        }
        generation = {
            "bos_token_id": 151_643,
            "do_sample": True,
            "eos_token_id": [151_645, 151_643],
            "pad_token_id": 151_643,
            "temperature": 0.01,
            "top_k": 1,
            "top_p": 0.001,
        }
    _write(folder / "config.json", content)
    _write(folder / "generation_config.json", {**generation, "transformers_version": content["transformers_version"]})


def _save_processor(tokenizer: Tokenizer, name: str, layout: str, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {
        str(token_id): {
            "content": token.content,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token_id, token in sorted(tokenizer.get_added_tokens_decoder().items())
    }
    settings = {**_TOKENIZERS[name], "added_tokens_decoder": added}
    template = {"chat_template": TEMPLATES[name]}
    if layout == "2024":
        settings |= template
    else:
        _write(folder / "chat_template.json", template)
        if name == "llava":
            content = {
                "image_token": "<image>",
                "num_additional_image_tokens": 1,
                "patch_size": 14,
                "processor_class": "LlavaProcessor",
                "vision_feature_select_strategy": "default",
            }
            _write(folder / "processor_config.json", content)
    _write(folder / "tokenizer_config.json", settings)
    _write(folder / "preprocessor_config.json", _PICTURES[name])


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
