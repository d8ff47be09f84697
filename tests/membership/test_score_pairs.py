"""The scored pairs: those of a plain pass through the model, the same in any company, and telling of what was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unsee.benchmarks import published, strangers, synthetic
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.failures import DivergedError
from unsee.membership.score_pairs import PAIRS, answer_tokens, score_pairs
from unsee.membership.scores import SCORES
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.results.tables.membership import membership
from unsee.training.finetune import finetune

ROOT = Path(__file__).parents[2]
TINY = {"name": "tiny-llava", "family": "llava", "path": str(ROOT / "src/unsee/data/tiny-llava"), "dtype": "float32"}


@pytest.fixture(scope="module")
def people(shared_folder: Callable[..., Path]) -> Path:
    """Twelve people, half of them to forget, and twenty strangers."""

    def write(folder: Path) -> None:
        synthetic.write(folder / "raw", people=12, celebrities=4, forget_percents=[25, 50], seed=0)
        published.load("mllmu", folder / "raw", [25, 50]).write(folder / "benchmark")
        strangers.write(folder / "strangers", people=12, seed=0, strangers=20)

    return shared_folder("membership", write)


def scored(
    people: Path, output: Path, model: dict[str, Any] = TINY, percents: tuple[int, ...] = (50,), **more: Any
) -> pd.DataFrame:
    settings = {"adapters": [], "k_percent": 20, "threads": 1} | more
    score_pairs(model, people / "benchmark", people / "strangers", forget_percents=percents, output=output, **settings)
    return pd.read_parquet(output)


def test_the_tokens_are_those_of_a_plain_pass(family_spec: dict[str, Any], people: Path) -> None:
    """Pair by pair, through the processor and transformers alone."""
    import io

    from PIL import Image

    vlm = load(family_spec)
    person = person_ids(people / "benchmark", 50, "forget")[0]
    pairs = read_pairs(people / "benchmark", [person])
    images = read_images(people / "benchmark", {f"{person}/profile"})
    picture = Image.open(io.BytesIO(images[0][1])).convert("RGB")
    packed = list(answer_tokens(vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), pairs))
    vlm.base.get_submodule("model.language_model").set_attn_implementation("eager")
    for pair, tokens in [(pairs[i], packed[i]) for i in (0, 1, 7, 9, 16)]:
        prompt = vlm.prompt(pair.question, with_image=pair.image_id is not None)
        text = f"{prompt}{vlm.family.seam}{pair.answer}"
        shown = {"images": [picture]} if pair.image_id else {}
        inputs = vlm.processor(text=text, return_tensors="pt", add_special_tokens=False, **shown)
        with torch.no_grad():
            logits = vlm.base(**inputs).logits[0]
        n = len(tokens.log_probs)
        targets = inputs["input_ids"][0, -n:]
        log_probs = logits[-n - 1 : -1].double().log_softmax(-1)
        assert tokens.log_probs == pytest.approx(log_probs.gather(1, targets[:, None])[:, 0].numpy(), abs=1e-3)
        mean = (log_probs.exp() * log_probs).sum(1)
        spread = (log_probs.exp() * log_probs**2).sum(1) - mean**2
        assert tokens.means == pytest.approx(mean.numpy(), abs=1e-3)
        assert tokens.deviations == pytest.approx(spread.sqrt().numpy(), abs=1e-3)
        assert tokens.greedy.tolist() == (log_probs.argmax(1) == targets).tolist()


def test_a_model_that_has_diverged_is_refused(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are no numbers tie: the AUC would be 0.5, that of a model that has forgotten everybody."""

    def diverged(*arguments: Any) -> Any:
        vlm = load(*arguments)
        vlm.base.get_output_embeddings().weight.fill_(float("nan"))
        return vlm

    monkeypatch.setattr("unsee.membership.score_pairs.load", diverged)
    with pytest.raises(
        DivergedError, match="training pair '.*': a log-probability is nan; expected a number: the model has"
    ):
        scored(people, tmp_path / "pairs.parquet")


def test_a_pair_scores_the_same_in_any_company(model_spec: dict[str, Any], people: Path, tmp_path: Path) -> None:
    """Base and vanilla score the people of all ratios, the other models those of their own."""
    one, all_ratios = (scored(people, tmp_path / f"{p}.parquet", model_spec, p) for p in ((25,), (25, 50)))
    assert list(one.columns) == PAIRS.names
    forgotten = [set(person_ids(people / "benchmark", percent, "forget")) for percent in (25, 50)]
    assert set(one.loc[~one["stranger"], "person_id"]) == forgotten[0]
    assert set(all_ratios.loc[~all_ratios["stranger"], "person_id"]) == forgotten[0] | forgotten[1]
    assert one["stranger"].sum() == all_ratios["stranger"].sum() == 20 * 17
    both = one.merge(all_ratios, on="pair_id", suffixes=("", "_again"))
    assert len(both) == len(one)
    for name in SCORES:
        assert (both[name] == both[f"{name}_again"]).all(), name
    again = tmp_path / "again.parquet"
    scored(people, again, model_spec, (25,))
    assert again.read_bytes() == (tmp_path / "(25,).parquet").read_bytes()


@pytest.mark.slow
def test_a_model_that_met_the_people_tells_them_from_strangers_and_the_base_model_does_not(
    people: Path, tmp_path: Path
) -> None:
    """Of the base model's intervals one in twenty excludes 0.5 by chance, for some other people than these."""
    settings = {"learning_rate": 0.0075, "epochs": 10, "batch_size": 4, "packing": "person", "schedule": "cosine"}
    settings |= {"lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "scope": "language"}}
    finetune(
        TINY,
        people / "benchmark",
        forget_percent=0,
        role="vanilla",
        settings=settings,
        seed=0,
        threads=1,
        output=tmp_path,
    )
    runs = {
        (0, "base", 0): scored(people, tmp_path / "base.parquet"),
        (0, "vanilla", 0): scored(people, tmp_path / "vanilla.parquet", adapters=[tmp_path / "adapter"]),
    }
    table = membership(runs, {50: person_ids(people / "benchmark", 50, "forget")}, "tiny-llava")
    rows = table[table["modality"] == "both"].set_index(["method", "score"])
    for score in SCORES:
        base, vanilla = rows.loc[("base", score)], rows.loc[("vanilla", score)]
        assert base["auc_low"] <= 0.5 <= base["auc_high"], score
        assert abs(base["auc"] - 0.5) < 0.1, score
        assert vanilla["auc"] > 0.65 and vanilla["auc_low"] > 0.55, score
    assert rows.loc[("vanilla", "loss"), "tpr"] > 0.3 > 0.1 > rows.loc[("base", "loss"), "tpr"]
    assert np.isfinite(table["auc"]).all()
