"""Predicted and measured gains, cell by cell, and what a choice by each predictor loses."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from medtaskatlas.atlas.transfer.prediction import ALL, HELDOUT, TRAINED, best_of_ours
from medtaskatlas.figures import frames, panels, style
from medtaskatlas.figures.transfer import parts

BAR = "output_mse"
MIXED = "of two families"
SETTINGS = {
    HELDOUT: ("held-out datasets", "o", style.OKABE_ITO["vermillion"]),
    TRAINED: ("datasets that sources were trained on", "s", style.OKABE_ITO["blue"]),
    ALL: ("all datasets", "o", style.OKABE_ITO["blue"]),
}


def transfer_prediction(
    table: str | Path, predictors: str | Path, svg: str | Path, png: str | Path
) -> None:
    """Draw the best predictor of ours and output MSE, a point a cell, both less target means."""
    style.use_style()
    scores, cells = frames.read_frame(table), frames.read_frame(predictors)
    best = {name: best_of_ours(scores[scores["protocol"] == name]) for name in
            parts.protocols_of(scores)}  # fmt: skip
    shown = [(name, row) for name, row in best.items() if row is not None]
    if not shown:
        style.save_note("no gain was predicted", svg, png)
        return
    figure, grid = plt.subplots(
        len(shown), 2, figsize=(style.PAGE, 0.4 + 3.2 * len(shown)), squeeze=False,
        layout="constrained", sharey="row",
    )  # fmt: skip
    for pair, (protocol, row) in zip(grid, shown, strict=True):
        own = scores[scores["protocol"] == protocol]
        where = HELDOUT if (own["dataset"] == HELDOUT).any() else ALL
        bar = own[(own["predictor"] == BAR) & own["against"].isna()].iloc[0]
        for axes, chosen in zip(pair, (row, bar), strict=True):
            here = _of(cells[cells["protocol"] == protocol], chosen)
            here = here if where == ALL else here[~here["dataset_trained"].astype(bool)]
            _points(axes, here)
            score = _of(own, chosen)
            score = score[(score["dataset"] == where) & score["against"].isna()]
            score = score[score["measure"] == "target_centred"]
            title = f"{parts.predictor_name(chosen)}, {parts.PROTOCOLS[protocol]}"
            told = f"rank correlation {frames.interval(score.iloc[0].to_dict())}\n"
            told += f"{frames.count(len(here), 'cell')}, {SETTINGS[where][0]}"
            style.panel_title(axes, title[0].upper() + title[1:], told)
            axes.set_xlabel("prediction less the target's mean")
            axes.xaxis.set_major_locator(MaxNLocator(5))
        pair[0].set_ylabel("gain less the target's mean")
    families = frames.family_order(cells["source_family"])
    marks = {family: style.family_colour(family) for family in families} | {MIXED: style.GREY}
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ls="", ms=4, color=colour, label=name)
            for name, colour in marks.items()
        ],
        loc="outside lower center", ncols=len(marks), title="family of source and target",
    )  # fmt: skip
    style.save(figure, svg, png)


def transfer_regret(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw what the source chosen by each predictor loses against the best, with intervals."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["measure"] == "regret") & rows["against"].isna() & rows["estimate"].notna()]
    protocols = parts.protocols_of(rows)
    if not protocols:
        style.save_note("no source was chosen", svg, png)
        return
    rows = rows.assign(name=[parts.predictor_name(row) for row in rows.to_dict("records")])
    lines = rows.groupby("protocol")["name"].nunique().max()
    figure, grid = plt.subplots(
        1, len(protocols), figsize=(min(style.LANDSCAPE, 2.2 + 2.6 * len(protocols)),
                                    0.9 + 0.24 * lines),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    drawn = set()
    for axes, protocol in zip(grid[0], protocols, strict=True):
        own = rows[rows["protocol"] == protocol]
        held = (own["dataset"] == HELDOUT).any()
        settings = [HELDOUT, TRAINED] if held else [ALL]
        first = own[own["dataset"] == settings[0]].sort_values("estimate", kind="stable")
        names = list(dict.fromkeys([*first["name"], *own["name"]]))
        panels.name_rows(axes, names)
        drawn |= set(settings)
        for k, setting in enumerate(settings):
            _, mark, colour = SETTINGS[setting]
            here = own[own["dataset"] == setting]
            shift = 0.16 * (2 * k - 1) if held else 0.0
            for row in here.to_dict("records"):
                panels.whisker(axes, row, names.index(row["name"]) + shift, colour, mark)
            axes.axvline(here["reference"].max(), color=colour, ls=":", lw=1.0, zorder=0)
        ends = own[own["dataset"].isin(settings)][["estimate", "reference", "ci_high"]]
        axes.set_xlim(0, 1.1 * np.nanquantile(ends.to_numpy(float), 0.97))
        title = parts.PROTOCOLS[protocol].capitalize()
        told = f"{frames.count(own['n_targets'].max(), 'target')}, "
        style.panel_title(axes, title, told + frames.count(own["n_sources"].max(), "source"))
        axes.set_xlabel("gain of the best source less that of the chosen one")
    figure.legend(
        handles=[
            *(
                Line2D([], [], marker=mark, ls="", ms=5, color=colour, label=words)
                for name, (words, mark, colour) in SETTINGS.items()
                if name in drawn
            ),
            Line2D([], [], ls=":", color=style.DARK, label="a source drawn at random"),
        ],
        loc="outside lower center", ncols=3,
    )  # fmt: skip
    style.save(figure, svg, png)


def _of(rows: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Rows of a predictor."""
    own = rows[rows["predictor"] == chosen["predictor"]]
    encoder = chosen["encoder"]
    return own[own["encoder"] == encoder] if isinstance(encoder, str) else own


def _points(axes: Axes, rows: pd.DataFrame) -> None:
    """Cells of source and target, less the means of their target and dataset."""
    by = rows.groupby(["dataset", "target"])
    x, y = (rows[name] - by[name].transform("mean") for name in ("predicted", "gain"))
    same = rows["source_family"] == rows["target_family"]
    axes.axhline(0, color=style.DARK, ls=":", lw=0.8, zorder=0)
    for family, own in [(None, ~same), *((f, same & (rows["source_family"] == f)) for f in
                                         frames.family_order(rows["source_family"]))]:  # fmt: skip
        colour = style.GREY if family is None else style.family_colour(family)
        axes.scatter(x[own], y[own], s=7, color=colour, alpha=0.5 if family is None else 0.8, lw=0)
