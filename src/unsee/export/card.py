"""The model card of an exported run. It tells what was forgotten in counts, never in names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from unsee import __version__
from unsee.benchmarks.tables import names_of, person_ids
from unsee.export.evaluation import Evaluation
from unsee.export.finished_run import ExportError, FinishedRun
from unsee.export.merged import Rounding
from unsee.results.styles import label_of
from unsee.unlearning import catalogue

TEMPLATE = Path(__file__).resolve().parents[1] / "data/export/README.md.j2"
#: Keys of a base model's card that say under which licence it is.
_LICENCE = ("license", "license_name", "license_link")


def write(run: FinishedRun, *, dtype: str, rounding: Rounding | None, as_adapter: bool) -> str:
    """The text of the card.

    Args:
        run: the exported run.
        dtype: of the weights.
        rounding: what rounding took away, if the weights are rounded.
        as_adapter: whether an adapter is exported, not a merged checkpoint.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["markdown"] = _markdown
    manifest, evaluation = run.manifest, Evaluation(run)
    name = str(manifest.get("method", run.run.method))
    methods, published, licence = catalogue.read(), run.published, _licence(run.base)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        front=_front_matter(run, licence, as_adapter),
        model=run.model,
        family=run.spec["family"],
        published=published,
        licence=licence,
        run=run.run,
        role={"vanilla": "vanilla", "retain": "retain"}.get(run.run.method, "unlearned"),
        label=label_of(name),
        paper=methods[name].paper if name in methods else "",
        counts=_counts(run),
        benchmark=_benchmark(run.place),
        settings=dict(_flat(manifest["settings"])),
        scores=evaluation.scores(),
        robustness=evaluation.robustness(),
        membership=evaluation.membership(),
        dtype=dtype,
        stored=run.spec["dtype"],
        rounding=None if rounding is None else asdict(rounding),
        as_adapter=as_adapter,
        versions=manifest["versions"],
        revision=(manifest["made"]["revision"] or {}).get("commit", ""),
        unsee=__version__,
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def check_names(run: FinishedRun, card: str) -> None:
    """Check that a card names none of the fictitious people, by name or by id.

    Args:
        run: the exported run.
        card: its text. Words of the template do not count: an id may be one of them.

    Raises:
        ExportError: it names one.
    """
    benchmark = run.place / "results/benchmark"
    ids = person_ids(benchmark, run.run.forget_percent, "all")
    # A number is no id that could be told from other numbers.
    words = [*names_of(benchmark, ids), *(person for person in ids if re.search("[A-Za-z]", person))]
    template = TEMPLATE.read_text(encoding="utf-8")
    if any(_has_word(card, word) and not _has_word(template, word) for word in words):
        raise ExportError(
            f"{run.folder}: its card would name a person of the benchmark, by a setting of the run",
            "export a run whose settings name nobody",
        )


def _has_word(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text.casefold()))


def _front_matter(run: FinishedRun, licence: Mapping[str, Any], as_adapter: bool) -> str:
    """The card's head, which the hub reads."""
    head: dict[str, Any] = {key: licence[key] for key in _LICENCE if key in licence}
    if run.published:
        head["base_model"] = run.published[0]
        head["base_model_relation"] = "adapter" if as_adapter else "finetune"
    head["library_name"] = "peft" if as_adapter else "transformers"
    head["pipeline_tag"] = "image-text-to-text"
    head["tags"] = ["machine-unlearning", "unsee"]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _licence(base: Path) -> dict[str, Any]:
    """The licence that the base model's card names in its head; empty if it names none."""
    card = base / "README.md"
    if not card.is_file():
        return {}
    match = re.match(r"---\n(.*?)\n---\n", card.read_text(encoding="utf-8"), re.DOTALL)
    try:
        head = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        head = None
    return {key: head[key] for key in _LICENCE if key in head} if isinstance(head, dict) else {}


def _counts(run: FinishedRun) -> dict[str, int]:
    """How many people the base model was taught, and how many of them were to be forgotten."""
    benchmark, percent = run.place / "results/benchmark", run.run.forget_percent
    taught = len(person_ids(benchmark, percent, "all"))
    return {"taught": taught, "forgotten": len(person_ids(benchmark, percent, "forget")) if percent else 0}


def _benchmark(place: Path) -> str:
    receipt = json.loads((place / "results/jobs/load_benchmark.json").read_text(encoding="utf-8"))
    return str(receipt["parameters"]["name"])


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in sorted(settings.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", "null" if value is None else str(value)


def _markdown(table: pd.DataFrame) -> str:
    return str(table.to_markdown(index=False, disable_numparse=True))
