"""Settings that change nothing: what a method says it does not read is what makes no difference to its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from unsee.core.failures import DivergedError
from unsee.training.finetune import finetune
from unsee.unlearning import catalogue, run

METHODS = catalogue.read()
LORA = {"rank": 2, "alpha": 2, "dropout": 0.05, "scope": "language"}
SETTINGS: dict[str, Any] = {
    **{"learning_rate": 5e-3, "epochs": None, "steps": 3, "batch_size": 4, "packing": "none", "loss_tokens": "answer"},
    **{"alternation": "joint", "modality": "both", "variants": 0, "optimizer": "adam", "weight_decay": 0.0},
    **{"schedule": "constant", "warmup": 0.0, "max_grad_norm": 1.0, "lora": LORA},
}
#: Another value of every setting that may decide a result; the others divide a step, which gives the same gradient.
OTHERS: dict[str, Any] = {
    **{"learning_rate": 4e-3, "steps": 4, "batch_size": 3, "packing": "person", "loss_tokens": "all"},
    **{"alternation": "sequential", "modality": "image", "variants": 2, "optimizer": "sgd", "weight_decay": 0.1},
    **{"schedule": "linear", "warmup": 0.5, "max_grad_norm": 1e-4},
    **{"lora.rank": 3, "lora.alpha": 5, "lora.dropout": 0.4, "lora.scope": "both"},
}


def changed(settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    section, _, name = key.rpartition(".")
    return {**settings, section: {**settings[section], name: value}} if section else {**settings, key: value}


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("vanilla")
    settings = {**SETTINGS, "steps": 4, "packing": "person"}
    common: Any = {"forget_percent": 0, "role": "vanilla", "seed": 0, "threads": 1, "output": folder}
    finetune(model_spec, mini_benchmark, settings=settings, **common)
    return folder / "adapter"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_reads_every_setting_but_those_that_it_says_it_does_not(
    method: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    """The result is the same, to the last bit, exactly for the settings that are refused in an entry."""
    needs, options = METHODS[method].needs, METHODS[method].options
    defaults = {name: option.default for name, option in options.items()}
    keys = list(OTHERS) if needs.training else list(needs.data_settings)
    base = {**(SETTINGS if needs.training else {"modality": "both"}), **defaults}

    def result(settings: dict[str, Any], name: str) -> bytes | str:
        common: Any = {"forget_percent": 25, "seed": 0, "threads": 1, "output": tmp_path / name}
        reference = vanilla if needs.reference == "retain_only" else None
        try:
            run.unlearn(
                model_spec,
                mini_benchmark,
                vanilla=vanilla,
                reference=reference,
                method=method,
                settings=settings,
                **common,
            )
        except (ValueError, DivergedError) as error:  # it reads the setting, and refuses it
            return str(error)
        return (tmp_path / name / "adapter/adapter_model.safetensors").read_bytes()

    before = result(base, "as it is")
    same = {key for key in keys if result(changed(base, key, OTHERS[key]), key) == before}
    assert same == set(needs.unread_settings(base)) & set(keys)


@pytest.mark.parametrize(
    ("method", "settings", "unread"),
    [
        ("ga", {}, {"alternation", "warmup"}),
        ("ga", {"schedule": "linear", "modality": "text"}, {"alternation", "variants"}),
        ("ga_diff", {}, {"warmup"}),
        ("npo", {"alpha": 0.0}, {"alternation", "warmup"}),
        ("npo", {"alpha": 1.0, "schedule": "cosine"}, set()),
        ("mmunlearner", {"parameters": "full"}, {"warmup", "lora.rank", "lora.alpha", "lora.dropout"}),
        ("vl_eraser", {"vacuum": True}, {"alternation", "warmup", "lora.scope"}),
        ("vl_eraser", {"vacuum": False}, {"alternation", "warmup", "lora.scope", "tolerance", "vacuum_inputs"}),
        ("prompt", {}, {"modality"}),
        ("kvw", {}, set()),
    ],
)
def test_what_is_not_read_depends_on_the_other_settings(
    method: str, settings: dict[str, Any], unread: set[str]
) -> None:
    assert set(METHODS[method].needs.unread_settings({**SETTINGS, **settings})) == unread


def test_every_option_and_setting_that_a_method_says_it_does_not_read_exists() -> None:
    for name, description in METHODS.items():
        assert set(description.needs.unread) <= {*description.options, *OTHERS}, name
