"""How each protocol scores each kind of question: the arguments of the ``score`` of its task's module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unsee.evaluation.settings import PROTOCOLS


def rules_of(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments by kind of question.

    Args:
        settings: ``protocol`` and its settings that change scores, see :func:`unsee.evaluation.settings.settings_of`; a missing
            setting has its default.

    Raises:
        ValueError: there is no such protocol.
    """
    name = settings.get("protocol", "unsee")
    if name not in PROTOCOLS:
        raise ValueError(f"evaluation.protocol is {name!r}; expected one of {', '.join(PROTOCOLS)}")
    if name != "unsee":
        return {
            "classification": {"likelihoods": False},
            "cloze": {"rule": "substring"},
            "generation": {"every_script": False},
        }
    by_sum = settings.get("classification") == "likelihood_sum"
    return {
        "classification": {"likelihoods": True, "per_token": not by_sum},
        "cloze": {"rule": settings.get("cloze_rule", "exact")},
        "generation": {"stemmer": settings.get("rouge_stemmer", True)},
        "likelihood": {},  # TOFU's truth ratio is a mean over tokens
    }


def unasked_tasks(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks in which a protocol leaves out questions: those about the people of its examples."""
    return () if settings.get("protocol", "unsee") == "unsee" else ("classification", "cloze")
