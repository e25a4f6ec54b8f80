"""One style for all figures: colours, fonts, and how a figure becomes an SVG and a PNG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medtaskatlas.core.files import atomic_write

# Okabe and Ito, Color Universal Design (2008): told apart with every kind of colour vision.
OKABE_ITO = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "black": "#000000",
}
FAMILY_COLOURS = {
    "semantic": OKABE_ITO["blue"],
    "generative": OKABE_ITO["vermillion"],
    "transformation": OKABE_ITO["green"],
}
MODALITY_COLOURS = {
    "MR": OKABE_ITO["blue"],
    "CT": OKABE_ITO["vermillion"],
    "XR": OKABE_ITO["black"],
    "US": OKABE_ITO["green"],
    "NM": OKABE_ITO["orange"],
    "FUNDUS": "#B8A800",  # the palette's yellow is too pale for dots on white
    "HISTOLOGY": OKABE_ITO["purple"],
    "MICROSCOPY": OKABE_ITO["sky"],
}
# Other colours than those of the families, so that no encoder looks like one.
_ENCODER_COLOURS = {
    "taco": OKABE_ITO["purple"],
    "taco_correspondence": "#882255",
    "taco_failure": "#332288",
    "pixels": OKABE_ITO["orange"],
    "random": "#8C8C8C",
    "imagenet": OKABE_ITO["sky"],
    "clip": "#B8A800",
}
_SPARE_COLOURS = ("#44AA99", "#999933", "#661100", "#6699CC", "#AA4499")
GREY = "#8C8C8C"
PALE = "#EFEFEF"
DARK = "#444444"
PNG_DPI = 150
SVG_DPI = 220  # of clouds of dots, which are drawn as pixels inside the SVG
# Sizes in inches: a printed page is 7.2 wide; wide figures take a landscape page.
PAGE = 7.2
LANDSCAPE = 10.5


def use_style() -> None:
    """Set fonts, sizes and lines for every figure that follows in this process."""
    sns.set_theme(context="paper", style="ticks")
    mpl.rcParams.update(
        {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same everywhere
            "font.size": 8,
            "axes.titlesize": 9,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 8,
            "xtick.labelsize": 7.5,
            "ytick.labelsize": 7.5,
            "legend.fontsize": 7.5,
            "legend.title_fontsize": 7.5,
            "legend.frameon": False,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.dpi": 100,
            "savefig.bbox": "tight",
            "savefig.pad_inches": 0.06,
            # Text as outlines: it looks the same on machines without the font. Identifiers in the
            # SVG come from this salt and not from chance.
            "svg.fonttype": "path",
            "svg.hashsalt": "medtaskatlas",
            # One raster an image, as it is: else the SVG gets one blurred 72 dpi picture an axes.
            "image.composite_image": False,
        }
    )


def family_colour(family: str) -> str:
    """Colour of a family of tasks."""
    return FAMILY_COLOURS.get(family, GREY)


def encoder_colours(encoders: list[str]) -> dict[str, str]:
    """Colour of each encoder of a run; that of an encoder we ship never changes."""
    spare = [name for name in sorted(encoders) if name not in _ENCODER_COLOURS]
    extra = {name: _SPARE_COLOURS[i % len(_SPARE_COLOURS)] for i, name in enumerate(spare)}
    return {name: _ENCODER_COLOURS.get(name) or extra[name] for name in encoders}


def panel_title(axes: Axes, title: str, counts: str) -> None:
    """Write what a panel shows, and below it in small what it rests on."""
    # Room for every line of the counts.
    axes.set_title(title, pad=15 + 9 * counts.count("\n"))
    axes.annotate(
        counts, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
        fontsize=7, color=DARK, va="bottom",
    )  # fmt: skip


def blank_note(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#555555")


def save_note(text: str, svg: str | Path, png: str | Path) -> None:
    """Write a figure that only says why there is nothing to draw."""
    figure, axes = plt.subplots(figsize=(PAGE, 2))
    blank_note(axes, text)
    save(figure, svg, png)


def save(figure: Figure, svg: str | Path, png: str | Path) -> None:
    """Write a figure as SVG and as PNG, and close it; equal figures give equal files."""
    # Without date and version, and with the format said: the temporary name ends in .tmp.
    with atomic_write(svg) as part:
        figure.savefig(part, format="svg", dpi=SVG_DPI, metadata={"Date": None, "Creator": None})
    with atomic_write(png) as part:
        figure.savefig(part, format="png", dpi=PNG_DPI, metadata={"Software": None})
    plt.close(figure)
