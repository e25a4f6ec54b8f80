"""How alike the encoders arrange pairs (CKA) and tasks (Mantel)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from medtaskatlas.figures.frames import WHERE, count_text, read_frame, splits_of
from medtaskatlas.figures.style import PAGE, PALE, blank_note, panel_title, save, use_style

MEASURES = {
    "cka_debiased": "pairs: debiased CKA",
    "mantel_spearman": "task distances: Spearman correlation",
}
SIGNIFICANT = 0.05


def geometry(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the agreement of every two encoders as heatmaps.

    On the diagonal, how well an encoder agrees with itself: CKA between its seeds, and the lower
    noise ceiling of its task distances over seeds (over halves of the groups where it has one).
    """
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["contrast"] == "geometry") & rows["estimate"].notna()]
    measures = [m for m in MEASURES if (rows["measure"] == m).any()]
    splits = splits_of(rows["split"])
    encoders = sorted({*rows["encoder"], *rows["other"]})
    if not measures or len(encoders) < 2:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, "no comparison of the geometry of two or more encoders")
        save(figure, svg, png)
        return
    # Of a heatmap, in inches; below it stand the names of the encoders.
    side = min(max(1.3, 0.34 * len(encoders)), (PAGE - 2.6) / len(measures))
    height = len(splits) * (side + 0.6) + 0.5 + 0.07 * max(map(len, encoders))
    figure, panels = plt.subplots(
        len(splits), len(measures), squeeze=False, layout="compressed",
        figsize=(min(PAGE, 1.6 + len(measures) * (side + 1.0)), height),
    )  # fmt: skip
    image = None
    for i, split in enumerate(splits):
        for j, measure in enumerate(measures):
            here = rows[rows["split"] == split]
            matrix, stars = square(here, measure, encoders)
            image = _draw(panels[i, j], matrix, stars, encoders, last=i == len(splits) - 1)
            counts = count_text(here[here["measure"] == measure])
            panel_title(panels[i, j], f"{WHERE[split].capitalize()}", counts)
            if i == len(splits) - 1:
                panels[i, j].set_xlabel(MEASURES[measure])
            if j:
                panels[i, j].set_yticklabels([])
    assert image is not None  # for mypy: there is a split where there is a measure
    bar = figure.colorbar(image, ax=panels, shrink=0.6, aspect=22, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("agreement")
    figure.supxlabel(
        "framed: an encoder with itself, between seeds (groups where it has one seed);  "
        f"* adjusted p < {SIGNIFICANT}",
        fontsize=7, color="#444444",
    )  # fmt: skip
    save(figure, svg, png)


def square(rows: pd.DataFrame, measure: str, encoders: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric matrix of one measure."""
    at = {name: i for i, name in enumerate(encoders)}
    matrix = np.full((len(encoders), len(encoders)), np.nan)
    stars = np.zeros(matrix.shape, bool)
    for row in rows[rows["measure"] == measure].to_dict("records"):
        a, b = at[row["encoder"]], at[row["other"]]
        matrix[a, b] = matrix[b, a] = row["estimate"]
        # A null p compares as false.
        stars[a, b] = stars[b, a] = bool(row["p_adjusted"] < SIGNIFICANT)
    if measure == "mantel_spearman":
        ceilings = rows[rows["measure"] == "noise_ceiling_low"]
        for over in ("groups", "seeds"):
            for row in ceilings[ceilings["method"] == over].to_dict("records"):
                matrix[at[row["encoder"]], at[row["encoder"]]] = row["estimate"]
    return matrix, stars


def _draw(
    axes: Axes, matrix: np.ndarray, stars: np.ndarray, encoders: list[str], *, last: bool
) -> plt.cm.ScalarMappable:
    """One heatmap with its numbers."""
    axes.set_facecolor(PALE)
    image = axes.imshow(
        np.ma.masked_invalid(matrix), cmap="cividis", vmin=0, vmax=1, interpolation="none"
    )
    for i in range(len(encoders)):
        for j in range(len(encoders)):
            value = matrix[i, j]
            known = np.isfinite(value)
            text = f"{value:.2f}{'*' if stars[i, j] else ''}".replace("0.", ".") if known else "–"
            colour = "#777777" if not known else "white" if value < 0.55 else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
        axes.add_patch(Rectangle((i - 0.47, i - 0.47), 0.94, 0.94, fill=False, ec="black", lw=0.9))
    axes.set_xticks(range(len(encoders)), encoders if last else [], rotation=90)
    axes.set_yticks(range(len(encoders)), encoders)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
