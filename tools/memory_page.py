"""Write the overlays presets/overlay-gpu-*.yaml and the tables of docs/memory.md from the arithmetic in unsee.memory.

    python tools/memory_page.py

tests/test_memory.py fails if a file differs from the output of this script.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unsee import memory  # noqa: E402
from unsee.jobs.config import resolve  # noqa: E402
from unsee.unlearning import catalogue  # noqa: E402

PAGE = ROOT / "docs" / "memory.md"
CARDS = (24, 40, 80)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
MODELS = {"LLaVA-1.5-7B": "run-paper-llava-1.5-7b", "Qwen2-VL-7B": "overlay-qwen2-vl-7b"}
#: The values of ``evaluation.protocol`` that each model supports.
PROTOCOLS = {"LLaVA-1.5-7B": ("unsee", "mllmu-official", "mmunlearner"), "Qwen2-VL-7B": ("unsee", "mmunlearner")}
#: The presets that an overlay of a card is laid over, alone and with other settings between them.
LAID_OVER = [
    *((name,) for name in (*MODELS.values(), "overlay-clear", "run-anchor-llava-vanilla")),
    *((name, ours.stem) for name in MODELS.values() for ours in sorted((ROOT / "presets").glob("overlay-ours-*.yaml"))),
]
HEAD = (
    "# An overlay, laid over any run of a 7B model: a GPU of {card} GB; changes no result. Written by tools/memory_page.py.\n"
    "# snakemake ... --configfile presets/run-paper-llava-1.5-7b.yaml presets/overlay-gpu-{card}gb.yaml\n"
    "# The fastest training that fits for every method, and the largest batch of the evaluation.\n"
    "# yaml-language-server: $schema=../workflow/schemas/config.schema.yaml\n"
)


def preset_files(*presets: str) -> list[Path]:
    """The files of presets, after the runs that the first of them is laid over, as its first line says."""
    files = [ROOT / "presets" / f"{preset}.yaml" for preset in presets]
    first_line = files[0].read_text(encoding="utf-8").partition("\n")[0] if files else ""
    runs = re.findall(r"(run-[\w.-]+)\.yaml", first_line.partition("laid over")[2])
    return [*(ROOT / "presets" / f"{run}.yaml" for run in runs), *files]


def configuration(*presets: str) -> dict[str, Any]:
    """The configuration under some presets, see :func:`preset_files`."""
    config = deepcopy(_read(ROOT / "config.yaml"))
    for file in preset_files(*presets):
        update_config(config, deepcopy(_read(file)))
    return config


@cache
def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@cache
def _methods() -> catalogue.Catalogue:
    return catalogue.read()


def needs(config: dict[str, Any]) -> dict[str, memory.Need]:
    """The memory that each job of a configuration needs: ``finetune``, each method, ``predict``."""
    lengths = memory.LENGTHS[config["benchmark"]["name"]]
    shapes = memory.read_shapes(
        memory.PUBLISHED[config["model"]["path"]], {}, config["model"]["dtype"], lengths.picture
    )
    assert shapes is not None
    entries = resolve(config, _methods())
    needs_of_rules = memory.needs_of(config, entries, shapes)
    shown = {*memory.LOADING} - {"train_reference"}  # needs what finetune needs
    return {key[1] if rule == "unlearn" else rule: need for key, rule, need in needs_of_rules if rule in shown}


def fit(section: dict[str, Any], card: int) -> bool:
    """Whether every preset fits a card under these settings: its evaluation if they contain ``evaluation``, otherwise its training."""
    for presets in LAID_OVER:
        for rule, need in needs(_laid_over(configuration(*presets), section)).items():
            if (rule == "predict") == ("evaluation" in section) and not need.fits(card):
                return False
    return True


@cache
def overlay(card: int) -> dict[str, Any]:
    """The settings of a card: the first of the ways to train, and the largest batch, that fit all presets.

    Raises:
        ValueError: no settings fit.
    """
    way = next((way for way in memory.ways_to_train(4) if fit({"finetune": way, "unlearning": way}, card)), None)
    batch = max((batch for batch in BATCHES if fit({"evaluation": {"batch_size": batch}}, card)), default=None)
    if way is None or batch is None:
        raise ValueError(f"a card of {card} GB holds no training or no answering of {LAID_OVER}")
    return {"cluster": {"gpu_gb": card}, "finetune": way, "unlearning": way, "evaluation": {"batch_size": batch}}


def overlay_text(card: int) -> str:
    """The file of a card's overlay."""
    lines = []
    for section, settings in overlay(card).items():
        entries = ", ".join(f"{key}: {str(value).lower()}" for key, value in settings.items())
        lines.append(f"{section}: {{{entries}}}\n")
    return HEAD.format(card=card) + "".join(lines)


@cache
def table() -> str:
    """The needs of every job under each card's overlay, in GB."""
    lines = [
        "| model | job | " + " | ".join(f"{card} GB" for card in CARDS) + " | most of it (24 GB) |",
        "|---|---|" + "--:|" * len(CARDS) + "---|",
    ]
    lines += [f"| {model} | {job} | {' | '.join(cells)} | {most} |" for model, job, cells, most in _rows()]
    return "\n".join(lines) + "\n"


def _rows() -> Iterator[tuple[str, str, list[str], str]]:
    for model, preset in MODELS.items():
        yield from _rows_of(model, configuration(preset), lambda job: job != "predict", "")
    clear = configuration("overlay-clear")
    yield from _rows_of("LLaVA-1.5-7B", clear, lambda job: job == "vl_eraser", ", CLEAR")
    for model, protocols in PROTOCOLS.items():
        for protocol in protocols:
            evaluation = {"evaluation": {"protocol": protocol, "shots": 0, "max_new_tokens": 50}}
            config = _laid_over(configuration(MODELS[model]), evaluation)
            yield from _rows_of(model, config, lambda job: job == "predict", f", protocol {protocol}")


def _rows_of(
    model: str, config: dict[str, Any], wanted: Callable[[str], bool], label: str
) -> Iterator[tuple[str, str, list[str], str]]:
    by_card = {card: needs(_laid_over(config, overlay(card))) for card in CARDS}
    for job in filter(wanted, by_card[CARDS[0]]):
        job_needs = {card: by_card[card][job] for card in CARDS}
        cells = [f"{need.card:.1f}{'' if need.fits(card) else ' (refused)'}" for card, need in job_needs.items()]
        parts = job_needs[CARDS[0]].parts
        first, second = sorted(parts, key=lambda name: -parts[name])[:2]
        most = f"{first} {parts[first] / memory.GB:.1f}, {second} {parts[second] / memory.GB:.1f}"
        yield model, job + label, cells, most


def _laid_over(config: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    return {**config, **{section: {**config[section], **settings} for section, settings in above.items()}}


def between(page: str, name: str, content: str) -> str:
    """The page with the content between a pair of markers replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, rest = page.split(start)
    _, after = rest.split(end)
    return before + start + content + end + after


def main() -> None:
    for card in CARDS:
        (ROOT / "presets" / f"overlay-gpu-{card}gb.yaml").write_text(overlay_text(card), encoding="utf-8")
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), "needs", table()), encoding="utf-8")


if __name__ == "__main__":
    main()
