"""An exported run is the run's model, in plain transformers and plain peft, and its card names nobody."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForImageTextToText

from tests import error_page
from tests.export import runs
from unsee.benchmarks.tables import names_of, person_ids
from unsee.export.__main__ import main
from unsee.export.finished_run import ExportError
from unsee.export.write import export
from unsee.models.model import load
from unsee.models.packing import collate, pack
from unsee.models.pictures import Pictures

METHODS = ("ga", "mmunlearner", "vl_eraser", "kvw", "prompt")
Made = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module", params=["llava", "qwen2_vl"])
def made(
    request: pytest.FixtureRequest, mini_benchmark: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """A folder with vanilla and runs of several methods, of each family, and the base model."""
    checkpoint = request.getfixturevalue({"llava": "random_checkpoint", "qwen2_vl": "random_qwen2_vl"}[request.param])
    place = runs.place_of(tmp_path_factory.mktemp(request.param), mini_benchmark)
    # A folder of its own, so that tests may damage it.
    base = shutil.copytree(checkpoint, place / "base")
    spec = {"name": "random", "family": request.param, "path": "base", "dtype": "float32"}
    for method in ("vanilla", *METHODS):
        runs.make(place, spec, method)
    yield place, {**spec, "path": str(base)}


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A copy of the folder, to be damaged."""
    if made[1]["family"] != "llava":
        pytest.skip("what is refused does not depend on the family")
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def logits_of_run(made: Made, method: str, **changed: Any) -> Tensor:
    """Logits at the last token of a prompt with a picture, of the run's model in unsee."""
    place, spec = made
    stack = [place / runs.folder_of(name) / "adapter" for name in dict.fromkeys(["vanilla", method])]
    vlm = load(spec | changed, stack)
    file = io.BytesIO()
    picture().save(file, "PNG")
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, [("a", file.getvalue())])
    request = vlm.request(vlm.prompt("Who?", with_image=True), None, pictures, "a")
    with torch.no_grad():
        hidden = vlm.hidden_states(collate([pack([request], vlm.image_token)], pad_token=0), pictures)
        head: Any = vlm.base.get_output_embeddings()
        return Tensor(head(hidden[0, -1])).float()


def logits_of(model: Any, base: dict[str, Any]) -> Tensor:
    """The same of a model of transformers or peft."""
    vlm = load(base)  # for the prompt; the processor is the base model's
    inputs = vlm.processor(
        text=vlm.prompt("Who?", with_image=True), images=[picture()], return_tensors="pt", add_special_tokens=False
    )
    with torch.no_grad():
        return Tensor(model(**inputs).logits[0, -1]).float()


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))


@pytest.mark.parametrize("method", ["vanilla", "ga", "mmunlearner", "vl_eraser", "kvw"])
def test_a_merged_checkpoint_is_the_runs_model_in_plain_transformers(made: Made, method: str, tmp_path: Path) -> None:
    assert export(made[0] / runs.folder_of(method), tmp_path / "out", shard_size="400KB") is None
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1, "sharded"
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype="auto").eval()
    assert model.dtype == torch.float32
    expected = logits_of_run(made, method)
    torch.testing.assert_close(logits_of(model, made[1]), expected, rtol=1e-4, atol=1e-4)
    moved = (logits_of_run(made, "vanilla") - expected).abs().max()
    assert method == "vanilla" or moved > 0.01, "else vanilla would pass for every method"


@pytest.mark.parametrize("method", ["vanilla", "ga", "mmunlearner", "vl_eraser"])
def test_an_adapter_is_the_runs_model_in_plain_peft(made: Made, method: str, tmp_path: Path) -> None:
    export(made[0] / runs.folder_of(method), tmp_path / "out", as_adapter=True)
    base = AutoModelForImageTextToText.from_pretrained(made[1]["path"], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    torch.testing.assert_close(logits_of(model, made[1]), logits_of_run(made, method), rtol=1e-4, atol=1e-4)


def test_two_stacked_adapters_become_one_of_summed_rank(made: Made, tmp_path: Path) -> None:
    export(made[0] / runs.folder_of("ga"), tmp_path / "out", as_adapter=True)
    config = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 2 * runs.LORA["rank"]
    ours = load_file(tmp_path / "out/adapter_model.safetensors")
    name = next(name for name in ours if "lora_A" in name)
    stacked = [load_file(made[0] / runs.folder_of(m) / "adapter/adapter_model.safetensors") for m in ("vanilla", "ga")]
    other = name.replace("lora_A", "lora_B")
    expected = sum(1.5 * part[other] @ part[name] for part in stacked)  # alpha / rank is 3 / 2
    torch.testing.assert_close(ours[other] @ ours[name], expected, rtol=1e-5, atol=1e-7)


def test_half_precision_is_measured(made: Made, tmp_path: Path) -> None:
    """A rounded copy is written on request only; the card says what it does to unlearning, here computed once more."""
    rounding = export(made[0] / runs.folder_of("ga"), tmp_path / "half", dtype="bfloat16")
    for method in ("vanilla", "ga"):
        export(made[0] / runs.folder_of(method), tmp_path / method)
    before, after, rounded = (
        AutoModelForImageTextToText.from_pretrained(tmp_path / name, dtype="auto").state_dict()
        for name in ("vanilla", "ga", "half")
    )
    assert all(weight.dtype == torch.bfloat16 for weight in rounded.values() if weight.is_floating_point())
    names = [name for name in before if not torch.equal(before[name], after[name])]
    old, new, half = (torch.cat([part[name].flatten() for name in names]) for part in (before, after, rounded))
    assert rounding is not None and rounding.matrices == len(names) > 4
    assert rounding.noise == pytest.approx(float((half.float() - new).norm() / (new - old).norm()), rel=1e-4)
    assert rounding.lost == pytest.approx(float((old.bfloat16() == half)[old != new].float().mean()), rel=1e-6)
    card = (tmp_path / "half/README.md").read_text()
    assert f"rounding moves them {rounding.noise:.2g} times as far" in card and "dtype=torch.bfloat16" in card
    assert "rounded" not in (tmp_path / "ga/README.md").read_text()


@pytest.mark.parametrize("method", ["ga", "kvw"])
def test_a_base_model_in_half_precision_is_exported_in_float32(
    random_checkpoint: Path, mini_benchmark: Path, tmp_path: Path, method: str
) -> None:
    """A tiny update: rounded to bfloat16 most of it would be lost, and the export must not lose it."""
    place = runs.place_of(tmp_path / "place", mini_benchmark)
    base = AutoModelForImageTextToText.from_pretrained(random_checkpoint, dtype=torch.bfloat16)
    shutil.copytree(random_checkpoint, place / "base")
    base.save_pretrained(place / "base")
    spec = {"name": "random", "family": "llava", "path": "base", "dtype": "bfloat16"}
    for name in ("vanilla", method):
        runs.make(place, spec, name, learning_rate=1e-4)
    made = place, {**spec, "path": str(place / "base")}
    assert export(place / runs.folder_of(method), tmp_path / "out") is None
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype="auto").eval()
    expected, vanilla = logits_of_run(made, method), logits_of_run(made, "vanilla")
    ours = logits_of(model, {**made[1], "dtype": "float32"})
    assert (ours - expected).abs().max() < 0.05 * (expected - vanilla).abs().max()
    rounding = export(place / runs.folder_of(method), tmp_path / "half", dtype="bfloat16")
    # The gates' update is large; that of two small steps is not.
    assert rounding is not None and (method == "kvw" or rounding.lost > 0.5)


def test_no_text_of_the_export_names_a_person(made: Made, tmp_path: Path) -> None:
    benchmark = made[0] / "results/benchmark"
    ids = person_ids(benchmark, 0, "all")
    words = [*names_of(benchmark, ids), *ids]
    forgotten = len(person_ids(benchmark, runs.PERCENT, "forget"))
    for method, as_adapter in (("ga", False), ("ga", True), ("vanilla", False)):
        folder = tmp_path / f"{method}{as_adapter}"
        export(made[0] / runs.folder_of(method), folder, as_adapter=as_adapter)
        texts = [file.read_text() for file in folder.iterdir() if file.suffix in (".json", ".md", ".jinja", ".txt")]
        assert len(texts) >= 2
        assert not [word for word in words for text in texts if re.search(rf"\b{re.escape(word)}\b", text)]
    card = (tmp_path / "gaFalse/README.md").read_text()
    assert f"# random, made to forget {forgotten} of {len(ids)} people by GA" in card
    assert "| `learning_rate` | 0.02 |" in card and "not a proof of deletion" in card


def test_a_setting_that_names_a_person_is_refused(copy: Path, tmp_path: Path) -> None:
    name = names_of(copy / "results/benchmark", person_ids(copy / "results/benchmark", 25, "forget"))[0]
    change(copy, "ga", lambda manifest: manifest["settings"].update(words=f"Who is {name}?"))
    with pytest.raises(ExportError, match="would name a person"):
        export(copy / runs.folder_of("ga"), tmp_path / "out", as_adapter=True)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*")), "nothing half written is left"


def test_a_published_base_model_is_named_by_its_commit_and_licence(copy: Path, tmp_path: Path) -> None:
    sizes = {file.name: file.stat().st_size for file in (copy / "base").iterdir()}
    record = {"repository": "owner/name", "revision": "0" * 40, "kind": "model", "files": sizes}
    (copy / "results/base").mkdir()
    (copy / "results/base/published.json").write_text(json.dumps(record))
    (copy / "base/README.md").write_text(
        "---\nlicense: other\nlicense_name: llama2\nlicense_link: https://example.org\n---\n"
    )
    change(copy, "ga", lambda made: made["made"]["parameters"]["model"].update(record="results/base/published.json"))
    (folder, adapter) = (tmp_path / "merged", tmp_path / "adapter")
    export(copy / runs.folder_of("ga"), folder, base=copy / "base")
    export(copy / runs.folder_of("ga"), adapter, base=copy / "base", as_adapter=True)
    heads = [next(yaml.safe_load_all((path / "README.md").read_text())) for path in (folder, adapter)]
    common = {
        "license": "other",
        "license_name": "llama2",
        "license_link": "https://example.org",
        "base_model": "owner/name",
    }
    assert all(head.items() >= common.items() for head in heads)
    assert [head["base_model_relation"] for head in heads] == ["finetune", "adapter"]
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "owner/name"
    card = (adapter / "README.md").read_text()
    assert (
        'base = "owner/name"' in card
        and f'revision="{"0" * 40}"' in card
        and "llama2 ([text](https://example.org))" in card
    )


def change(place: Path, method: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and its digest in the receipt, as if the job had written it so."""
    folder = place / runs.folder_of(method)
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path = place / "results/jobs/unlearn" / f"{runs.folder_of(method)[15:]}.json"
    receipt = json.loads(path.read_text())
    from unsee.jobs import receipts

    record = next(iter(receipts.outputs([str(folder / "manifest.json")]).values()))
    receipt["outputs"][f"{runs.folder_of(method)}/manifest.json"] = record
    path.write_text(json.dumps(receipt))


def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: Any) -> str:
    """What the command line says to a run that it refuses."""
    assert main([*map(str, arguments), "--to", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1].replace(str(tmp_path), "FOLDER")


def test_what_is_refused(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(bad_input: str, *arguments: Any) -> None:
        error_page.check(bad_input, "job", said(capsys, tmp_path, *arguments))

    ga = copy / runs.folder_of("ga")
    check("export of a folder that is no run", copy / "results")
    check("export of a run that is not there", copy / "results/models/random/forget25/npo/seed0")
    check("export of method prompt", copy / runs.folder_of("prompt"))
    check("export --adapters of a method that leaves gates", copy / runs.folder_of("kvw"), "--adapters")
    check("export with another --base", ga, "--base", copy / "results")
    (ga / "metrics.parquet").rename(ga / "gone")
    check("export of a run that lacks a file", ga)
    (ga / "gone").rename(ga / "metrics.parquet")
    weights = ga / "adapter/adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check("export of a run with a damaged adapter", ga)
    weights.write_bytes(whole)
    split = copy / runs.SPLIT
    table = pq.read_table(split)
    pq.write_table(table.slice(1), split)
    check("export of a run whose split has changed since", ga)
    pq.write_table(table, split)
    receipt = copy / "results/jobs/unlearn/random/forget25/ga/seed0.json"
    receipt.rename(copy / "aside")
    check("export of an unfinished run", ga)
    (copy / "aside").rename(receipt)
    (copy / "base/config.json").write_text("{}")
    check("export with a base model that has changed since", ga)


def test_an_existing_folder_is_never_touched(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    assert main([str(copy / runs.folder_of("ga")), "--to", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err.strip().replace(str(tmp_path), "FOLDER")
    error_page.check("export --to an existing folder", "job", message)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_disk_without_room_is_refused_first(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 300_000))
    message = said(capsys, tmp_path, copy / runs.folder_of("ga"))
    assert "make room, or work on another disk with --to FOLDER" in message
    assert "expected at least" in message and "(weights" in message
