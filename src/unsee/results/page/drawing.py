"""How every figure is drawn and written: one style, the same bytes every time."""

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

from unsee.core.files import atomic_write  # noqa: E402
from unsee.results.styles import colours_of, label_of, markers_of, size_of  # noqa: E402

log = logging.getLogger(__name__)

FORMATS = ("pdf", "svg", "png")
FONT = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic and more
#: Fonts for the characters that it lacks, in order of preference; those that are installed are used.
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
    "text.parse_math": False,  # a dollar sign in a name, question or answer is a dollar sign
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
    """Write a figure in every format; equal figures give equal bytes where the fonts are the same.

    Args:
        figure: the figure.
        folder: where the files are written.
        name: of the files, without :data:`FORMATS`.
    """
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    _choose_fonts(figure)
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # _choose_fonts logs it once
        for extension in FORMATS:
            metadata = dates[extension]
            with atomic_write(folder / f"{name}.{extension}") as part:
                figure.savefig(part, format=extension, metadata=metadata, bbox_inches="tight", pad_inches=0.05)


def _choose_fonts(figure: Figure) -> None:
    """Give each text fonts that have its characters, if any are installed, and log each character that no font has, once.

    A text whose font has all its characters is not changed. The italic and the bold font have fewer characters than the regular one.
    """
    missing: set[str] = set()
    for text in figure.findobj(Text):
        for set_normal in (text.set_fontstyle, text.set_fontweight):
            if _lacking(text):
                set_normal("normal")
        if lacking := _lacking(text):
            families = [FONT]
            for name in _installed():
                if covered := lacking & _characters(font_manager.findfont(name)):
                    families.append(name)
                    lacking -= covered
            text.set_fontfamily(families)
            missing |= lacking
    unlogged = missing - _logged
    if unlogged:
        _logged.update(unlogged)
        log.warning(
            "figures: no installed font has %s (%d characters); they are drawn as boxes. Install a font of the script "
            "(on Debian: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto-core for others) and make the figures again",
            " ".join(sorted(unlogged)[:10]),
            len(unlogged),
        )


_logged: set[str] = set()


def _lacking(text: Text) -> set[str]:
    """The characters that a text's font does not have, without line breaks and invisible ones."""
    if text.get_text().isascii():
        return set()
    drawn = {character for character in text.get_text() if unicodedata.category(character) not in ("Cc", "Cf")}
    return drawn - _characters(font_manager.findfont(text.get_fontproperties()))


def _installed() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [name for name in OTHER_FONTS if name in installed]


@cache
def _characters(path: str) -> set[str]:
    return {chr(code) for code in font_manager.get_font(path).get_charmap()}


def grid(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, np.ndarray]:
    """A figure with ``rows`` x ``columns`` axes.

    Args:
        rows, columns: how many axes.
        width, height: of one of them, in inches.
        more: arguments of ``Figure.subplots``.
    """
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes: np.ndarray = figure.subplots(rows, columns, squeeze=False, **more)
    return figure, axes


def legend(figure: Figure, methods: Sequence[str]) -> None:
    """Every method's colour and marker, above the figure."""
    rows = -(-len(methods) // max(3, int(figure.get_figwidth())))
    colours, markers = colours_of(methods), markers_of(methods)
    handles = [
        Line2D(
            [],
            [],
            color=colours[name],
            marker=markers[name],
            markersize=size_of(markers[name]),
            linestyle="none",
            label=label_of(name),
        )
        for name in methods
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(methods) // rows), handletextpad=0.2)
