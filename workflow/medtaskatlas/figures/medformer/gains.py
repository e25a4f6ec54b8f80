"""Gains of arms against arms that differ in one thing, by set and on average."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.atlas.medformer.findings import RESIDUAL, is_pretrained, score_name
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.figures import frames, panels, style
from medtaskatlas.figures.medformer import parts
from medtaskatlas.figures.multitask.parts import reach

COLUMNS = 6  # beside each other
HEADS = {
    "pretrained": "pre-trained, against as many more steps",
    "matched": "as many more steps as pre-training",
    "start": "where training starts",
    "sets": "one model for all sets, or one a set",
    "adapt": "what is adapted",
    "latents": "latents left out",
    "stems": "stems",
    "align": "alignment of sets",
    "wrong_latents": "right latents, against wrong ones",
    "model": "against a baseline",
}
# Of the smallest share of the labels and of the largest.
LOOKS = (("o", style.OKABE_ITO["vermillion"]), ("D", style.OKABE_ITO["blue"]))


def medformer_gains(
    table: str | Path, svg: str | Path, png: str | Path, *, arms: parts.Arms
) -> None:
    """Draw the differences with the smallest and the largest share of the labels."""
    style.use_style()
    rows = parts.main_rows(frames.read_frame(table))
    rows = rows[rows["estimate"].notna() & _is_shown(rows, arms)]
    pretrained = [
        row["differs"] == "matched" and is_pretrained(row, arms) for row in rows.to_dict("records")
    ]
    rows.loc[pretrained, "differs"] = "pretrained"
    if rows.empty:
        style.save_note("no two arms differ in one thing", svg, png)
        return
    shares = list(dict.fromkeys([rows["labels"].min(), rows["labels"].max()]))
    rows = rows[rows["labels"].isin(shares)]
    lines: list[tuple[str, str] | str] = []
    for kind, head in HEADS.items():
        pairs = rows[rows["differs"] == kind][["arm", "reference"]].drop_duplicates()
        lines += [head, *pairs.itertuples(index=False, name=None)] if len(pairs) else []
    found = list(rows.groupby(["set", "target"], sort=False))
    found.sort(key=lambda panel: panel[0][0] != ALL)
    columns = min(COLUMNS, len(found))
    blocks = -(-len(found) // columns)
    figure, grid = plt.subplots(
        blocks, columns, figsize=(2.1 + 1.55 * columns, 0.6 + blocks * (0.6 + 0.17 * len(lines))),
        squeeze=False, layout="constrained", sharey=True,
    )  # fmt: skip
    for axes in list(grid.flat)[len(found) :]:
        axes.set_axis_off()
    for axes, ((name, _), here) in zip(grid.flat, found, strict=False):
        _draw(axes, here, lines, shares)
        title = "mean over sets" if name == ALL else frames.plain(str(name))
        style.panel_title(axes, title, parts.counts(here))
        axes.title.set_fontsize(7.5)
        axes.set_xlabel(f"{score_name(here['score'].iloc[0])}, points", fontsize=7)
    for axes in grid[:, 0]:
        _name(axes, lines)
    figure.legend(
        handles=[
            Line2D([], [], marker=mark, color=colour, ms=4, label=f"{share} % of the labels")
            for (mark, colour), share in zip(LOOKS[-len(shares) :], shares, strict=True)
        ],
        loc="outside lower center", ncols=2,
    )  # fmt: skip
    style.save(figure, svg, png)


def _is_shown(rows: pd.DataFrame, arms: parts.Arms) -> pd.Series:
    """All differences, but of those against baselines only one baseline's: a residual network's."""
    baselines = [name for name, arm in arms.items() if arm["model"] != "medformer"]
    residual = [name for name in baselines if arms[name]["model"] == RESIDUAL]
    one = [*residual, *baselines][:1]
    return (rows["differs"] != "model") | rows["reference"].isin(one)


def _draw(
    axes: Axes, rows: pd.DataFrame, lines: list[tuple[str, str] | str], shares: list[int]
) -> None:
    """One panel: a line a comparison, with a mark for each share of the labels."""
    side = reach(rows)
    panels.name_rows(axes, [""] * len(lines), -side, side)
    axes.axvline(0, color=style.DARK, lw=0.8, zorder=1)
    shifts = (-0.17, 0.17) if len(shares) > 1 else (0.0,)
    for (mark, colour), share, shift in zip(LOOKS[-len(shares) :], shares, shifts, strict=True):
        for row in rows[rows["labels"] == share].to_dict("records"):
            shown = {c: 100 * row[c] for c in ("estimate", "ci_low", "ci_high")}
            y = lines.index((row["arm"], row["reference"]))
            panels.whisker(axes, shown, y + shift, colour, mark)


def _name(axes: Axes, lines: list[tuple[str, str] | str]) -> None:
    """Names of the comparisons, with bold heads."""
    names = [line if isinstance(line, str) else f"{line[0]} − {line[1]}" for line in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=6.5)
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
