"""What the source paper says: its figures as far as they are public, and its claims as ranges of differences between models.

The figures are those of VL-Eraser (CVPR 2026) for LLaVA-1.5-7B with 5 % of MLLMU-Bench forgotten, questions with a picture: its results
table and its ablation. Classification and cloze in percent, ROUGE-L from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from unsee.results.styles import label_of

#: The tasks of a claim, and all of them.
TASKS = ("classification", "generation", "cloze")
#: A difference of at most this much, on a scale from 0 to 1, is "about as much". It is ours: the paper has no intervals.
MARGIN = 0.05
BASELINES = ("ga", "ga_diff", "kl_min", "npo", "mmunlearner")
VL_ERASER = "vl_eraser"
#: VL-Eraser's rows without a part, and how they are named in a sentence.
PARTS = {"without_vacuum": "the vacuum", "without_distillation": "distillation", "without_ce": "cross-entropy"}

#: Published scores by set, method and task.
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "forget": {
        "vanilla": {"classification": 51.2, "generation": 0.570, "cloze": 27.1},
        "ga": {"classification": 39.4, "generation": 0.392, "cloze": 21.2},
        "npo": {"classification": 41.9, "generation": 0.510, "cloze": 17.4},
        "mmunlearner": {"classification": 32.6, "generation": 0.462, "cloze": 22.4},
        "vl_eraser": {"classification": 26.2, "generation": 0.256, "cloze": 13.4},
        "without_vacuum": {"classification": 25.4},
        "without_distillation": {"classification": 38.4},
        "without_ce": {"classification": 32.6},
    },
    "retain": {
        "vanilla": {"classification": 47.9, "generation": 0.494, "cloze": 26.3},
        "ga": {"classification": 39.7, "generation": 0.418, "cloze": 19.2},
        "npo": {"classification": 42.1, "generation": 0.415, "cloze": 21.8},
        "mmunlearner": {"classification": 41.9, "generation": 0.458, "cloze": 24.6},
        "vl_eraser": {"classification": 43.4, "generation": 0.473, "cloze": 25.8},
        "without_vacuum": {"classification": 36.6, "generation": 0.385, "cloze": 18.4},
        "without_distillation": {"classification": 42.6, "generation": 0.445, "cloze": 22.2},
        "without_ce": {"classification": 44.7, "generation": 0.458, "cloze": 24.8},
    },
}


@dataclass(frozen=True)
class Claim:
    """A sentence about two models, as the range in which the difference of their scores must lie.

    Attributes:
        text: the sentence.
        method, against: the models; the difference is the first minus the second.
        group: the set of questions.
        low, high: the ends of the range, on a scale from 0 to 1.
        tasks: the tasks over which the difference is averaged: those with published figures.
        words: the difference is what the method leaves in words minus what it leaves with a picture, both over the retain-only model,
            which is ``against``.
    """

    text: str
    method: str
    against: str
    group: str
    low: float = -math.inf
    high: float = math.inf
    tasks: tuple[str, ...] = TASKS
    words: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"the claim {self.text!r} is from {self.low} to {self.high}; expected a range")


def verdict(claim: Claim, low: float, high: float) -> str:
    """Whether a claim holds.

    Args:
        claim: its range.
        low, high: the ends of the 95 % interval of the difference; NaN without one.

    Returns:
        ``holds`` where the whole interval is in the claim's range, ``refuted`` where all of it is outside, else ``cannot be told``.
    """
    if claim.low < low and high < claim.high:
        return "holds"
    if high <= claim.low or claim.high <= low:
        return "refuted"
    return "cannot be told"


def claims() -> dict[str, list[Claim]]:
    """All claims by the heading of their section."""
    return {
        "The best forgetting": list(_forgetting()),
        "Near the best utility": list(_utility()),
        "The parts of VL-Eraser": list(_ablation()),
        "The baselines": list(_baselines()),
        "Pictures and words": list(_words()),
    }


def _forgetting() -> Iterator[Claim]:
    for name in BASELINES:
        yield Claim(f"VL-Eraser forgets more than {label_of(name)}", VL_ERASER, name, "forget", high=0.0)


def _utility() -> Iterator[Claim]:
    for name in BASELINES:
        if name in PUBLISHED["retain"]:
            yield Claim(f"VL-Eraser keeps more than {label_of(name)}", VL_ERASER, name, "retain", low=0.0)
        else:
            yield Claim(
                f"VL-Eraser keeps about as much as {label_of(name)}, or more", VL_ERASER, name, "retain", -MARGIN
            )


def _ablation() -> Iterator[Claim]:
    vacuum, distillation, ce = PARTS
    shown = ("classification",)
    alike = {"low": -MARGIN, "high": MARGIN}
    text = "Without {} VL-Eraser {}"
    yield Claim(text.format(PARTS[vacuum], "forgets about as much"), vacuum, VL_ERASER, "forget", tasks=shown, **alike)
    yield Claim(text.format(PARTS[vacuum], "keeps less"), vacuum, VL_ERASER, "retain", high=0.0)
    yield Claim(text.format(PARTS[distillation], "forgets less"), distillation, VL_ERASER, "forget", 0.0, tasks=shown)
    yield Claim(text.format(PARTS[distillation], "keeps less"), distillation, VL_ERASER, "retain", high=0.0)
    yield Claim(text.format(PARTS[ce], "forgets less"), ce, VL_ERASER, "forget", 0.0, tasks=shown)
    yield Claim(text.format(PARTS[ce], "keeps about as much"), ce, VL_ERASER, "retain", **alike)


def _baselines() -> Iterator[Claim]:
    yield Claim('GA_Diff "is an improved variant" of GA: it keeps more', "ga_diff", "ga", "retain", low=0.0)
    yield Claim(
        "MMUnlearner, GA_Diff with a mask, keeps more than GA_Diff", "mmunlearner", "ga_diff", "retain", low=0.0
    )
    yield Claim("MMUnlearner keeps more than GA", "mmunlearner", "ga", "retain", low=0.0)
    yield Claim("MMUnlearner forgets more than GA", "mmunlearner", "ga", "forget", high=0.0, tasks=("classification",))
    yield Claim("NPO keeps about as much as GA, or more", "npo", "ga", "retain", -MARGIN)


def _words() -> Iterator[Claim]:
    for name in BASELINES:
        text = f"{label_of(name)} leaves more in words than with a picture: reverse training breaks the alignment"
        yield Claim(text, name, "retain", "forget", low=0.0, words=True)
    text = "VL-Eraser leaves about as much in words as with a picture"
    yield Claim(text, VL_ERASER, "retain", "forget", -MARGIN, MARGIN, words=True)
