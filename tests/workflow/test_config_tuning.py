"""Grids, tuned settings and values by ratio in config.yaml: what passes, and what is said of what does not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from unsee.jobs.config import ConfigError, read_nested, replace_wholes, resolve
from unsee.jobs.config_checks import check
from unsee.unlearning.catalogue import read

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
METHODS = read()
RATES = [0.0001, 0.0002, 0.0004, 0.0008]
GRID = {"learning_rate": RATES, "beta": [0.2, 0.4]}


def with_entry(name: str, entry: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """config.yaml with another entry of ``methods``."""
    config = copy.deepcopy(CONFIG)
    config["methods"][name] = entry
    for key, values in sections.items():
        config[key] |= values
    return config


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("npo", {"tune": GRID}),
        ("npo", {"tune": GRID, "learning_rate": "tuned", "beta": "tuned"}),
        ("npo", {"tune": {"beta": [0.1 * i for i in range(1, 9)]}, "beta": "tuned"}),
        ("ga", {"learning_rate": "tuned"}),
        ("ga", {"learning_rate": {5: 0.1, 10: 0.2, 15: 0.3}}),
        ("npo", {"beta": {"5": 0.1, "other": 0.2}, "steps": {"other": 9}}),
        ("ga", {"epochs": {5: 4, "other": None}, "steps": {5: None, "other": 172}}),
        ("vl_eraser", {"tune": {"learning_rate": RATES, "distil": [True, False]}}),
    ],
)
def test_it_passes(name: str, entry: dict[str, Any]) -> None:
    as_read = yaml.safe_load(yaml.safe_dump(entry).replace("'5':", "5:"))
    check(with_entry(name, as_read), METHODS, ROOT)
    # Editors read keys as texts.
    as_text = {k: {str(i): v for i, v in part.items()} if isinstance(part, dict) else part for k, part in entry.items()}
    jsonschema.Draft7Validator(SCHEMA).validate({"methods": {name: as_text}})


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("ga", {"learning_rate": {5: 0.1, 10: 0.2}}, "methods.ga.learning_rate has no value at 15 %; expected one for"),
        ("ga", {"learning_rate": {5: 0.1, "other": -1}}, "methods.ga.learning_rate is -1; expected a number above 0"),
        (
            "ga",
            {"learning_rate": {"five": 0.1}},
            "methods.ga.learning_rate is a section; expected a number above 0",
        ),
        ("ga", {"learning_rate": {5: "tuned", "other": 1}}, "methods.ga.learning_rate is 'tuned'; expected a number"),
        ("ga", {"lora": {5: {"rank": 4}}}, "methods.ga.lora.5"),
        ("ga", {"steps": {5: None, "other": 9}}, "methods.ga has epochs null and steps null"),
        (
            "ga",
            {"steps": "tuned"},
            "methods.ga has steps: tuned, and its trials vary learning_rate; expected learning_rate",
        ),
        (
            "npo",
            {"tune": GRID, "learning_rate": "tuned"},
            "its trials vary learning_rate, beta; expected learning_rate: tun",
        ),
        ("npo", {"tune": {"learning_rate": RATES}}, "methods.npo.tune has 4 trials, each value with each; expected 8"),
        (
            "npo",
            {"tune": {"learning_rate": [*RATES, *RATES]}},
            "methods.npo.tune is .* expected lists of different values",
        ),
        ("npo", {"tune": {"beta": 0.2}}, "methods.npo.tune is .* expected lists of different values"),
        ("npo", {"tune": {"beta": [*RATES, 0, 0.1, 0.2, 0.3]}}, "methods.npo.beta is 0; expected a number above 0"),
        ("npo", {"tune": {"steps": RATES}}, "methods.npo.tune.steps"),
        ("npo", {"tune": {"reference_model": ["retain", "vanilla"]}}, "methods.npo.tune.reference_model"),
        (
            "npo",
            {"tune": {"beta": [0.2, 0.4], "level": ["sequence_sum", "sequence_mean"]}},
            "expected learning_rate and at most one option of npo",
        ),
    ],
)
def test_it_is_refused(name: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(with_entry(name, entry), METHODS, ROOT)


def merged(files: list[Path], *options: str) -> dict[str, Any]:
    """A configuration as the workflow reads it: files over each other, under ``--config``."""
    config: dict[str, Any] = {}
    for file in files:
        update_config(config, yaml.safe_load(file.read_text()))
    overrides = parse_config(options)
    update_config(config, overrides)
    read_nested(config, overrides)
    replace_wholes(config, overrides, files)
    check(config, METHODS, ROOT, files)
    return config


@pytest.mark.parametrize(
    ("below", "above", "rates"),
    [
        ("{5: 0.1, other: 0.2}", "{other: 0.3}", [0.3, 0.3, 0.3]),
        ("{5: 0.1, other: 0.2}", "{10: 0.3, other: 0.4}", [0.4, 0.3, 0.4]),
        ("{5: 0.1, other: 0.2}", '{"10": 0.3, "5": 0.5, other: 0.4}', [0.5, 0.3, 0.4]),
        ("{5: 0.1, other: 0.2}", "0.3", [0.3, 0.3, 0.3]),
        ("0.1", "{5: 0.3, other: 0.4}", [0.3, 0.4, 0.4]),
        ("{5: 0.1, other: 0.2}", "tuned", ["tuned"] * 3),
    ],
)
def test_a_value_by_ratio_is_taken_whole_from_the_place_on_top(
    below: str, above: str, rates: list[Any], tmp_path: Path
) -> None:
    """``other`` in an overlay means every ratio that the overlay does not name; so does ``other`` in ``--config``."""
    files = [ROOT / "config.yaml", tmp_path / "run.yaml", tmp_path / "overlay.yaml"]
    files[1].write_text(f"methods: {{ga: {{learning_rate: {below}}}}}")
    files[2].write_text(f"methods: {{ga: {{learning_rate: {above}}}}}")
    by_file = merged(files)
    by_option = merged(files[:2], f"methods={{ga: {{learning_rate: {above}}}}}")
    for config in (by_file, by_option):
        entries = resolve(config, METHODS)
        assert [entries["ga"].at(percent).settings["learning_rate"] for percent in (5, 10, 15)] == rates
        assert entries["ga_diff"].settings["learning_rate"] == CONFIG["methods"]["ga_diff"]["learning_rate"]


def test_a_grid_is_taken_whole_from_the_place_on_top(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"methods: {{vl_eraser: {{tune: {{learning_rate: {[*RATES, 0.1, 0.2, 0.3, 0.4]}}}}}}}")
    assert list(resolve(merged([ROOT / "config.yaml", overlay]), METHODS)["vl_eraser"].grid) == ["learning_rate"]


def test_a_grid_is_one_of_an_own_or_of_the_same_rates_for_all() -> None:
    entries = resolve(with_entry("npo", {"tune": GRID}), METHODS)
    assert entries["npo"].grid == GRID and "tune" not in entries["npo"].settings
    assert entries["ga"].grid == {"learning_rate": CONFIG["tuning"]["learning_rates"]}


def test_entries_are_twins_if_they_are_the_same_at_every_ratio_that_is_run() -> None:
    rate = CONFIG["methods"]["ga"]["learning_rate"]["other"]
    by_ratio = {"method": "ga", "learning_rate": {5: rate, 10: rate, "other": 0.1}}
    check(with_entry("ga_2", by_ratio), METHODS, ROOT)
    with pytest.raises(ConfigError, match="methods.ga_2 is the same run as methods.ga"):
        check(with_entry("ga_2", by_ratio, benchmark={"forget_percents": [5, 10]}), METHODS, ROOT)


def test_a_value_at_one_ratio_and_one_of_a_trial_are_checked_for_memory() -> None:
    """Full copies of the weights need a larger GPU than adapters."""
    large = {
        "model": {"family": "llava", "path": "llava-hf/llava-1.5-7b-hf", "dtype": "float16"},
        "cluster": {"gpu_gb": 40},
        "resources": {
            rule: {"gpu": 1, "mem_mb": 40000} for rule in ("finetune", "train_reference", "unlearn", "predict")
        },
    }
    options = {"gradient_accumulation": 4, "gradient_checkpointing": True}
    sections: dict[str, Any] = {**large, "finetune": options, "unlearning": options}
    plain = with_entry("mmunlearner", {"parameters": "adapter"}, **sections)
    check(plain, METHODS, ROOT)
    for entry in (
        {"parameters": {5: "adapter", 10: "full", 15: "adapter"}},
        {
            "tune": {"learning_rate": RATES, "parameters": ["adapter", "full"]},
            "learning_rate": "tuned",
            "parameters": "tuned",
        },
    ):
        with pytest.raises(ConfigError, match="methods.mmunlearner needs a GPU of"):
            check(with_entry("mmunlearner", entry, **sections), METHODS, ROOT)
