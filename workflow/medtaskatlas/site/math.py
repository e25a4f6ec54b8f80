"""Formulas of the site as pictures in the page: nothing is fetched, no script runs."""

from __future__ import annotations

import html
import re
from functools import cache

import numpy as np

from medtaskatlas.core.errors import DataError

EM = 1000  # units of a picture that are as high as the text
EDGE = 20  # of a picture, lest rounding cuts a line
# Codes of a path of matplotlib: letter in SVG, and how many points it takes.
_COMMANDS = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 1)}
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</(?:span|div)>', re.S
)


def drawn(page: str) -> str:
    """A page (HTML) with the formulas of `pymdownx.arithmatex` as SVG in the colour of the text."""

    def draw(found: re.Match[str]) -> str:
        tex = " ".join(html.unescape(found[2]).split())
        kind = "math" if found[1] == "span" else "math block"
        return f'<{found[1]} class="{kind}">{picture(tex)}</{found[1]}>'

    return _FORMULA.sub(draw, page)


@cache
def picture(tex: str) -> str:
    """A formula, in matplotlib's part of TeX, as SVG at the height of the text, labelled by it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(math_fontfamily="stix", size=EM)
    maker = TextToPath()
    # Its own unit: the path is in 100 of it, whatever the size asked for.
    scale = EM / maker.FONT_SCALE
    try:
        points, codes = maker.get_text_path(font, f"${tex}$", ismath=True)
    except ValueError as error:
        raise DataError(
            f"the formula {tex!r} cannot be drawn: {error}", "write it in matplotlib's mathtext"
        ) from error
    points = np.round(np.asarray(points) * scale).astype(int)
    (left, low), (right, high) = points.min(axis=0) - EDGE, points.max(axis=0) + EDGE
    return (
        f'<svg role="img" aria-label="{html.escape(tex, quote=True)}" '
        f'viewBox="{left} {-high} {right - left} {high - low}" '
        f'style="width:{(right - left) / EM:.2f}em;height:{(high - low) / EM:.2f}em;'
        f'vertical-align:{low / EM:.2f}em"><path d="{_path(points, codes)}"/></svg>'
    )


def _path(points: np.ndarray, codes: np.ndarray) -> str:
    """A path of matplotlib as one of SVG, whose y leads downwards."""
    drawn, at = [], 0
    while at < len(codes):
        letter, count = _COMMANDS[int(codes[at])]
        numbers = " ".join(f"{x} {-y}" for x, y in points[at : at + count])
        drawn.append(letter if letter == "Z" else letter + numbers)
        at += count
    return "".join(drawn)
