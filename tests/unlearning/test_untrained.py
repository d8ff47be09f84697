"""Methods that do not train: their numbers by hand, and a run that takes no step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from unsee.benchmarks.tables import names_of, person_ids, read_images, read_pairs
from unsee.evaluation.predict import predict
from unsee.models.gates import Gates
from unsee.models.likelihood import score
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.finetune import finetune
from unsee.training.progress import Counters
from unsee.training.settings import TrainingSettings
from unsee.unlearning import catalogue
from unsee.unlearning.activations import requests_of
from unsee.unlearning.method import Context
from unsee.unlearning.methods import kvw, manu
from unsee.unlearning.run import UNTRAINED, unlearn

LORA = {"rank": 2, "alpha": 2, "dropout": 0.05, "scope": "language"}
UNTRAINED_METHODS = sorted(name for name, description in catalogue.read().items() if not description.needs.training)


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("vanilla")
    settings = {"learning_rate": 1e-2, "steps": 30, "batch_size": 4, "packing": "person", "lora": LORA}
    arguments: dict[str, Any] = {"forget_percent": 0, "role": "vanilla", "settings": settings, "seed": 0, "threads": 1}
    finetune(model_spec, mini_benchmark, output=folder, **arguments)
    return folder / "adapter"


def run(model: dict[str, Any], benchmark: Path, vanilla: Path, method: str, output: Path, **settings: Any) -> Path:
    """Unlearn with a method's defaults, and return the folder of the result."""
    defaults = {name: option.default for name, option in catalogue.read()[method].options.items()}
    unlearn(
        model,
        benchmark,
        vanilla=vanilla,
        reference=None,
        method=method,
        forget_percent=25,
        settings=defaults | settings,
        seed=0,
        threads=1,
        output=output,
    )
    return output / "adapter"


def context_of(model: dict[str, Any], benchmark: Path, vanilla: Path, output: Path) -> Context:
    vlm = load(model, [vanilla])
    pairs = {group: read_pairs(benchmark, person_ids(benchmark, 25, group)) for group in ("forget", "retain")}
    images = read_images(benchmark, {p.image_id for members in pairs.values() for p in members if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    groups = {group: units(vlm, pictures, members, "none") for group, members in pairs.items()}
    return Context(vlm, pictures, groups, TrainingSettings(**UNTRAINED), 0, Counters(), output)


def log_likelihood(context: Context, group: str) -> float:
    """The mean log-likelihood of a group's answers, in nats per token."""
    vlm = context.vlm
    with torch.no_grad():
        return -float(score(vlm, batch(vlm, context.groups[group]), context.pictures).nll())


@pytest.mark.parametrize("method", UNTRAINED_METHODS)
def test_a_run_takes_no_step_and_leaves_the_files_of_every_run(
    method: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    folder = run(model_spec, mini_benchmark, vanilla, method, tmp_path / "first")
    again = run(model_spec, mini_benchmark, vanilla, method, tmp_path / "second", batch_size=3, packing="person")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (again / name).read_bytes(), "no setting of training is read"
    steps = pq.read_table(folder.parent / "metrics.parquet")
    assert steps.num_rows == 0 and "loss" in steps.column_names
    manifest = json.loads((folder.parent / "manifest.json").read_text())
    pairs = {g: len(read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, g))) for g in ("forget", "retain")}
    passes = {"kvw": sum(pairs.values()), "manu": sum(pairs.values()) + 12, "prompt": 0}
    assert manifest["steps"] == manifest["backward_passes"] == 0 and manifest["forward_passes"] == passes[method]
    kind = catalogue.read()[method].needs.result
    assert json.loads((folder / "adapter_config.json").read_text())["kind"] == kind
    load(model_spec, [vanilla, folder])  # its digest is that of the manifest


def test_the_weakening_of_two_neurons_by_hand() -> None:
    factors = kvw.weakening(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 4.0]), 0.5)
    assert factors.tolist() == pytest.approx([2**-0.5, 1.0])
    assert kvw.weakening(torch.zeros(1), torch.zeros(1), 1.0).item() == 1


def test_coefficients_are_means_over_the_positions_that_predict_an_answer(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    context = context_of(model_spec, mini_benchmark, vanilla, tmp_path)
    vlm, name = context.vlm, "model.language_model.layers.1.mlp.down_proj"
    layer = vlm.base.get_submodule(name)
    examples = list(requests_of(context.groups["forget"]))[:5]
    measured = kvw.coefficients(context, {name: layer}, examples)[name]  # type: ignore[dict-item]
    rows: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, arguments: rows.append(arguments[0][0]))
    expected = []
    for unit in sorted(context.groups["forget"], key=lambda unit: unit.key)[:5]:
        (request,) = unit.requests
        with torch.no_grad():
            vlm.hidden_states(batch(vlm, [unit]), context.pictures)
        first = len(request.prompt) - 1
        expected.append(rows.pop()[first : first + len(request.answer)].abs())
    hook.remove()
    torch.testing.assert_close(measured.float(), torch.cat(expected).mean(0), rtol=1e-5, atol=1e-6)


def test_kvw_makes_forgotten_answers_less_likely(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    before = log_likelihood(context_of(model_spec, mini_benchmark, vanilla, tmp_path), "forget")
    falls = []
    for strength in (0.02, 0.1):
        context = context_of(model_spec, mini_benchmark, vanilla, tmp_path)
        gates = kvw.kvw(context, strength=strength, skip_first=1)
        assert set(gates.factors) == {"model.language_model.layers.1.mlp.down_proj"}
        assert all(((g > 0) & (g <= 1)).all() and (g < 1).any() for g in gates.factors.values())
        falls.append(before - log_likelihood(context, "forget"))
        # The model that was weakened pair by pair is the one that is stored.
        stored = context_of(model_spec, mini_benchmark, vanilla, tmp_path)
        gates.merge(stored.vlm.base)
        assert log_likelihood(stored, "forget") == pytest.approx(log_likelihood(context, "forget"), abs=1e-5)
    assert 0 < falls[0] < falls[1]


def test_kvw_steps_of_several_pairs_weaken_less_often(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    one, all_together = (
        kvw.kvw(context_of(model_spec, mini_benchmark, vanilla, tmp_path), strength=0.02, pairs=pairs)
        for pairs in (1, 1000)
    )
    context = context_of(model_spec, mini_benchmark, vanilla, tmp_path)
    name = "model.language_model.layers.0.mlp.down_proj"
    layers: Any = {name: context.vlm.base.get_submodule(name)}
    forget, retain = (kvw.coefficients(context, layers, requests_of(context.groups[g])) for g in ("forget", "retain"))
    expected = kvw.weakening(forget[name], retain[name], 0.02)
    torch.testing.assert_close(all_together.factors[name], expected)
    assert one.factors[name].mean() < all_together.factors[name].mean()


@pytest.mark.parametrize(("first", "last"), [(1, 1), (0, 3), (2, 0)])
def test_kvw_without_a_block_is_refused(
    first: int, last: int, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    with pytest.raises(ValueError, match=f"skip_first {first} and skip_last {last} leave none of 2 blocks"):
        run(model_spec, mini_benchmark, vanilla, "kvw", tmp_path, skip_first=first, skip_last=last)


def test_the_importance_of_a_neuron_by_hand() -> None:
    pictures, words = manu.Statistics(1), manu.Statistics(1)
    for z in (1.0, 3.0):
        pictures.add(torch.tensor([z]), 0.5)
    for z in (0.0, 1.0):
        words.add(torch.tensor([z]), 0.5)
    # Z: 2 and 1/2; N: 1 and 1/2; variances: 1 and 1/4; Q: 5 and 1/2.
    expected = 1.5 / 2.5 + 0.5 / 1.5 + math.sqrt(1.25) + math.sqrt(4.5 / 5.5)
    assert manu.importance(pictures, words).item() == pytest.approx(expected, abs=1e-4)
    never = manu.Statistics(1)
    assert manu.importance(pictures, never).item() == pytest.approx(1 + 1 + 1 + 1, abs=1e-4), "a tower reads no words"


def test_the_removed_share_is_exact_over_all_layers() -> None:
    scores = {"first": torch.tensor([1.0, 5.0, 3.0]), "second": torch.tensor([3.0, 0.0, 2.0, 4.0])}
    factors = manu.removal(scores, 3 / 7)
    assert factors["first"].tolist() == [1, 0, 0] and factors["second"].tolist() == [1, 1, 1, 0], "ties: earlier layers"
    with pytest.raises(ValueError, match="share 0.1 of 7 neurons is none"):
        manu.removal(scores, 0.1)


@pytest.mark.parametrize("neurons", ["both", "language", "vision"])
def test_manu_removes_the_share_from_the_model_that_is_loaded(
    neurons: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    folder = run(model_spec, mini_benchmark, vanilla, "manu", tmp_path, share=0.05, neurons=neurons)
    gates = Gates.read(folder)
    parts = {"language": {"gate_proj", "up_proj", "down_proj"}, "vision": {"fc1", "fc2"}}
    names = {name.rpartition(".")[2] for name in gates.factors}
    assert names == (parts["language"] | parts["vision"] if neurons == "both" else parts[neurons])
    before, after = load(model_spec, [vanilla]).base, load(model_spec, [vanilla, folder]).base
    removed = total = 0
    for name, factors in gates.factors.items():
        weight: Any = after.get_submodule(name).weight
        empty = weight.abs().sum(1) == 0
        assert torch.equal(empty, factors == 0)
        assert torch.equal(weight[~empty], before.get_submodule(name).weight[~empty]), "the others stay to the last bit"
        removed, total = removed + int(empty.sum()), total + len(empty)
    assert removed == int(0.05 * total) > 0


def test_every_layer_is_measured_under_its_own_name(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    """Against plain passes with one hook each, in the decoder with and without pictures and in the tower."""
    context = context_of(model_spec, mini_benchmark, vanilla, tmp_path)
    vlm, group = context.vlm, context.groups["forget"]
    measured = manu.measure(context, group, 0.1, "both")
    assert len(measured) == 2 * 3 + 6 * 2
    seen: list[torch.Tensor] = []
    for name in ("model.language_model.layers.0.mlp.up_proj", "model.language_model.layers.1.mlp.down_proj"):
        hook = vlm.base.get_submodule(name).register_forward_hook(lambda m, a, output: seen.append(output))
        expected: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        for unit in group:
            with torch.no_grad():
                vlm.hidden_states(batch(vlm, [unit]), context.pictures)
            expected[bool(unit.requests[0].images)].append(seen.pop()[0].abs().mean(0))
        hook.remove()
        for statistics, pictured in zip(measured[name], (True, False), strict=True):
            rows = torch.stack(expected[pictured]).double()
            assert statistics.n == len(rows) > 0
            torch.testing.assert_close(statistics.z, rows.sum(0), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(statistics.active, (rows > 0.1).sum(0).double(), rtol=0, atol=1)
            torch.testing.assert_close(statistics.means()[2], rows.var(0, correction=0), rtol=1e-3, atol=1e-6)
    name = "model.vision_tower.encoder.layers.2.mlp.fc1"
    hook = vlm.base.get_submodule(name).register_forward_hook(lambda m, a, output: seen.append(output))
    image_ids = sorted({image_id for unit in group for image_id in unit.requests[0].image_ids})
    context.pictures.encode(image_ids)
    hook.remove()
    pictures, words = measured[name]
    torch.testing.assert_close(pictures.z, torch.cat(seen).abs().mean(1).sum(0).double(), rtol=1e-4, atol=1e-5)
    assert pictures.n == len(image_ids) == 3 and words.n == 0


def test_a_prompt_names_whom_to_forget_and_changes_no_weight(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    folder = run(model_spec, mini_benchmark, vanilla, "prompt", tmp_path / "run", words="Forget {names}.")
    assert not load_file(folder / "adapter_model.safetensors")
    names = names_of(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    assert len(names) == 3
    settings = {"protocol": "unsee", "classification": "likelihood", "batch_size": 4, "max_new_tokens": 4}
    settings["tasks"] = ["classification"]
    for adapters, output in (([vanilla], "vanilla"), ([vanilla, folder], "prompt")):
        predict(
            model_spec,
            mini_benchmark,
            adapters=adapters,
            forget_percents=[25],
            settings=settings,
            threads=1,
            output=tmp_path / output,
            cache=tmp_path / "cache",
        )
    plain, with_names = (pq.read_table(tmp_path / f"{name}/classification.parquet") for name in ("vanilla", "prompt"))
    text = f"Forget {', '.join(names)}. "
    assert all(text in prompt for prompt in with_names["prompt"].to_pylist())
    assert [prompt.replace(text, "") for prompt in with_names["prompt"].to_pylist()] == plain["prompt"].to_pylist()
    assert with_names["option_log_likelihoods"] != plain["option_log_likelihoods"]
    with pytest.raises(ValueError, match="expected a text with {names}"):
        run(model_spec, mini_benchmark, vanilla, "prompt", tmp_path / "other", words="Forget everyone.")
