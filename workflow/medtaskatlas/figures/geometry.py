"""How alike the encoders arrange pairs (CKA) and tasks (Mantel)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from medtaskatlas.figures import frames, panels, style

MEASURES = {
    "cka_debiased": "pairs: debiased CKA",
    "mantel_spearman": "task distances: Spearman correlation",
}
SIGNIFICANT = 0.05


def geometry(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the agreement of every two encoders as heatmaps.

    On the diagonal, how well an encoder agrees with itself: CKA between its seeds, and the lower
    noise ceiling of its task distances over seeds (over halves of the subjects where it has one).
    """
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["contrast"] == "geometry") & rows["estimate"].notna()]
    measures = [m for m in MEASURES if (rows["measure"] == m).any()]
    splits = frames.splits_of(rows["split"])
    encoders = sorted({*rows["encoder"], *rows["other"]})
    if not measures or len(encoders) < 2:
        style.save_note("no comparison of the geometry of two or more encoders", svg, png)
        return
    # Of a heatmap, in inches; below it stand the names of the encoders.
    side = min(max(1.3, 0.34 * len(encoders)), (style.PAGE - 2.6) / len(measures))
    height = len(splits) * (side + 0.6) + 0.5 + 0.07 * max(map(len, encoders))
    figure, grid = plt.subplots(
        len(splits), len(measures), squeeze=False, layout="compressed",
        figsize=(min(style.PAGE, 1.6 + len(measures) * (side + 1.0)), height),
    )  # fmt: skip
    centres = np.arange(len(encoders)) + 0.5
    for i, split in enumerate(splits):
        here = rows[rows["split"] == split]
        grid[i, 0].set_yticks(centres, encoders)
        for axes, measure in zip(grid[i], measures, strict=True):
            matrix, stars = square(here, measure, encoders)
            texts = np.vectorize(lambda v, star: f"{panels.short(v)}{'*' if star else ''}")(
                matrix, stars
            )
            mesh = panels.heatmap(axes, matrix, "cividis", texts=texts, square=True)
            for at in centres:
                axes.text(at, at, "–", ha="center", va="center", color="#777777", zorder=0)
                frame = Rectangle(
                    (at - 0.47, at - 0.47), 0.94, 0.94, fill=False, ec="black", lw=0.9
                )
                axes.add_patch(frame)
            style.panel_title(
                axes,
                frames.WHERE[split].capitalize(),
                frames.count_text(here[here["measure"] == measure]),
            )
        grid[i, 0].set_yticks(centres, encoders)
    for axes, measure in zip(grid[-1], measures, strict=True):
        axes.set_xticks(centres, encoders, rotation=90)
        axes.set_xlabel(MEASURES[measure])
    for axes in grid.flat:
        axes.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=grid, shrink=0.6, aspect=22, pad=0.02, label="agreement")
    bar.outline.set_visible(False)
    figure.supxlabel(
        "framed: an encoder with itself, between seeds (groups where it has one seed);  "
        f"* adjusted p < {SIGNIFICANT}",
        fontsize=7, color=style.DARK,
    )  # fmt: skip
    style.save(figure, svg, png)


def square(rows: pd.DataFrame, measure: str, encoders: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric matrix of one measure (nan where nothing is known), and where p is significant."""
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
        for over in ("subjects", "seeds"):
            for row in ceilings[ceilings["method"] == over].to_dict("records"):
                matrix[at[row["encoder"]], at[row["encoder"]]] = row["estimate"]
    return matrix, stars
