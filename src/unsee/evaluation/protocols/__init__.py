"""The protocols, a file each. :mod:`unsee.evaluation.protocols.load` makes one of its settings; planning reads the names below."""

from __future__ import annotations

from unsee.evaluation.settings import PROTOCOLS, settings_of

#: The keys of the configuration's ``evaluation`` that each protocol reads, besides the batch size.
SETTINGS = {name: settings_of(name) for name in PROTOCOLS}
#: Keys that change scores only, and keys that change answers only.
ONLY_SCORES = ("cloze_rule", "rouge_stemmer")
ONLY_ANSWERS = ("max_new_tokens",)
