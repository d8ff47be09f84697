"""The hash of what a job is made of: its rule, its wildcards and its parameters. Its inputs are not part of it.

Receipts hold it (:mod:`unsee.jobs.receipts`): with the digests of inputs and outputs it tells whether a result is one of the present
configuration and code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Keys of parameters that say where a file lies on this machine. Another place changes no result.
PLACES = frozenset({"folder", "path", "record"})


def job_hash(rule: str, wildcards: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of a SHA-256 digest.

    Args:
        rule: the rule's name.
        wildcards: the wildcards of the job by name; none for a rule without wildcards.
        parameters: the job's parameters by name; values are what JSON can hold. The keys :data:`PLACES` are left out, at
            any depth.
    """
    content = [rule, dict(wildcards), _without_places(parameters)]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(item) for key, item in value.items() if key not in PLACES}
    return [_without_places(item) for item in value] if isinstance(value, list | tuple) else value
