"""How every figure is drawn and written: one style, one colour and marker a method, the same bytes every time."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np  # noqa: E402
from matplotlib import font_manager, rc_context  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from unsee.files import written  # noqa: E402
from unsee.results.names import colours, label, markers  # noqa: E402

log = logging.getLogger(__name__)

FORMATS = ("pdf", "svg", "png")
FONT = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic and more
#: Fonts for what it lacks, in order of preference; those that are installed are used.
OTHER_FONTS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "TC", "KR", "HK")),
    *("Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *(
        "Droid Sans Fallback",
        "IPAexGothic",
        "Microsoft YaHei",
        "Yu Gothic",
        "Malgun Gothic",
        "PingFang SC",
        "Hiragino Sans",
    ),
    *(
        f"Noto Sans {script}"
        for script in ("Devanagari", "Bengali", "Tamil", "Telugu", "Thai", "Khmer", "Myanmar", "Ethiopic")
    ),
    *("Arial Unicode MS", "FreeSans", "Unifont", "Noto Emoji"),
)
STYLE: Any = {  # Any: matplotlib types the keys
    "font.family": [FONT],
    "font.size": 8,
    "text.parse_math": False,  # a dollar sign in a name, question or answer begins no formula
    "text.usetex": False,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 5,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "unsee",  # the same bytes every time
    "figure.dpi": 200,
}


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``folder/name`` in every format of ``FORMATS``; equal figures give equal bytes where the fonts are equal."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    _choose_fonts(figure)
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # said once by _choose_fonts
        for extension in FORMATS:
            metadata = dates[extension]
            with written(folder / f"{name}.{extension}") as part:
                figure.savefig(part, format=extension, metadata=metadata, bbox_inches="tight", pad_inches=0.05)


def _choose_fonts(figure: Figure) -> None:
    """Give each text the installed fonts that have its characters; log what no font has, each character once."""
    texts = [(text, _drawn(text.get_text())) for text in figure.findobj(Text)]
    lacking = set[str]().union(*(characters for _, characters in texts)) - _characters(FONT)
    if not lacking:
        return
    installed, families, left = set(font_manager.get_font_names()), [FONT], set(lacking)
    for name in OTHER_FONTS:
        if name in installed and left & _characters(name):
            families.append(name)
            left -= _characters(name)
    for text, characters in texts:
        if characters & lacking:
            text.set_fontfamily(families)
    unsaid = left - _logged
    if unsaid:
        _logged.update(unsaid)
        shown = " ".join(sorted(unsaid)[:10])
        log.warning(
            "figures: no installed font has %s (%d characters); they are drawn as boxes. Install a font of the script "
            "(on Debian: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto-core for others) and make the figures again",
            shown,
            len(unsaid),
        )


_logged: set[str] = set()


def _drawn(text: str) -> set[str]:
    """The characters that a font must have: no line breaks, no invisible ones."""
    return {character for character in text if unicodedata.category(character) not in ("Cc", "Cf")}


@cache
def _characters(family: str) -> set[str]:
    font = font_manager.get_font(font_manager.findfont(family))
    return {chr(code) for code in font.get_charmap()}


def grid(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, np.ndarray]:
    """A figure with ``rows`` x ``columns`` axes, each about so many inches wide and high."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes: np.ndarray = figure.subplots(rows, columns, squeeze=False, **more)
    return figure, axes


def order(methods: Sequence[str]) -> list[str]:
    """The methods, the baselines first if they are there."""
    return (
        list(dict.fromkeys(["vanilla", "retain", *methods])) if {"vanilla", "retain"} <= set(methods) else list(methods)
    )


def legend(figure: Figure, methods: Sequence[str]) -> None:
    """Every method's colour and marker above the figure."""
    rows = -(-len(methods) // max(3, int(figure.get_figwidth())))
    colour, marker = colours(methods), markers(methods)
    handles = [
        Line2D([], [], color=colour[name], marker=marker[name], linestyle="none", label=label(name)) for name in methods
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(methods) // rows), handletextpad=0.2)
