"""What the search found for one method and ratio, as a job reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.jobs.values import TUNED


def read_selection(files: Sequence[str]) -> dict[str, Any]:
    """The settings of the best trial and how it was selected; nothing for a run whose settings are all set.

    Args:
        files: the file that rule ``select_settings`` wrote, or none.
    """
    content: dict[str, Any] = {}
    for file in files:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    return content


def selections(manifests: Sequence[str]) -> dict[str, Any]:
    """What the search found for each run that has tuned settings.

    Args:
        manifests: manifest.json of each run.

    Returns:
        ``{"selections": ...}`` by the run's folder; nothing if no run has such settings.
    """
    read = {str(Path(file).parent): json.loads(Path(file).read_text(encoding="utf-8")) for file in manifests}
    selected = {run: manifest["selection"] for run, manifest in read.items() if "selection" in manifest}
    return {"selections": selected} if selected else {}


def with_selection(settings: Mapping[str, Any], selection: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run uses.

    Raises:
        ValueError: a setting is still ``tuned``.
    """
    used = {**settings, **selection.get("settings", {})}
    if missing := [key for key, value in used.items() if value == TUNED]:
        diverged = "every one of its trials has diverged" if selection else "the search found no value"
        raise ValueError(
            f"{', '.join(missing)}: tuned, and {diverged}; expected one value for each: try other values (tune), such as lower rates"
        )
    return used
