"""The numbers of README.md are those of docs/reference, which is a default run of the configuration as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tools import reference
from unsee.jobs.config import resolve
from unsee.jobs.values import for_ratios
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[1]


def test_the_table_in_readme_is_that_of_the_reference_results() -> None:
    table = pd.read_csv(reference.FOLDER / "table3.csv")
    page = reference.README.read_text(encoding="utf-8")
    assert reference.replaced(page, reference.readme_table(table)) == page, "python -m tools.reference results"


def test_the_reference_results_are_of_the_methods_and_settings_of_config_yaml() -> None:
    made = json.loads((reference.FOLDER / "table3.manifest.json").read_text(encoding="utf-8"))["configuration"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    entries = resolve(config, catalogue.read())
    assert set(made["methods"]) == set(entries)
    for name, entry in entries.items():
        settings = for_ratios(entry.settings, config["benchmark"]["forget_percents"])
        now = json.loads(json.dumps(settings))  # keys of ratios are texts in JSON
        assert made["methods"][name]["settings"] == now, f"{name}: run the default run and tools/reference.py again"
    for section in ("benchmark", "finetune", "seeds"):
        assert made[section] == json.loads(json.dumps(config[section])), section


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page lacks"):
        reference.replaced("# unsee\n", "| a |\n")


def test_a_table_of_two_methods() -> None:
    row = {f"{name}_{column}": 0.0 for name in ("forget", "test", "retain", "celebrity") for column in _COLUMNS}
    table = pd.DataFrame(
        [
            row | {"forget_percent": 10, "modality": "image", "method": "ga", "forget_classification": 12.34},
            row | {"forget_percent": 10, "modality": "text", "method": "ga"},
            row | {"forget_percent": 5, "modality": "image", "method": "ga"},
            row | {"forget_percent": 10, "modality": "image", "method": "npo", "retain_rouge_l": 0.567},
        ]
    )
    lines = reference.readme_table(table).splitlines()
    assert lines[2:] == [
        "| `ga` | 12.3 | 0.0 | 0.0 | 0.0 | 0.00 | 0.00 | 0.0 | 0.0 |",
        "| `npo` | 0.0 | 0.0 | 0.0 | 0.0 | 0.00 | 0.57 | 0.0 | 0.0 |",
    ]


_COLUMNS = ("classification", "rouge_l", "cloze")
