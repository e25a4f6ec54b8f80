"""How near the latents of a model are to each other, beside the atlas' map of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medtaskatlas.atlas.distances import distance_matrix
from medtaskatlas.figures import frames, panels, style
from medtaskatlas.formats.medformer_pictures import LatentVectors

COLOURS = {
    "modality": style.OKABE_ITO["blue"],
    "body_part": style.OKABE_ITO["green"],
    "task": style.OKABE_ITO["vermillion"],
    "pretext": style.OKABE_ITO["purple"],
}
METRIC = "centroid_cosine"


def medformer_latents(
    latents: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str | None,
    task_distances: str | Path | None = None,
) -> None:
    """Draw the cosines of all latents and a map of them; beside it the tasks of an encoder."""
    style.use_style()
    file = LatentVectors(latents)
    if len(file) < 3:
        style.save_note("no model for all sets has latents", svg, png)
        return
    kinds, names = (list(map(str, file.numpy(c))) for c in ("kind", "name"))
    unit = file.numpy("vector").astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    atlas = _atlas_of(task_distances, encoder)
    side, maps = max(2.6, 0.14 * len(names)), 1 + (atlas is not None)
    figure, grid = plt.subplots(
        1, 1 + maps, squeeze=False, layout="constrained",
        figsize=(side + 1.3 + 3.3 * maps, max(side + 1.3, 3.8)),
        width_ratios=[side + 1.3, *[3.3] * maps],
    )  # fmt: skip
    heat, *planes = grid[0]
    _cosines(figure, heat, unit, kinds, names)
    heat.set_title(f"Cosines of the latents of {file.meta['arm']}")
    spots, share = plane_of(unit @ unit.T)
    drawn = [(spots, names, [COLOURS[kind] for kind in kinds])]
    heads = [("Map of the latents", f"{100 * share:.0f} % of the spread")]
    if atlas is not None:
        matrix, families = atlas
        near, share = plane_of(-0.5 * matrix.to_numpy() ** 2)
        tasks = list(map(str, matrix))
        drawn.append((near, tasks, [style.family_colour(families[task]) for task in tasks]))
        heads.append((f"Atlas: tasks of {encoder}", f"{100 * share:.0f} % of the spread"))
    for axes, (points, _, colour), (title, told) in zip(planes, drawn, heads, strict=True):
        axes.set_box_aspect(1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.margins(0.12)
        axes.scatter(*points.T, s=18, c=colour, lw=0, zorder=3, clip_on=False)
        axes.set_title(title)
        axes.set_xlabel(told)
    figure.legend(handles=_marks({k: COLOURS[k] for k in kinds}), loc="outside lower left", ncols=4)
    if atlas is not None:
        order = frames.family_order(atlas[1].values())
        shown = _marks({family: style.family_colour(family) for family in order})
        planes[-1].legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    figure.canvas.draw()  # the layout is final only now, and labels need the final scale
    figure.set_layout_engine("none")
    for axes, (points, texts, colour) in zip(planes, drawn, strict=True):
        panels.label_points(axes, points, [frames.plain(t) for t in texts], colour, size=6)
    style.save(figure, svg, png)


def _marks(colours: Mapping[str, str]) -> list[Line2D]:
    """Legend of words and their colours."""
    return [
        Line2D([], [], marker="o", ls="", ms=5, color=colour, label=frames.plain(name))
        for name, colour in colours.items()
    ]


def plane_of(products: np.ndarray) -> tuple[np.ndarray, float]:
    """Two dimensions [N, 2] of scalar products [N, N], centred, and their share of the spread.

    Of products of vectors these are principal components, of squared distances times -0.5 classical
    scaling (Torgerson, 1952).
    """
    centred = products - products.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred)
    values = values[::-1].clip(0)
    turned = vectors[:, ::-1][:, :2]
    turned *= np.sign(turned[np.abs(turned).argmax(axis=0), [0, 1]])
    return turned * np.sqrt(values[:2]), float(values[:2].sum() / max(values.sum(), 1e-12))


def _cosines(
    figure: Figure, axes: Axes, unit: np.ndarray, kinds: list[str], names: list[str]
) -> None:
    """Heatmap of the cosines of vectors of length 1."""
    mesh = axes.imshow(unit @ unit.T, cmap="RdBu_r", vmin=-1, vmax=1)
    words = [frames.plain(name) for name in names]
    axes.set_xticks(range(len(names)), words, rotation=90, fontsize=6.5)
    axes.set_yticks(range(len(names)), words, fontsize=6.5)
    axes.tick_params(length=0)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, kind in zip(labels, kinds, strict=True):
            label.set_color(COLOURS[kind])
    for i in range(1, len(kinds)):
        if kinds[i] != kinds[i - 1]:
            axes.axhline(i - 0.5, color="white", lw=1.2)
            axes.axvline(i - 0.5, color="white", lw=1.2)
    figure.colorbar(mesh, ax=axes, shrink=0.5)


def _atlas_of(
    table: str | Path | None, encoder: str | None
) -> tuple[pd.DataFrame, dict[str, str]] | None:
    """Distances of the tasks in the space of an encoder, and families; None without an atlas."""
    if table is None or encoder is None:
        return None
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["metric"] == METRIC)]
    rows = rows[rows["estimate"].notna() & rows["seed"].isna()]
    rows = rows[rows["split"] == next(iter(frames.splits_of(rows["split"])), None)]
    if rows.empty:
        return None
    families = dict(zip(rows["task_a"], rows["family_a"], strict=True))
    families |= dict(zip(rows["task_b"], rows["family_b"], strict=True))
    distances = distance_matrix(rows)
    return distances.fillna(distances.max(axis=None)), families
