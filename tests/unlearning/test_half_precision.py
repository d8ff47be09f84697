"""At the published rate, a model stored in half precision unlearns what the same model unlearns in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel, load, merge
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.finetune import finetune
from unsee.unlearning import catalogue, run
from unsee.unlearning.refusals import with_refusals

BASE = Path(__file__).parents[2] / "src" / "unsee" / "data" / "tiny-llava"
MODEL = {"name": "tiny-llava", "family": "llava", "path": str(BASE)}
LORA = {"rank": 8, "alpha": 8, "dropout": 0.05, "scope": "language"}
PUBLISHED = {"learning_rate": 2e-6, "steps": 12, "batch_size": 4, "lora": LORA}
SCALES = (0.25, 0.5, 0.75, 1.0)
#: The methods that train.
TRAINED = sorted(name for name, description in catalogue.read().items() if description.needs.training)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vanilla(mini_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that is trained on everyone, so that there is something to forget."""
    folder = tmp_path_factory.mktemp("vanilla")
    settings = {"learning_rate": 7.5e-3, "epochs": 4, "batch_size": 4, "packing": "person", "lora": LORA}
    finetune(
        MODEL | {"dtype": "float32"},
        mini_benchmark,
        forget_percent=0,
        role="vanilla",
        settings=settings,
        seed=0,
        threads=1,
        output=folder,
    )
    return folder / "adapter"


def mean_nll(benchmark: Path, vlm: VisionLanguageModel, group: str) -> float:
    """Mean negative log-likelihood of some people's answers, in nats per token: as many of each group.

    The group ``refusals`` are the people to forget, with refusals as the answers.
    """
    n_people = len(person_ids(benchmark, 25, "forget"))
    role = "forget" if group == "refusals" else group
    pairs = read_pairs(benchmark, person_ids(benchmark, 25, role)[:n_people])
    pairs = with_refusals(pairs, 0) if group == "refusals" else pairs
    images = read_images(benchmark, {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    with torch.no_grad():
        scores = [score(vlm, batch(vlm, [unit]), pictures) for unit in units(vlm, pictures, pairs, "person")]
    return -float(torch.cat([one.sequence_mean() for one in scores]).double().mean())


def changes(method: str, dtype: str, vanilla: Path, benchmark: Path, output: Path) -> dict[str, list[float]]:
    """Unlearn, and return the change of each group's mean NLL at each scale of the update."""
    description = catalogue.read()[method]
    options: dict[str, Any] = {name: option.default for name, option in description.options.items()}
    spec = MODEL | {"dtype": dtype}
    run.unlearn(
        spec,
        benchmark,
        vanilla=vanilla,
        # Any reference model will do; vanilla is at hand.
        reference=vanilla if description.needs.reference == "retain_only" else None,
        method=method,
        forget_percent=25,
        settings=PUBLISHED | options,
        seed=0,
        threads=1,
        output=output,
    )
    vlm = load(spec, [vanilla])
    starts, before = {group: mean_nll(benchmark, vlm, group) for group in ("forget", "retain", "refusals")}, 0.0
    nlls: dict[str, list[float]] = {group: [] for group in starts}
    for scale in SCALES:
        vlm.model = merge(vlm.model, output / "adapter", scale, done=before)
        before = scale
        for group, start in starts.items():
            nlls[group].append(mean_nll(benchmark, vlm, group) - start)
    return nlls


@pytest.mark.parametrize("method", TRAINED)
def test_half_precision_keeps_the_update(method: str, vanilla: Path, mini_benchmark: Path, tmp_path: Path) -> None:
    of_groups = changes(method, "float32", vanilla, mini_benchmark, tmp_path / "float32")
    # A method whose forget examples weigh little has hardly begun on them.
    group = max(of_groups, key=lambda name: abs(of_groups[name][-1]))
    whole = of_groups[group]
    assert abs(whole[-1]) > 2e-5, "the update shows in float32"
    for dtype in ("bfloat16", "float16"):
        half = changes(method, dtype, vanilla, mini_benchmark, tmp_path / dtype)[group]
        assert half[-1] == pytest.approx(whole[-1], rel=0.05), dtype
        for parts in (whole, half):
            steps = [later - earlier for earlier, later in zip([0.0, *parts], parts, strict=False)]
            assert len({step > 0 for step in steps}) == 1, "the change grows with the scale"
