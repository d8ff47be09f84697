"""Names and shapes of the weights that a config.json describes. Planning computes them, so no model library is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unsee.memory.shapes import Shapes, read_shapes
from unsee.models.weight_files import name_problems

#: The shape of a weight by its name.
Weights = dict[str, tuple[int, ...]]

#: Tables that older releases of transformers stored. Today the model computes them.
_COMPUTED = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|position_ids)")
_EMBEDDINGS, _HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class WeightLayout:
    """The weights of a model class of transformers.

    Attributes:
        renamings: (pattern, replacement) pairs, applied in order, that turn names in a checkpoint into those of the model; the same as in
            ``transformers.conversion_mapping``.
        weights: returns the weights of a configuration, or ``None`` if this module does not describe its decoder or tower.
    """

    renamings: tuple[tuple[str, str], ...]
    weights: Callable[[Mapping[str, Any], Shapes], Weights | None]

    def problems(self, config: Mapping[str, Any], stored: Weights) -> list[str]:
        """The differences between stored weights and the configuration, one sentence each; none where config.json is incomplete.

        Args:
            config: the content of config.json.
            stored: the weights of the safetensors files.
        """
        try:
            shapes = read_shapes(config, {}, "float32", (28, 28))
            if shapes is not None and shapes.layers + shapes.tower.layers > len(stored):
                layers = f"{shapes.layers} and {shapes.tower.layers} layers of decoder and tower"
                return [f"has {len(stored)} weights in all; config.json describes {layers}"]
            expected = shapes and self.weights(config, shapes)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return []  # loading says what is wrong with config.json
        if not shapes or not expected:
            return []
        names = {name: self._current_name(name) for name in stored if not _COMPUTED.fullmatch(name)}
        present = {current: stored[name] for name, current in names.items()}
        missing = expected.keys() - present.keys()
        if shapes.tied:  # one table, stored under either name
            missing -= {_HEAD} if _HEAD in missing else {_EMBEDDINGS}
        unexpected = [name for name, current in names.items() if current not in expected]
        common = expected.keys() & present.keys()
        wrong = [(name, present[name], expected[name]) for name in common if present[name] != expected[name]]
        return name_problems(missing, unexpected, wrong)

    def _current_name(self, name: str) -> str:
        for pattern, replacement in self.renamings:
            name = re.sub(pattern, replacement, name)
        return name


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Weights:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def _norm(name: str, width: int) -> Weights:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _decoder(text: Mapping[str, Any], shapes: Shapes) -> Weights | None:
    """The weights of a Llama, Mistral or Qwen2 and of its output projection."""
    if text["model_type"] not in ("llama", "mistral", "qwen2", "qwen2_vl", "qwen2_vl_text"):
        return None
    is_qwen2 = text["model_type"].startswith("qwen2")
    attention_bias, mlp_bias = text.get("attention_bias", False), text.get("mlp_bias", False)
    width = shapes.width
    weights: Weights = {name: (shapes.vocabulary, width) for name in (_EMBEDDINGS, _HEAD)}
    weights["model.language_model.norm.weight"] = (width,)
    for i in range(shapes.layers):
        layer = f"model.language_model.layers.{i}"
        weights |= {f"{layer}.{norm}.weight": (width,) for norm in ("input_layernorm", "post_attention_layernorm")}
        for name, (inputs, outputs) in zip("qkvo", shapes.attention, strict=True):
            bias = name != "o" if is_qwen2 else attention_bias
            weights |= _linear(f"{layer}.self_attn.{name}_proj", inputs, outputs, bias=bias)
        for name, (inputs, outputs) in zip(("gate", "up", "down"), shapes.mlp, strict=True):
            weights |= _linear(f"{layer}.mlp.{name}_proj", inputs, outputs, bias=mlp_bias)
    return weights


def _clip(vision: Mapping[str, Any], shapes: Shapes) -> Weights:
    tower, width, patch = "model.vision_tower", shapes.tower.width, vision["patch_size"]
    weights: Weights = {
        f"{tower}.embeddings.class_embedding": (width,),
        f"{tower}.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{tower}.embeddings.position_embedding.weight": ((vision["image_size"] // patch) ** 2 + 1, width),
        **_norm(f"{tower}.pre_layrnorm", width),
        **_norm(f"{tower}.post_layernorm", width),
    }
    for i in range(shapes.tower.layers):
        layer = f"{tower}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights |= _linear(f"{layer}.self_attn.{name}", width, width)
        weights |= _linear(f"{layer}.mlp.fc1", width, shapes.tower.feed_forward)
        weights |= _linear(f"{layer}.mlp.fc2", shapes.tower.feed_forward, width)
        weights |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
    return weights


def _llava_weights(config: Mapping[str, Any], shapes: Shapes) -> Weights | None:
    text, vision = {"model_type": "llama", **config["text_config"]}, config["vision_config"]
    decoder = _decoder(text, shapes)
    if decoder is None or vision.get("model_type", "clip_vision_model") != "clip_vision_model":
        return None
    layers = config.get("vision_feature_layer", -2)
    inputs = shapes.tower.width * (len(layers) if isinstance(layers, list) else 1)
    bias, projector = config.get("multimodal_projector_bias", True), "model.multi_modal_projector.linear"
    return {
        **decoder,
        **_clip(vision, shapes),
        **_linear(f"{projector}_1", inputs, shapes.width, bias=bias),
        **_linear(f"{projector}_2", shapes.width, shapes.width, bias=bias),
    }


def _llava_next_weights(config: Mapping[str, Any], shapes: Shapes) -> Weights | None:
    weights = _llava_weights(config, shapes)
    return weights and {**weights, "model.image_newline": (shapes.width,)}


def _qwen2_vl_weights(config: Mapping[str, Any], shapes: Shapes) -> Weights | None:
    decoder = _decoder({"model_type": "qwen2_vl"}, shapes)
    width, vision, visual = shapes.tower.width, config["vision_config"], "model.visual"
    patch, frames = vision.get("patch_size", 14), vision.get("temporal_patch_size", 2)
    (joined, _), (_, outputs) = shapes.tower.joins
    weights: Weights = {f"{visual}.patch_embed.proj.weight": (width, 3, frames, patch, patch)}
    for i in range(shapes.tower.layers):
        block = f"{visual}.blocks.{i}"
        weights |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        weights |= _linear(f"{block}.attn.qkv", width, 3 * width) | _linear(f"{block}.attn.proj", width, width)
        weights |= _linear(f"{block}.mlp.fc1", width, shapes.tower.feed_forward)
        weights |= _linear(f"{block}.mlp.fc2", shapes.tower.feed_forward, width)
    merger = {
        **_norm(f"{visual}.merger.ln_q", width),
        **_linear(f"{visual}.merger.mlp.0", joined, joined),
        **_linear(f"{visual}.merger.mlp.2", joined, outputs),
    }
    return decoder and {**decoder, **weights, **merger}


_LLAVA_RENAMINGS = (
    (r"^language_model\.lm_head", "lm_head"),
    (r"^(language_model|vision_tower|multi_modal_projector|image_newline)", r"model.\1"),
    (r"^model\.language_model\.model\.", "model.language_model."),
    (r"^model\.vision_tower\.vision_model\.", "model.vision_tower."),
)
LLAVA = WeightLayout(_LLAVA_RENAMINGS, _llava_weights)
LLAVA_NEXT = WeightLayout(_LLAVA_RENAMINGS, _llava_next_weights)
QWEN2_VL = WeightLayout(
    (("^visual", "model.visual"), (r"^model(?!\.(language_model|visual))", "model.language_model")), _qwen2_vl_weights
)
