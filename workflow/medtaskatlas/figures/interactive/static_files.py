"""The page's template, style and scripts, which lie in static/ beside this file."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("static")
TEMPLATE, STYLE = FOLDER / "template.html", FOLDER / "style.css"
# In the order in which they are joined to one script.
SCRIPTS = tuple(
    FOLDER / f"{name}.js" for name in ("data", "controls", "detail", "map", "heatmap", "main")
)
# The hash of a rule's code sees Python only: a rule must name these as well.
ALL = (TEMPLATE, STYLE, *SCRIPTS)


def script() -> str:
    """The page's script: the files in one function, so that no name of theirs is global."""
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    return f'(() => {{\n"use strict";\n{text}}})();\n'
