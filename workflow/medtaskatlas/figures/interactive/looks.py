"""Colour and shape of every value of what dots can be coloured by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from medtaskatlas.figures.style import GREY, MODALITY_COLOURS, OKABE_ITO, family_colour

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


def looks_of(dimension: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """How the values of a dimension look."""
    if dimension == "family":
        colours = [family_colour(name) for name in names]
    elif dimension == "modality":
        colours = [MODALITY_COLOURS.get(name, GREY) for name in names]
    elif dimension == "verdict":
        return [
            _look(colour, shape)
            for colour, shape in zip(_VERDICT_COLOURS, ("circle", "diamond", "cross"), strict=True)
        ]
    else:
        colours = [_CYCLE[i % len(_CYCLE)] for i in range(len(names))]
    used: Counter[str] = Counter()
    looks = []
    for colour in colours:
        looks.append(_look(colour, list(SHAPES)[used[colour] % len(SHAPES)]))
        used[colour] += 1
    return looks


def _look(colour: str, shape: str) -> dict[str, Any]:
    """One look."""
    return {"light": colour, "dark": _ON_DARK.get(colour, colour), "shape": SHAPES[shape]}
