"""A checkpoint that lacks something, or is another's, is refused with one sentence, before anything is computed with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration, Qwen2VLForConditionalGeneration

from tests import error_page
from tests.realistic import checkpoints as realistic
from unsee import memory, models
from unsee.models import chat_templates, checkpoints
from unsee.models.checkpoints import CheckpointError
from unsee.models.families import FAMILIES, load_family
from unsee.models.model import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(random_checkpoint: Path, tmp_path: Path) -> Path:
    """A sound checkpoint, to be spoiled."""
    return Path(shutil.copytree(random_checkpoint, tmp_path / "checkpoint"))


def change_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(
        {name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )


def shard(folder: Path, n: int = 3) -> dict[str, Any]:
    """Share the weights among several files, as large checkpoints are; gives their index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: f"model-{i % n + 1:05}-of-{n:05}.safetensors" for i, name in enumerate(sorted(weights))}
    for file in set(names.values()):
        save_file({k: weights[k] for k in weights if names[k] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def planned(folder: Path, name: str = "llava") -> str:
    """What planning says of model.path."""
    model = {"path": str(folder), "family": name, "build": False}
    lines = [f"{'.'.join(key)} {message}" for key, message in checkpoints.findings(model, ROOT)]
    return "\n".join(lines).replace(str(folder), "FOLDER")


def loaded(folder: Path, name: str = "llava", dtype: str = "float32") -> str:
    """What a job says that loads it."""
    with pytest.raises(CheckpointError) as caught:
        load({"name": "x", "family": name, "path": str(folder), "dtype": dtype})
    return str(caught.value).replace(str(folder), "FOLDER")


# --- problems that planning reports ------------------------------------------------------------------------------------------


def test_sound_checkpoints_pass(family_spec: dict[str, Any], tmp_path: Path) -> None:
    assert planned(Path(family_spec["path"]), family_spec["family"]) == ""
    folder = Path(shutil.copytree(family_spec["path"], tmp_path / "checkpoint"))
    shard(folder)
    assert planned(folder, family_spec["family"]) == ""
    whole, shards = load(family_spec), load({**family_spec, "path": str(folder)})
    theirs = dict(shards.base.named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in whole.base.named_parameters())


def test_the_shipped_checkpoint_passes() -> None:
    assert checkpoints.problems(ROOT / "src/unsee/data/tiny-llava", "llava") == []


def test_every_family_is_known_to_planning() -> None:
    assert all(load_family(name).name == name for name in FAMILIES)
    schema = (ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text()
    assert f"enum: [{', '.join(FAMILIES)}]" in schema


def test_another_familys_checkpoint_is_refused(folder: Path, random_qwen2_vl: Path, random_llava_next: Path) -> None:
    for path, name in (
        (random_llava_next, "llava"),
        (folder, "llava_next"),
        (folder, "qwen2_vl"),
        (random_qwen2_vl, "llava"),
    ):
        assert "config.json has the model_type" in planned(path, name)
        assert "config.json has the model_type" in loaded(path, name)
    error_page.check("family llava over a LLaVA-NeXT", "planning", planned(random_llava_next))
    (folder / "config.json").write_text("{}")
    error_page.check("config.json of a checkpoint is {}", "planning", planned(folder))
    (folder / "config.json").unlink()
    error_page.check("a checkpoint without config.json", "planning", planned(folder))


def test_turns_of_another_kind_are_refused(folder: Path, random_qwen2_vl: Path) -> None:
    """``llava_chatml`` writes no blank in front of an answer: over LLaVA-1.5's turns, every answer is another."""
    error_page.check("family llava_chatml over LLaVA-1.5's turns", "planning", planned(folder, "llava_chatml"))
    chatml = (random_qwen2_vl / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(chatml.replace("<|image_pad|>", "<image>"))
    assert planned(folder, "llava_chatml") == ""
    error_page.check("family llava over ChatML's turns", "planning", planned(folder))


@pytest.mark.parametrize(
    "where", ["chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json", "several"]
)
def test_a_chat_template_is_found_where_any_release_left_it(where: str, folder: Path, random_checkpoint: Path) -> None:
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    if where == "several":
        several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
        change_json(folder / "tokenizer_config.json", lambda c: c.update(chat_template=several))
    elif where.endswith("config.json"):
        change_json(folder / where, lambda c: c.update(chat_template=template))
    else:
        (folder / where).write_text(template if where.endswith("jinja") else json.dumps({"chat_template": template}))
    assert planned(folder) == ""
    models = [
        load({"name": "x", "family": "llava", "path": str(path), "dtype": "float32"})
        for path in (random_checkpoint, folder)
    ]
    assert len({vlm.prompt("Who is this?", with_image=True) for vlm in models}) == 1


#: Of llava-hf/llava-1.5-7b-hf, with transformers' own tag around an answer.
PUBLISHED = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def test_planning_renders_a_template_as_transformers_does(family_spec: dict[str, Any]) -> None:
    processor = load_family(family_spec["family"]).load_processor(family_spec["path"])
    tokens = {"bos_token": processor.tokenizer.bos_token or "", "eos_token": processor.tokenizer.eos_token}
    content = [{"type": "image"}, {"type": "text", "text": "Who is this?"}]
    for template in (processor.chat_template, PUBLISHED):
        theirs = processor.apply_chat_template(
            [{"role": "user", "content": content}], chat_template=template, add_generation_prompt=True
        )
        assert chat_templates._render(template, tokens) == theirs


def test_the_published_template_passes(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(PUBLISHED)
    assert planned(folder) == ""


def test_what_is_not_there_is_named(folder: Path) -> None:
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}ASSISTANT:"
    )
    error_page.check("a chat template for words alone", "planning", planned(folder))
    (folder / "chat_template.jinja").write_text("{% for message in %}")
    error_page.check("a chat template that is no template", "planning", planned(folder))
    (folder / "chat_template.jinja").unlink()
    error_page.check("a checkpoint without chat template", "planning", planned(folder))
    (folder / "chat_template.jinja").write_text(template)
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").unlink()
    error_page.check("a checkpoint without tokenizer", "planning", planned(folder))
    (folder / "tokenizer.json").write_text(tokenizer[: len(tokenizer) // 2])
    assert "tokenizer.json is no JSON" in planned(folder)
    (folder / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    error_page.check("a Git LFS pointer in a checkpoint", "planning", planned(folder))
    (folder / "tokenizer.json").write_text(tokenizer)
    (folder / "processor_config.json").unlink()
    error_page.check("a checkpoint without picture processor", "planning", planned(folder))


def test_weights_that_are_not_whole_are_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    assert "model.safetensors is damaged or cut short" in planned(folder)
    file.write_bytes(data[:1000])
    error_page.check("weights that are cut short", "planning", planned(folder))
    for damaged in (
        b"",
        data[:8] + bytes(100) + data[108:],
        data + b"x",
        b"version https://git-lfs.github.com/spec/v1\n",
    ):
        file.write_bytes(damaged)
        assert planned(folder).count("model.safetensors is ") == 1
        assert "cannot be used" in loaded(folder)
    file.write_bytes(data)
    change_json(folder / "config.json", lambda c: c.update(quantization_config={"quant_method": "bitsandbytes"}))
    error_page.check("a quantised checkpoint", "planning", planned(folder))


def test_an_index_is_held_to_its_files(folder: Path) -> None:
    index = shard(folder)
    assert planned(folder) == ""
    shards = sorted(folder.glob("model-*.safetensors"))
    kept = shards[1].read_bytes()
    shards[1].unlink()
    error_page.check("an index that names a missing file", "planning", planned(folder))
    shards[1].write_bytes(kept)
    index["weight_map"]["another.weight"] = shards[0].name
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    error_page.check("an index that names a missing weight", "planning", planned(folder))
    index["weight_map"]["another.weight"] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "../elsewhere.safetensors is not there" in planned(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "has no weight_map" in planned(folder)
    (folder / "model.safetensors.index.json").unlink()
    error_page.check("several files of weights without index", "planning", planned(folder))


def test_other_files_of_the_folder_are_of_no_interest(folder: Path) -> None:
    (folder / "trainer_state.json").write_text("[1, 2")
    (folder / "notes.json").write_text("[]")
    assert planned(folder) == ""
    (folder / "generation_config.json").write_text("[]")
    assert planned(folder).endswith("generation_config.json is no JSON object; expected one")


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    said = checkpoints.problems(folder, "llava")
    assert "tokenizer.json cannot be read (Permission denied)" in said
    assert "model.safetensors cannot be read (Permission denied)" in said


def test_a_config_that_describes_no_model_is_named(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config["text_config"].update(hidden_size=-64))
    error_page.check("a config.json with a negative hidden_size", "loading", loaded(folder))


def test_a_folder_is_told_from_a_published_name(folder: Path, tmp_path: Path) -> None:
    def said(path: str) -> str:
        model = {"path": path, "family": "llava", "build": False}
        return " ".join(message for _, message in checkpoints.findings(model, tmp_path)).replace(
            str(tmp_path), "FOLDER"
        )

    assert said("llava-hf/llava-1.5-7b-hf") == "", "no folder llava-hf: the name of a published checkpoint"
    (tmp_path / "checkpoints").mkdir()
    error_page.check(
        "model.path checkpoints/llava, without such a folder in checkpoints", "planning", said("checkpoints/llava")
    )
    for path in ("./llava", "../llava", "a/b/c", "llava", str(tmp_path / "no")):
        assert "which is not there" in said(path), path
    shutil.move(folder, tmp_path / "checkpoints" / "llava")
    assert said("checkpoints/llava") == ""


# --- problems that loading reports -------------------------------------------------------------------------------------------


def remove(weights: dict[str, torch.Tensor], n: int) -> None:
    for name in sorted(weights)[:: len(weights) // n][:n]:
        del weights[name]


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    change_weights(folder, lambda weights: remove(weights, 29))
    error_page.check("a checkpoint that lacks 29 weights", "planning", planned(folder))
    assert "lacks 29 weights" in loaded(folder)


def test_planning_counts_the_layers(folder: Path) -> None:
    def without_the_last(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if "language_model" in name and "layers.1." in name]:
            del weights[name]

    change_weights(folder, without_the_last)
    error_page.check("a checkpoint with fewer layers than config.json says", "planning", planned(folder))


@pytest.mark.parametrize("name", ["llava", "llava_next", "qwen2_vl"])
def test_planning_finds_nothing_missing_in_a_sound_checkpoint(name: str, request: pytest.FixtureRequest) -> None:
    made = {"llava": "random_checkpoint", "llava_next": "random_llava_next", "qwen2_vl": "random_qwen2_vl"}[name]
    assert planned(request.getfixturevalue(made), name) == ""
    assert planned(ROOT / "src/unsee/data/tiny-llava") == ""


@pytest.mark.parametrize("name", ["llava", "llava_next", "qwen2_vl"])
def test_a_single_missing_weight_is_seen_in_every_family(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    made = {"llava": "random_checkpoint", "llava_next": "random_llava_next", "qwen2_vl": "random_qwen2_vl"}[name]
    folder = Path(shutil.copytree(request.getfixturevalue(made), tmp_path / "checkpoint"))
    sound = (folder / "model.safetensors").read_bytes()
    for missing in sorted(load_file(folder / "model.safetensors"))[1::20]:
        (folder / "model.safetensors").write_bytes(sound)
        change_weights(folder, lambda weights, missing=missing: weights.pop(missing))  # type: ignore[misc]
        assert "lacks 1 weight: " in loaded(folder, name)
        assert "lacks 1 weight: " in planned(folder, name)


@pytest.mark.parametrize("name", ["llava-hf/llava-1.5-7b-hf", "Qwen/Qwen2-VL-7B-Instruct"])
def test_planning_expects_the_weights_of_a_published_model(name: str) -> None:
    config = dict(memory.PUBLISHED[name])
    kind: Any = {"llava": LlavaForConditionalGeneration, "qwen2_vl": Qwen2VLForConditionalGeneration}[
        config["model_type"]
    ]
    heads = {"num_attention_heads": 16} if config["model_type"] == "llava" else {}
    with torch.device("meta"):
        model = kind(kind.config_class.from_dict({**config, "vision_config": {**config["vision_config"], **heads}}))
    shapes, layout = memory.read_shapes(config, {}, "float32", (28, 28)), FAMILIES[config["model_type"]].layout
    assert shapes is not None and layout is not None
    expected = layout.weights(config, shapes)
    assert expected == {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("layout", realistic.LAYOUTS)
@pytest.mark.parametrize("name", realistic.FAMILIES)
def test_planning_knows_the_names_of_every_layout(name: str, layout: str, tmp_path: Path) -> None:
    folder = realistic.write(name, layout, tmp_path / "checkpoint")
    assert planned(folder, name) == ""
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    missing = next(weight for weight in index if "embed_tokens" in weight)
    weights = load_file(folder / index[missing])
    del weights[missing]
    save_file(weights, folder / index.pop(missing), {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert planned(folder, name).endswith("lacks 1 weight: model.language_model.embed_tokens.weight")


def test_a_config_with_too_many_layers_is_refused_when_planning(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config["text_config"].update(num_hidden_layers=10**9))
    error_page.check("config.json describes more layers than weights", "planning", planned(folder))


@pytest.mark.parametrize("decoder", ["gemma", None])
def test_planning_says_nothing_about_names_that_it_cannot_derive(decoder: str | None, folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config["text_config"].update(model_type=decoder))
    assert planned(folder) == ""


def test_renamed_weights_are_no_weights(folder: Path) -> None:
    def rename(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[f"module_{name}"] = weights.pop(name)

    change_weights(folder, rename)
    error_page.check("a checkpoint with all weights renamed", "planning", planned(folder))
    assert "lacks 127 weights: " in loaded(folder) and "has 127 weights that its model does not have: " in loaded(
        folder
    )


def test_a_weight_of_another_shape_is_refused(folder: Path) -> None:
    def transpose(weights: dict[str, torch.Tensor]) -> None:
        name = next(name for name in weights if "layers.0.mlp.up_proj" in name)
        weights[name] = weights[name].T.contiguous()

    change_weights(folder, transpose)
    error_page.check("a weight of another shape than config.json says", "planning", planned(folder))
    assert "up_proj.weight has the shape (64, 192); expected (192, 64) by config.json" in loaded(folder)


def test_a_weight_too_many_is_refused(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"language_model.model.layers.9.bias": torch.zeros(3)}))
    assert "has 1 weight that its model does not have: " in loaded(folder)
    error_page.check("a weight that the model does not have", "planning", planned(folder))


@pytest.mark.parametrize(("value", "spelling"), [(float("nan"), "NaN"), (float("inf"), "inf"), (-float("inf"), "-inf")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_values_that_are_not_finite_are_refused(value: float, spelling: str, dtype: str, folder: Path) -> None:
    """One of them in one weight makes NaN of everything, and training then blames its learning rate."""

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        name = next(name for name in weights if "layers.1.mlp.up_proj" in name)
        weights[name][3, 5] = value

    change_weights(folder, spoil)
    message = loaded(folder, dtype=dtype)
    assert message.count("not finite") == 1 and "layers.1.mlp.up_proj.weight" in message
    if spelling == "NaN" and dtype == "float32":
        error_page.check("a weight that is NaN", "loading", message)


def test_a_value_that_half_precision_cannot_hold_is_refused(folder: Path) -> None:
    def enlarge(weights: dict[str, torch.Tensor]) -> None:
        name = next(name for name in weights if "layers.1.mlp.up_proj" in name)
        weights[name] = weights[name].float()
        weights[name][0, 0] = 70_000.0

    change_weights(folder, enlarge)
    error_page.check("a weight of 70,000 with dtype float16", "loading", loaded(folder, dtype="float16"))
    load({"name": "x", "family": "llava", "path": str(folder), "dtype": "bfloat16"})


def test_a_head_of_its_own_must_be_there_and_a_shared_one_need_not(folder: Path) -> None:
    assert not any("lm_head" in name for name in load_file(folder / "model.safetensors"))
    load({"name": "x", "family": "llava", "path": str(folder), "dtype": "float32"})

    def untie(config: dict[str, Any]) -> None:
        config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False

    change_json(folder / "config.json", untie)
    assert "lacks 1 weight: lm_head.weight" in loaded(folder)
    assert "lacks 1 weight: lm_head.weight" in planned(folder)


def test_names_of_2024_are_todays(folder: Path, random_checkpoint: Path) -> None:
    """The tower had one more level of names, and tables of positions were stored."""

    def rename(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if name.startswith("vision_tower.")]:
            weights[name.replace("vision_tower.", "vision_tower.vision_model.")] = weights.pop(name)
        weights["vision_tower.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
        weights["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)

    change_weights(folder, rename)
    assert planned(folder) == ""
    new, old = (
        load({"name": "x", "family": "llava", "path": str(p), "dtype": "float32"}).base
        for p in (random_checkpoint, folder)
    )
    theirs = dict(old.named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in new.named_parameters())


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config.update(image_token_index=7))
    error_page.check("a tokenizer with another picture token than config.json", "loading", loaded(folder))
    change_json(folder / "config.json", lambda config: config.update(image_token_index=3))
    change_json(folder / "tokenizer_config.json", lambda config: config.pop("eos_token"))
    error_page.check("a tokenizer without an end", "loading", loaded(folder))


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<another {i}>" for i in range(5)])
    tokenizer.save_pretrained(folder)
    assert "tokens; expected at most " in loaded(folder)


#: Not ru_maxrss, which counts the process that started this one.
MEASURE = """
import sys, torch
sys.path.insert(0, {source!r})
from unsee.models.checkpoints import CheckpointError
from unsee.models.model import load
try:
    load(dict(name="x", family="llava", path=sys.argv[1], dtype="float32"))
except CheckpointError as error:
    print(error)
print(int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024)
"""


@pytest.mark.parametrize("case", ["all defaults", "wrong width"])
def test_a_checkpoint_that_is_refused_takes_no_memory(case: str, folder: Path) -> None:
    """A config.json that says nothing but model_type describes a model of 7 billion numbers: 28 GB, were it built."""
    if case == "all defaults":
        (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    else:
        change_json(folder / "config.json", lambda c: c["text_config"].update(vocab_size=20_000_000))
    code = MEASURE.format(source=str(ROOT / "src"))
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cannot be used" in done.stdout and "has the shape" in done.stdout
    assert int(done.stdout.split()[-1]) < 1500, done.stdout


def test_an_old_transformers_is_refused() -> None:
    with pytest.raises(
        ImportError, match=r"^transformers is 5\.4\.0; expected 5\.9 or newer: pip install 'transformers>=5\.9'$"
    ):
        models.check_transformers("5.4.0")
    for version in ("5.9.0", "5.23.0", "6.0.0.dev0"):
        models.check_transformers(version)
    project = (ROOT / "pyproject.toml").read_text()
    assert f'"transformers>={models.MINIMUM[0]}.{models.MINIMUM[1]}"' in project
