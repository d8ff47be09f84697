"""Load a protocol by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unsee.evaluation.protocol import Protocol
from unsee.evaluation.settings import PROTOCOLS, settings_of


def load_protocol(settings: Mapping[str, Any]) -> Protocol:
    """The protocol of some settings.

    Args:
        settings: ``protocol`` (``unsee`` by default) and those of its settings that change answers, see
            :func:`unsee.evaluation.settings.settings_of`.

    Raises:
        ValueError: there is no such protocol.
    """
    # Imported here, because planning reads the settings and needs no tables.
    from unsee.evaluation.protocols.mllmu_official import MllmuOfficial
    from unsee.evaluation.protocols.mmunlearner import MMUnlearner
    from unsee.evaluation.protocols.unsee import Unsee

    classes: dict[str, Callable[..., Protocol]] = {
        "unsee": Unsee,
        "mllmu-official": MllmuOfficial,
        "mmunlearner": MMUnlearner,
    }
    name = settings.get("protocol", "unsee")
    if name not in classes:
        raise ValueError(f"evaluation.protocol is {name!r}; expected one of {', '.join(PROTOCOLS)}")
    return classes[name](**{key: settings[key] for key in settings_of(name, stage="answers") if key in settings})
