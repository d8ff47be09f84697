"""Measure how much of an unlearning update each way of storing and computing keeps: `python -m bench.precision RESULTS`.

RESULTS is the results folder of a finished default run; training starts from its vanilla and retain-only adapters. Each method is
trained at the published rate (2e-6), once in float32 and once from weights stored in bfloat16. The number is the mean change of the
negative log-likelihood of the forgotten people's answers, in nats per token; the change in float32 is 100 %.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models import attention
from unsee.models.families import load_family
from unsee.models.half import HalfLinear, compute_in_float32
from unsee.models.likelihood import score
from unsee.models.model import DTYPES, VisionLanguageModel, load, merge
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.unlearning import catalogue
from unsee.unlearning.run import unlearn

ROOT = Path(__file__).parents[1]
MODEL = {"name": "tiny-llava", "family": "llava", "path": str(ROOT / "src/unsee/data/tiny-llava"), "dtype": "float32"}
SETTINGS = {"learning_rate": 2e-6, "steps": 176, "batch_size": 4}
PERCENT = 10
#: Parts of an update at which the likelihood is measured.
SCALES = (0.25, 0.5, 0.75, 1.0)

#: Builds a model from the stored dtype, vanilla's adapter, the unlearned adapter and the part of it to apply.
Build = Callable[[str, Path, Path, float], VisionLanguageModel]


def main(results: Path, dtype: str, methods: list[str]) -> None:
    """Train each method twice, measure it in every way, and print the tables."""
    start = results / "models/tiny-llava"
    vanilla = start / "forget0/vanilla/seed0/adapter"
    reference = start / f"forget{PERCENT}/retain/seed0/adapter"
    benchmark = results / "benchmark"
    rows, curves = [], []
    for name in methods:
        with tempfile.TemporaryDirectory() as folder:
            adapters = {
                stored: _train(name, stored, benchmark, vanilla, reference, Path(folder) / stored)
                for stored in ("float32", dtype)
            }
            changes = {
                way: _changes(benchmark, build, dtype, vanilla, adapters["float32" if separate else dtype])
                for way, (build, separate) in WAYS.items()
            }
        exact = changes["all in float32"][-1]
        kept = {way: f"{100 * change[-1] / exact:.0f}" for way, change in changes.items()}
        kept["all in float32"] = f"{exact:+.4f} nats"
        rows.append({"method": name} | kept)
        curves.append(
            {"method": name} | {way: "yes" if _is_monotone(change) else "no" for way, change in changes.items()}
        )
    print(f"Part of the change of NLL that is kept, in percent of the change in float32 ({dtype}):\n")
    print(pd.DataFrame(rows).to_markdown(index=False))
    print(f"\nIs the change monotone over {', '.join(map(str, SCALES))} of the update?\n")
    print(pd.DataFrame(curves).to_markdown(index=False))


def _train(name: str, dtype: str, benchmark: Path, vanilla: Path, reference: Path, output: Path) -> Path:
    method = catalogue.read()[name]
    options = {key: option.default for key, option in method.options.items()}
    unlearn(
        MODEL | {"dtype": dtype},
        benchmark,
        vanilla=vanilla,
        reference=reference if method.needs.reference == "retain_only" else None,
        method=name,
        forget_percent=PERCENT,
        settings=SETTINGS | options,
        seed=0,
        threads=torch.get_num_threads(),
        output=output,
    )
    return output / "adapter"


def _is_monotone(changes: list[float]) -> bool:
    steps = [later - earlier for earlier, later in zip([0.0, *changes], changes, strict=False)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _float32(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    vlm = load(MODEL, [vanilla])
    vlm.model = merge(vlm.model, adapter, part) if part else vlm.model
    return vlm


def _ours(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    vlm = load(MODEL | {"dtype": dtype}, [vanilla])
    vlm.model = merge(vlm.model, adapter, part) if part else vlm.model
    return vlm


class _Rounded(torch.nn.Module):
    """A linear layer with products as in TF32: factors of 11 significant bits, sums in float32."""

    def __init__(self, layer: HalfLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        out = _tf32_bits(x) @ layer.weight.float().T
        if layer.bias is not None:
            out = out + layer.bias
        if layer.down is not None and layer.up is not None:
            low = _tf32_bits(x) @ _tf32_bits(layer.down).T
            out = out + _tf32_bits(low) @ _tf32_bits(layer.up).T
        return out


def _tf32_bits(x: Tensor) -> Tensor:
    """Round float32 numbers to the nearest with ten bits after the binary point."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def _in_tf32(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    """As :func:`_ours`, with the products of a GPU except for the order of their sums."""
    vlm = _ours(dtype, vanilla, adapter, part)
    head = vlm.base.get_output_embeddings()
    for name, module in list(vlm.base.named_modules()):
        if isinstance(module, HalfLinear) and module is not head:
            parent, _, last = name.rpartition(".")
            setattr(vlm.base.get_submodule(parent), last, _Rounded(module))
    return vlm


def _half(dtype: str, vanilla: Path, adapter: Path, part: float, *, merged: bool) -> VisionLanguageModel:
    """A model that is computed in half precision, by transformers and PEFT alone."""
    kind = load_family(MODEL["family"])
    model: Any = PeftModel.from_pretrained(kind.load(MODEL["path"], DTYPES[dtype]), str(vanilla)).merge_and_unload()
    if part:
        model = PeftModel.from_pretrained(model, str(adapter))
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.scaling = {name: value * part for name, value in module.scaling.items()}
        model = model.merge_and_unload() if merged else model
    model.eval().requires_grad_(False)
    vlm = VisionLanguageModel(kind, model, kind.load_processor(MODEL["path"]))
    decoder: Any = kind.language_model(vlm.base)
    decoder.set_attn_implementation(attention.NAME)
    return vlm


def _half_beside(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    return _half(dtype, vanilla, adapter, part, merged=False)


def _half_merged(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    return _half(dtype, vanilla, adapter, part, merged=True)


def _merged(dtype: str, vanilla: Path, adapter: Path, part: float) -> VisionLanguageModel:
    vlm = _half(dtype, vanilla, adapter, part, merged=True)
    compute_in_float32(vlm.base)
    return vlm


#: Ways to store and compute an unlearned model, and whether the adapter trained in float32 is used.
WAYS: dict[str, tuple[Build, bool]] = {
    "all in float32": (_float32, True),
    "ours: half stored, float32 computed, adapters beside": (_ours, False),
    "ours, products in TF32": (_in_tf32, False),
    "float32 computed, adapters merged into half": (_merged, True),
    "half computed, last adapter beside": (_half_beside, True),
    "half computed, adapters merged": (_half_merged, True),
}


def _changes(benchmark: Path, build: Build, dtype: str, vanilla: Path, adapter: Path) -> list[float]:
    """Change of the mean NLL of the forgotten people's answers at each of :data:`SCALES`, in nats per token."""
    start, *others = (_nll(benchmark, build(dtype, vanilla, adapter, part)) for part in (0.0, *SCALES))
    return [nll - start for nll in others]


@torch.no_grad()
def _nll(benchmark: Path, vlm: VisionLanguageModel) -> float:
    pairs = read_pairs(benchmark, person_ids(benchmark, PERCENT, "forget"))
    images = read_images(benchmark, {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    means = [score(vlm, batch(vlm, [unit]), pictures).nll() for unit in units(vlm, pictures, pairs, "person")]
    return float(torch.stack(means).double().mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16"])
    parser.add_argument("--methods", nargs="+", default=sorted(catalogue.read()))
    arguments = parser.parse_args()
    main(arguments.results, arguments.dtype, arguments.methods)
