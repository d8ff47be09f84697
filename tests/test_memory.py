"""What a job needs, by arithmetic: the shapes, the parts, what is refused when the plan is made, and the overlays of cards."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from safetensors.torch import save_file

from tests import error_page
from tools import memory_page
from unsee import memory
from unsee.attacks import catalogue as attack_catalogue
from unsee.core import disk
from unsee.jobs.config import ConfigError, resolve, resolve_attacks
from unsee.jobs.config_checks import check, check_attacks, check_memory
from unsee.memory.blocks import Block
from unsee.models import half
from unsee.models.likelihood import score
from unsee.models.model import DTYPES, load
from unsee.training.batches import Unit, batch
from unsee.training.dropout import ByteDropout
from unsee.training.lora import add_lora
from unsee.training.settings import LoraSettings
from unsee.unlearning import catalogue
from unsee.unlearning.method import Needs

ROOT = Path(__file__).parents[1]
SQUARE = (1024, 1024)
LLAVA, QWEN = "llava-hf/llava-1.5-7b-hf", "Qwen/Qwen2-VL-7B-Instruct"
PAPERS = ("run-paper-llava-1.5-7b", "overlay-qwen2-vl-7b", "overlay-clear")


def published(path: str, dtype: str = "bfloat16") -> memory.Shapes:
    shapes = memory.read_shapes(memory.PUBLISHED[path], {}, dtype, SQUARE)
    assert shapes is not None
    return shapes


# --- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "billions", "tokens"),
    [(LLAVA, 7.063, 576), (QWEN, 8.291, 1369), ("MLLMMU/LLaVA_Vanilla", 7.063, 576)],
)
def test_published_checkpoints_have_their_published_sizes(path: str, billions: float, tokens: int) -> None:
    shapes = published(path)
    assert shapes.parameters == pytest.approx(billions * 1e9, rel=1e-3)
    assert shapes.picture_tokens == tokens


def test_weights_are_counted_in_the_files_and_pictures_as_the_model_does(family_spec: dict[str, Any]) -> None:
    shapes = memory.shapes_of({**family_spec, "build": False}, ROOT, (96, 96))
    vlm = load(family_spec)
    assert shapes is not None and shapes.counted == sum(weight.numel() for weight in vlm.base.parameters())
    # Norms, biases and positions are left out of the formula.
    assert replace(shapes, counted=None).parameters == pytest.approx(shapes.counted, rel=0.03)
    taken = vlm.family.image_tokens(vlm.base, vlm.processor, Image.new("RGB", (96, 96)))
    if family_spec["family"] == "llava_next":  # a picture that fills its largest grid of tiles takes the most
        assert shapes.picture_tokens >= taken
    else:
        assert shapes.picture_tokens == taken


def test_a_checkpoint_in_parts_is_counted_whole_or_not_at_all(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({f"w{number}": torch.zeros(3, number)}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    index = {"weight_map": {f"w{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(memory.PUBLISHED[LLAVA]))
    spec = {"path": str(tmp_path), "dtype": "float16", "build": False}
    counted = memory.shapes_of(spec, ROOT, SQUARE)
    assert counted is not None and counted.parameters == 9
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    half_there = memory.shapes_of(spec, ROOT, SQUARE)
    assert half_there is not None and half_there.parameters == published(LLAVA).parameters


def test_both_layouts_of_config_json_say_the_same() -> None:
    flat = memory.PUBLISHED[QWEN]
    text = {key: value for key, value in flat.items() if key not in ("model_type", "vision_config")}
    nested = {
        "model_type": "qwen2_vl",
        "text_config": {"model_type": "qwen2_vl_text", **text},
        "vision_config": flat["vision_config"],
    }
    assert memory.read_shapes(nested, {}, "bfloat16", SQUARE) == published(QWEN)


def test_a_limit_of_the_checkpoint_makes_pictures_smaller() -> None:
    for settings in ({"max_pixels": 28 * 28 * 100}, {"size": {"longest_edge": 28 * 28 * 100}}):
        shapes = memory.read_shapes(memory.PUBLISHED[QWEN], settings, "bfloat16", SQUARE)
        assert shapes is not None and shapes.picture_tokens == 100


@pytest.mark.parametrize("path", ["someone/else", "no/such/folder"])
def test_nothing_is_said_of_shapes_that_nobody_tells(path: str, tmp_path: Path) -> None:
    spec = {"path": path, "dtype": "bfloat16", "build": False}
    assert memory.shapes_of(spec, ROOT, SQUARE) is None
    assert memory.shapes_of({**spec, "path": LLAVA, "build": True}, ROOT, SQUARE) is None
    (tmp_path / "config.json").write_text('{"model_type": "idefics2"}')
    assert memory.shapes_of({**spec, "path": str(tmp_path)}, ROOT, SQUARE) is None
    (tmp_path / "config.json").write_text('{"model_type": "llava", "text_config"')
    assert memory.shapes_of({**spec, "path": str(tmp_path)}, ROOT, SQUARE) is None


def test_no_value_of_config_json_ends_planning_in_a_traceback(family_spec: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(family_spec["path"], folder)
    original = json.loads((folder / "config.json").read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["model"] |= {**family_spec, "path": str(folder)}
    entries = resolve(config, catalogue.read())

    def places(content: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for key, value in content.items() if isinstance(content, dict) else ():
            yield (*at, key)
            yield from places(value, (*at, key))

    for place in places(original):
        for value in (0, -1, math.inf, "text", [1], None):
            damaged = copy.deepcopy(original)
            section = damaged
            for key in place[:-1]:
                section = section[key]
            section[place[-1]] = value
            (folder / "config.json").write_text(json.dumps(damaged))
            try:
                list(memory.findings(config, entries, ROOT))
                disk.picture_bytes(folder)
            except Exception as error:
                pytest.fail(f"{'.'.join(place)} = {value!r} gives {error!r}")


@pytest.mark.parametrize("revision", [None, "0123abc"])
def test_a_fetched_checkpoint_is_counted_in_the_hubs_cache(
    revision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where huggingface_hub itself finds it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / f"models--{LLAVA.replace('/', '--')}"
    (folder / "snapshots" / "0123abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")
    (folder / "snapshots" / "0123abc" / "config.json").write_text(json.dumps(memory.PUBLISHED[LLAVA]))
    save_file({"w": torch.zeros(3, 2)}, folder / "snapshots" / "0123abc" / "model.safetensors")
    assert try_to_load_from_cache(LLAVA, "config.json", cache_dir=tmp_path, revision=revision) is not None
    shapes = memory.shapes_of({"path": LLAVA, "revision": revision, "dtype": "float16", "build": False}, ROOT, SQUARE)
    assert shapes is not None and shapes.parameters == 6


def test_planning_imports_no_torch() -> None:
    code = "import sys; sys.path.insert(0, 'src'); import unsee.memory; sys.exit(bool({'torch', 'huggingface_hub'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_said_twice_is_the_same() -> None:
    """Planning imports no torch, so it cannot ask the modules that decide these."""
    assert memory.PIECE == half.PIECE
    sizes = {name: torch.empty(0, dtype=dtype).element_size() for name, dtype in DTYPES.items()}
    assert sizes == memory.STORED
    rules = {
        rule
        for file in (ROOT / "workflow" / "rules").glob("*.smk")
        for rule, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.MULTILINE)
        if re.search(r"model=\w*plan\.model\.files", body)
    }
    assert rules == {*memory.LOADING, *memory.ON_REQUEST}


# --- the parts of a need -----------------------------------------------------------------------------------------


def test_the_parts_of_a_small_model_by_hand() -> None:
    """One block of width 4, feed-forward 8 and two heads, ten tokens, rank 1, no dropout."""
    tower = memory.Tower(1, 2, 4, 5, ((2, 2),), ((2, 4), (4, 2)), ((2, 4),), 4)
    shapes = memory.Shapes(1, 4, 8, 2, 2, 2, 100, False, tower, 4, 64, 4)
    lengths = memory.Lengths(6, 3, 1, 0, 0, 0, (1, 1), 10)
    settings = {"batch_size": 1, "lora": {"rank": 1, "dropout": 0.0, "scope": "language"}}
    need = memory.training(shapes, lengths, settings)
    assert need.parts["weights"] == 4 * (4 * 16 + 3 * 32 + 2 * 400 + (4 + 8 + 8) + 8)
    # q, k, v and o: 4 + 4; gate and up: 4 + 8; down: 8 + 4. Each with two moments; a step in one part has no gradients yet.
    assert need.parts["adapters"] == 12 * (4 * 8 + 3 * 12)
    # The first norm's input asks for no gradient. q, k, v, result, log-sum of two heads; input of the second norm; input of
    # q, k and v, of gate and up; gate, its activation, up, their product; seven low-rank results.
    saved = 10 * (4 * 4 + 2 + 4 + 2 * 4 + 4 * 8 + 7)
    for_a_moment = 10 * (2 * 8 + 5 * 4)
    last_norm_sines_and_cosines = 10 * (4 + 2 * 2)
    in_block = 4 * (saved + for_a_moment + last_norm_sines_and_cosines)
    at_head = 4 * (saved + last_norm_sines_and_cosines + 3 * 3 * 100)
    assert need.parts["activations"] + need.parts.get("vocabulary", 0) == max(in_block, at_head)
    assert "float32 copies" not in need.parts, "weights are stored in float32"


def test_the_thinner_basis_by_hand() -> None:
    shapes = published(LLAVA)
    columns = 475
    assert memory.bases(shapes, columns) == 4 * 32 * columns * (2 * 4096 + 11008)
    # 3,730 pictures leave 366 directions of 4096; of 11008 they are the thinner themselves.
    assert memory.bases(shapes, 3730) == 4 * 32 * (2 * 4096 * 366 + 11008 * 3730)
    assert memory.bases(shapes, 20000) == 0, "no direction is left"


@pytest.mark.parametrize(("dropout", "on_gpu"), [(0.0, False), (0.05, False), (0.05, True)])
def test_autograd_keeps_what_the_arithmetic_says(
    model_spec: dict[str, Any], dropout: float, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of the storages that autograd saves in a forward pass, besides weights."""
    if on_gpu:  # torch's own dropout on a GPU: a mask of booleans
        monkeypatch.setattr(ByteDropout, "forward", lambda self, x: torch.native_dropout(x, dropout, True)[0])
    vlm = load({**model_spec, "dtype": "bfloat16"})
    add_lora(vlm, LoraSettings(rank=8, alpha=8, dropout=dropout), 0)
    vlm.model.train()
    tokens, answer = 300, 4
    request = vlm.request("word " * 40, "answer", None, None)
    request = replace(request, prompt=tuple(range(5, 5 + tokens - answer)), answer=tuple(range(5, 5 + answer)))
    weights = {weight.untyped_storage().data_ptr() for weight in vlm.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = score(vlm, batch(vlm, [Unit("one", (request,))]), None).nll()
    shapes = memory.shapes_of({**model_spec, "dtype": "bfloat16", "build": False}, ROOT, (1, 1))
    assert shapes is not None and loss.requires_grad
    block = Block(shapes, "language", 8, dropout, on_gpu, distances=False)
    predicted = block.saved(tokens, first=True) + (shapes.layers - 1) * block.saved(tokens)
    predicted += tokens * (shapes.width + 2 * shapes.head_width) * 4 + answer * shapes.vocabulary * 4
    assert predicted == pytest.approx(sum(kept.values()), rel=0.05)


def test_more_examples_of_a_part_and_less_is_computed_again() -> None:
    """Each way to train needs less than the one before it."""
    shapes, lengths = published(LLAVA), memory.LENGTHS["mllmu"]
    sizes = [
        memory.training(shapes, lengths, {"batch_size": 4, **way}, needs=Needs(retain_examples=True)).bytes
        for way in memory.ways_to_train(4)
    ]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 6


# --- what is refused ---------------------------------------------------------------------------------------------


def laid_over(*presets: str, **sections: dict[str, Any]) -> dict[str, Any]:
    config = memory_page.configuration(*presets)
    for name, settings in sections.items():
        config[name] = {**config[name], **settings}
    return config


def complaints(config: dict[str, Any]) -> list[str]:
    before = copy.deepcopy(config)
    try:
        check(config, catalogue.read(), ROOT)
    except ConfigError as error:
        assert config == before
        return str(error).splitlines()
    return []


@pytest.mark.parametrize("preset", PAPERS)
@pytest.mark.parametrize("card", memory_page.CARDS)
def test_a_preset_fits_its_card(preset: str, card: int) -> None:
    assert complaints(laid_over(preset, f"overlay-gpu-{card}gb")) == []


def test_a_method_that_does_not_fit_is_refused_with_what_to_set() -> None:
    whole = {"gradient_accumulation": 1, "gradient_checkpointing": False}
    config = laid_over("overlay-qwen2-vl-7b", cluster={"gpu_gb": 40}, finetune=whole, unlearning=whole)
    lines = complaints(config)
    assert [line.split()[1].rstrip(":") for line in lines] == [
        "finetune",
        *(f"methods.{name}" for name in config["methods"]),
    ]
    kl_min = next(line for line in lines if "kl_min" in line)
    error_page.check("a method that does not fit a GPU", "planning", kl_min)
    # What it says to set is enough.
    for line in lines:
        match = re.search(r"gradient_accumulation: (\d) and gradient_checkpointing: (\w+)$", line)
        assert match
        way = {"gradient_accumulation": int(match[1]), "gradient_checkpointing": match[2] == "true"}
        section = "finetune" if " finetune " in line else "unlearning"
        name = line.split()[1].removeprefix("methods.")
        left = complaints({**config, section: {**config[section], **way}})
        assert not [other for other in left if name in other.split()[1]]


OFFICIAL = (
    ("run-paper-llava-1.5-7b", "overlay-official-mllmu"),
    ("run-paper-llava-1.5-7b", "overlay-official-mmunlearner"),
    ("overlay-qwen2-vl-7b", "overlay-official-mmunlearner"),
)


@pytest.mark.parametrize(("paper", "official"), OFFICIAL)
@pytest.mark.parametrize("card", memory_page.CARDS)
def test_an_official_preset_fits_a_card_in_either_order(paper: str, official: str, card: int) -> None:
    """All but NPO with Qwen2-VL on 24 GB, whose loss of the whole step needs all of its activations at once."""
    overlay = f"overlay-gpu-{card}gb"
    for presets in ((paper, official, overlay), (paper, overlay, official)):
        config = laid_over(*presets)
        assert resolve(config, catalogue.read())["npo"].settings["gradient_accumulation"] == 1
        lines = complaints(config)
        assert [line.split()[1] for line in lines] == ["methods.npo"] * ((paper, card) == ("overlay-qwen2-vl-7b", 24))


def test_a_loss_of_the_whole_step_that_does_not_fit_is_refused_with_what_to_set() -> None:
    config = laid_over("overlay-qwen2-vl-7b", "overlay-gpu-24gb", "overlay-official-mmunlearner")
    (line,) = complaints(config)
    error_page.check("a loss of the whole step that does not fit a GPU", "planning", line)
    smallest = int(re.findall(r"at least (\d+) GB", line)[0])
    assert complaints({**config, "cluster": {**config["cluster"], "gpu_gb": smallest}}) == []
    assert complaints({**config, "cluster": {**config["cluster"], "gpu_gb": smallest - 1}})
    # The other remedy it names.
    assert "another level than batch_mean" in line
    way = re.findall(r"with gradient_accumulation: (\d) and gradient_checkpointing: true,", line)
    in_parts = {"level": "sequence_sum", "gradient_accumulation": int(way[0]), "gradient_checkpointing": True}
    config["methods"]["npo"] |= in_parts
    assert complaints(config) == []


def test_a_loss_of_the_whole_step_is_never_told_to_take_parts() -> None:
    config = laid_over("overlay-qwen2-vl-7b", "overlay-gpu-80gb", "overlay-official-mmunlearner")
    npo = {**config["methods"]["npo"], "gradient_checkpointing": False}
    (line,) = complaints({**config, "methods": {**config["methods"], "npo": npo}})
    assert line.endswith("expected gradient_accumulation: 1 and gradient_checkpointing: true")
    assert complaints({**config, "methods": {**config["methods"], "npo": npo | {"gradient_checkpointing": True}}}) == []


def refused_memory(rule: str, config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_memory(rule, config, resolve(config, catalogue.read()), ROOT)
    return str(caught.value)


def test_the_rules_that_run_on_request_are_checked_when_they_are_requested() -> None:
    config = laid_over("run-paper-llava-1.5-7b", "overlay-gpu-24gb")
    config["resources"]["tune"] = config["resources"]["unlearn"]  # no rule of this preset
    entries = resolve(config, catalogue.read())
    for rule in memory.ON_REQUEST:
        check_memory(rule, config, entries, ROOT)
        resources = {**config["resources"][rule], "gpu_gb": 12}
        small = {**config, "resources": {**config["resources"], rule: resources}}
        assert complaints(small) == [], "nothing is said of a rule that may never run"
        line = refused_memory(rule, small)
        assert re.search(f"needs a GPU of .* GB in rule {rule}, .* and gpu_gb is 12; expected a GPU of at least", line)
        little = {**config, "resources": {**config["resources"], rule: {**resources, "gpu_gb": 24, "mem_mb": 8000}}}
        assert f"resources.{rule}.mem_mb is 8000; expected at least" in refused_memory(rule, little)


def refused_attacks(card: int, attacks: dict[str, Any], batch_size: int) -> list[str]:
    """What is said of attacks on a 7B model, on a card of so many GB."""
    config = laid_over(
        "run-paper-llava-1.5-7b", "overlay-gpu-24gb", evaluation={"protocol": "unsee", "batch_size": batch_size}
    )
    config["resources"]["attack"] = {**config["resources"]["attack"], "gpu_gb": card}
    config |= {"attacks": attacks, "robustness": {**config["robustness"], "forget_percents": None}}
    entries = resolve_attacks(config, attack_catalogue.read())
    try:
        check_attacks(config, entries, resolve(config, catalogue.read()), ROOT)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_an_attack_that_does_not_fit_is_refused_when_attacks_are_requested() -> None:
    attacks = {"int8": {}, "relearn": {}, "relearn_one": {"attack": "relearn", "batch_size": 1}, "blur": {}}
    lines = refused_attacks(24, attacks, 1)
    assert [re.search(r"attacks\.(\w+)", line)[1] for line in lines] == ["int8"]  # type: ignore[index]
    error_page.check("an attack that does not fit a GPU", "planning", lines[0])
    # All 7 billion weights in float32, and what it says to take is enough.
    match = re.search(
        r"needs a GPU of (.*) GB in rule attack, (.*) of them for weights, .* at least (\d+) GB$", lines[0]
    )
    assert match and 26 < float(match[2]) < 27 < float(match[1]) <= int(match[3])
    assert refused_attacks(int(match[3]), attacks, 1) == []
    assert len(refused_attacks(int(match[3]) - 1, attacks, 1)) == 1
    # Training takes more than answering one person's questions; fewer pairs in a step take less.
    needs = [int(re.findall(r"of (\d+)\.", line)[0]) for line in refused_attacks(8, attacks, 1)]
    assert len(needs) == 4 and needs[1] >= needs[2]
    # A smaller batch of the evaluation is what is said where it helps.
    assert refused_attacks(24, {"blur": {}}, 16)[0].endswith("expected false here, or a smaller evaluation.batch_size")


def test_a_batch_that_does_not_fit_is_refused_with_the_largest_that_does() -> None:
    evaluation = {"protocol": "mllmu-official"}
    config = laid_over("run-paper-llava-1.5-7b", "overlay-gpu-40gb", evaluation={**evaluation, "batch_size": 9})
    (line,) = complaints(config)
    error_page.check("an evaluation.batch_size that does not fit a GPU", "planning", line)
    largest = int(line.rsplit(" ", 1)[1])
    assert (
        complaints(
            laid_over("run-paper-llava-1.5-7b", "overlay-gpu-40gb", evaluation={**evaluation, "batch_size": largest})
        )
        == []
    )
    assert complaints(
        laid_over("run-paper-llava-1.5-7b", "overlay-gpu-40gb", evaluation={**evaluation, "batch_size": largest + 1})
    )


def test_a_card_that_holds_no_settings_is_refused_with_the_smallest_that_does() -> None:
    lines = complaints(laid_over("overlay-qwen2-vl-7b", cluster={"gpu_gb": 16}))
    line = next(line for line in lines if "vl_eraser" in line)
    error_page.check("a model that no settings fit into a GPU", "planning", line)
    smallest = max(int(re.findall(r"at least (\d+) GB", line)[0]) for line in lines)
    assert complaints(laid_over("overlay-qwen2-vl-7b", "overlay-gpu-24gb", cluster={"gpu_gb": smallest})) == []


def test_a_rule_may_have_a_card_of_its_own() -> None:
    config = laid_over("run-paper-llava-1.5-7b", "overlay-gpu-24gb", cluster={"gpu_gb": 12})
    assert len(complaints(config)) == 2 + len(config["methods"])
    for rule in ("finetune", "train_reference", "unlearn"):
        config["resources"][rule] = {**config["resources"][rule], "gpu_gb": 24}
    (line,) = complaints(config)
    assert "evaluation.batch_size" in line


def test_nothing_is_refused_without_a_card_or_on_a_cpu() -> None:
    whole = {"gradient_accumulation": 1, "gradient_checkpointing": False}
    assert complaints(laid_over("overlay-qwen2-vl-7b", finetune=whole, unlearning=whole)) == []
    config = laid_over("overlay-qwen2-vl-7b", cluster={"gpu_gb": 1}, finetune=whole, unlearning=whole)
    for rule in memory.LOADING:
        config["resources"][rule] = {**config["resources"][rule], "gpu": 0}
    assert complaints(config) == []


def test_weights_that_are_shared_out_are_not_judged() -> None:
    config = laid_over("overlay-qwen2-vl-7b", "overlay-gpu-24gb", cluster={"gpu_gb": 10})
    for rule in ("finetune", "train_reference"):
        config["resources"][rule] = {**config["resources"][rule], "gpu": 2}
    config["finetune"] |= {"num_processes": 2, "shard": True}
    assert not [line for line in complaints(config) if " finetune" in line]


def test_host_memory_that_cannot_hold_the_weights_is_refused() -> None:
    config = laid_over("run-paper-llava-1.5-7b")
    config["resources"]["predict"] = {**config["resources"]["predict"], "mem_mb": 8000}
    (line,) = complaints(config)
    error_page.check("a rule's mem_mb that cannot hold the model's weights", "planning", line)
    least = int(re.findall(r"at least (\d+)", line)[0])
    config["resources"]["predict"]["mem_mb"] = least
    assert complaints(config) == []


@pytest.mark.parametrize("value", [0, -1, "24", True])
def test_a_card_is_a_number_of_gb(value: Any) -> None:
    (line,) = complaints(laid_over(cluster={"gpu_gb": value}))
    assert line.endswith("expected a number of GB above 0, or null")


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_presets_host_memory_holds_its_model(path: Path) -> None:
    assert not [line for line in complaints(laid_over(path.stem)) if "mem_mb" in line]


# --- the overlays and the page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("card", memory_page.CARDS)
def test_an_overlay_is_what_the_arithmetic_makes_of_a_card(card: int) -> None:
    """python tools/memory_page.py writes them."""
    path = ROOT / "presets" / f"overlay-gpu-{card}gb.yaml"
    assert path.read_text() == memory_page.overlay_text(card)
    assert yaml.safe_load(path.read_text()) == memory_page.overlay(card)


@pytest.mark.parametrize("card", memory_page.CARDS)
def test_the_next_faster_setting_would_not_fit(card: int) -> None:
    settings, ways = memory_page.overlay(card), list(memory.ways_to_train(4))
    position, batch = ways.index(settings["finetune"]), settings["evaluation"]["batch_size"]
    assert memory_page.fit({"finetune": ways[position], "unlearning": ways[position]}, card)
    if position:
        assert not memory_page.fit({"finetune": ways[position - 1], "unlearning": ways[position - 1]}, card)
    assert memory_page.fit({"evaluation": {"batch_size": batch}}, card)
    larger = memory_page.BATCHES[memory_page.BATCHES.index(batch) + 1]
    assert not memory_page.fit({"evaluation": {"batch_size": larger}}, card)


def test_the_page_has_the_needs_of_today() -> None:
    """python tools/memory_page.py writes them."""
    assert memory_page.table() in memory_page.PAGE.read_text()


def test_every_entry_of_the_paper_is_in_the_table() -> None:
    config = laid_over("run-paper-llava-1.5-7b")
    for model in memory_page.MODELS:
        for name in ("finetune", *resolve(config, catalogue.read()), "predict, protocol unsee"):
            assert f"| {model} | {name} |" in memory_page.table()


def test_methods_that_do_not_train_need_less_and_their_results_are_counted() -> None:
    extra = {"kvw": {}, "prompt": {}}
    config = laid_over("run-paper-llava-1.5-7b")
    shapes = memory.shapes_of(config["model"], ROOT, memory.LENGTHS["mllmu"].picture)
    assert shapes is not None

    def needs(methods: dict[str, Any]) -> dict[tuple[str, str], memory.Need]:
        laid = {**config, "methods": {**config["methods"], **methods}}
        return {(key[-1], rule): n for key, rule, n in memory.needs_of(laid, resolve(laid, catalogue.read()), shapes)}

    before, after = needs({}), needs(extra)
    assert after["prompt", "unlearn"].bytes < after["kvw", "unlearn"].bytes < after["ga", "unlearn"].bytes
    # A factor of four bytes for each neuron of the feed-forward layers: 32 blocks of 11,008 twice and 4,096, and the tower.
    gates = 4 * (32 * (2 * 11008 + 4096) + 24 * (4096 + 1024))
    assert after["kvw", "unlearn"].parts["gates"] == gates
    answering, plain = after["batch_size", "predict"], before["batch_size", "predict"]
    assert answering.parts["gates"] == gates and "gates" not in plain.parts
    assert answering.parts["keys and values"] > plain.parts["keys and values"], "a sentence with names takes a place"


def test_what_no_setting_makes_smaller_is_refused_with_the_gpu_that_it_needs() -> None:
    config = laid_over("run-paper-llava-1.5-7b", cluster={"gpu_gb": 10})
    config["methods"] = {**config["methods"], "kvw": {}}
    (line,) = [line for line in complaints({**config, "only": ["kvw"]}) if "methods.kvw" in line]
    assert re.search(
        r"needs a GPU of 1\d\.\d GB in rule unlearn, .* expected a GPU of at least 1\d GB, or another", line
    )
