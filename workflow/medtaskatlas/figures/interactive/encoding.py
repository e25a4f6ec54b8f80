"""How a page carries what it shows: colours and shapes of values, packed numbers, JSON."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from medtaskatlas.figures.style import GREY, MODALITY_COLOURS, OKABE_ITO, family_colour

# Name of a type in the page, and how its numbers lie in memory; static/data.js reads them.
_TYPES = {"u1": "u8", "u2": "u16", "u4": "u32", "f4": "f32"}


def packed(values: np.ndarray) -> dict[str, str]:
    """An array as base64 of its bytes, lowest byte first."""
    kind = f"{values.dtype.kind}{values.dtype.itemsize}"
    data = np.ascontiguousarray(values.astype(f"<{kind}")).tobytes()
    return {"type": _TYPES[kind], "data": base64.b64encode(data).decode("ascii")}


def script_json(value: Any) -> str:
    """A value as JSON that may stand inside a ``script`` element of HTML."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# Outlines about the origin as SVG paths, of about one area.
SHAPES = {
    "circle": "M1,0A1,1 0 1 1 -1,0A1,1 0 1 1 1,0Z",
    "square": "M-.9,-.9H.9V.9H-.9Z",
    "triangle": "M0,-1.3L1.15,.9H-1.15Z",
    "diamond": "M0,-1.3L1.2,0L0,1.3L-1.2,0Z",
    "cross": "M0,-.4L.8,-1.2L1.2,-.8L.4,0L1.2,.8L.8,1.2"
    "L0,.4L-.8,1.2L-1.2,.8L-.4,0L-1.2,-.8L-.8,-1.2Z",
    "ring": "M1.2,0A1.2,1.2 0 1 1 -1.2,0A1.2,1.2 0 1 1 1.2,0Z"
    "M.6,0A.6,.6 0 1 0 -.6,0A.6,.6 0 1 0 .6,0Z",
}
VERDICTS = ("right task", "right family only", "wrong family")
_CYCLE = tuple(MODALITY_COLOURS.values())  # the eight of the palette, fit for dots on white
# What cannot be seen on a dark page has a light stand-in.
_ON_DARK = {OKABE_ITO["black"]: "#F0F0F0", OKABE_ITO["blue"]: "#2B94D6"}
_VERDICT_COLOURS = (OKABE_ITO["blue"], OKABE_ITO["orange"], OKABE_ITO["vermillion"])


def styles_of(dimension: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Colours (on light and dark pages) and shape of every value of a dimension.

    Values with one colour differ in shape; with more than 48 values, they repeat.
    """
    if dimension == "family":
        colours = [family_colour(name) for name in names]
    elif dimension == "modality":
        colours = [MODALITY_COLOURS.get(name, GREY) for name in names]
    elif dimension == "verdict":
        return [
            _style(colour, shape)
            for colour, shape in zip(_VERDICT_COLOURS, ("circle", "diamond", "cross"), strict=True)
        ]
    else:
        colours = [_CYCLE[i % len(_CYCLE)] for i in range(len(names))]
    used: Counter[str] = Counter()
    styles = []
    for colour in colours:
        styles.append(_style(colour, list(SHAPES)[used[colour] % len(SHAPES)]))
        used[colour] += 1
    return styles


def _style(colour: str, shape: str) -> dict[str, Any]:
    """One style."""
    return {"light": colour, "dark": _ON_DARK.get(colour, colour), "shape": SHAPES[shape]}
