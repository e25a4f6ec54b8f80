"""Gains of multi-task systems with intervals: delta-m, and the change of every target beside it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from medtaskatlas.figures import frames, panels, style
from medtaskatlas.figures.multitask import parts

REFERENCES = {
    "stl": ("single-task networks", "o", style.OKABE_ITO["blue"]),
    "stl_wide": ("those with as many parameters", "s", style.OKABE_ITO["vermillion"]),
    "hps": ("hard sharing, tuned fixed weights", "D", style.OKABE_ITO["green"]),
    "control": ("its control", "^", style.OKABE_ITO["purple"]),
}
MARKS = "ovsDP^X<>*"


def multitask_gains(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw delta-m against every reference, and each target's own change against `stl`."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[rows["estimate"].notna() & (rows["reference_kind"] != "none")]
    rows = rows[rows["scope"].isin(["problem", "problems"])]
    if rows.empty:
        style.save_note("no system can be compared with another", svg, png)
        return
    problems = list(dict.fromkeys(rows["problem"]))
    systems = {p: list(dict.fromkeys(rows[rows["problem"] == p]["system"])) for p in problems}
    heights = [0.7 + 0.27 * len(names) for names in systems.values()]
    figure, grid = plt.subplots(
        len(problems), 2, figsize=(style.PAGE, sum(heights) + 0.7), squeeze=False,
        gridspec_kw={"height_ratios": heights}, layout="constrained",
    )  # fmt: skip
    for axes, problem in zip(grid, problems, strict=True):
        here = rows[rows["problem"] == problem]
        deltas = here[here["measure"] == "delta_m"]
        names = systems[problem]
        places = {name: float(i) for i, name in enumerate(names)}
        kinds = [kind for kind in REFERENCES if (deltas["reference_kind"] == kind).any()]
        marked = _shifted(deltas, "reference_kind", kinds)
        marked["mark"] = marked["reference_kind"].map({k: REFERENCES[k][1] for k in REFERENCES})
        marked["colour"] = marked["reference_kind"].map({k: REFERENCES[k][2] for k in REFERENCES})
        side = parts.reach(deltas)
        panels.name_rows(axes[0], names, -side, side)
        parts.marks(axes[0], marked.to_dict("records"), places)
        title = "mean over problems" if problem == "all" else frames.plain(problem)
        style.panel_title(axes[0], title, parts.counts(deltas))
        axes[0].set_xlabel("mean change of all targets (delta-m), %")
        own = here[(here["measure"] == "relative_change") & (here["reference_kind"] == "stl")]
        if own.empty:
            axes[1].set_axis_off()
        else:
            _own_changes(axes[1], own, names, places)
            axes[1].axvline(0, color=style.DARK, ls=":", lw=1.1, zorder=0)
        axes[0].axvline(0, color=style.DARK, ls=":", lw=1.1, zorder=0)
    figure.legend(
        handles=parts.handles({words: (mark, c) for words, mark, c in REFERENCES.values()}),
        loc="outside lower left", ncols=2, title="delta-m against",
    )  # fmt: skip
    style.save(figure, svg, png)


def _own_changes(
    axes: plt.Axes, own: pd.DataFrame, names: list[str], places: dict[str, float]
) -> None:
    """Change of every target of every system against single-task networks."""
    targets = sorted(set(own["target"]))
    mark = {t: MARKS[i % len(MARKS)] for i, t in enumerate(targets)}
    # Not those of the references on the left.
    spare = [c for c in parts.COLOURS if c not in {c for _, _, c in REFERENCES.values()}]
    colour = {t: spare[i % len(spare)] for i, t in enumerate(targets)}
    marked = _shifted(own, "target", targets)
    marked["mark"], marked["colour"] = marked["target"].map(mark), marked["target"].map(colour)
    side = parts.reach(own)
    panels.name_rows(axes, names, -side, side)
    axes.set_yticklabels([])
    parts.marks(axes, marked.to_dict("records"), places)
    scores = own.drop_duplicates("target").set_index("target")["score"]
    words = {f"{t} ({frames.plain(scores[t])})": (mark[t], colour[t]) for t in targets}
    axes.set_title("each target against single-task networks", fontweight="normal", fontsize=7.5)
    axes.set_xlabel("change of its score, %")
    axes.legend(handles=parts.handles(words), loc="upper left", bbox_to_anchor=(1, 1))


def _shifted(rows: pd.DataFrame, column: str, order: list[str]) -> pd.DataFrame:
    """Rows with the place of their mark within the line of a system, -0.3 to 0.3."""
    step = 0.6 / max(1, len(order) - 1)
    shifts = {name: i * step - 0.3 if len(order) > 1 else 0.0 for i, name in enumerate(order)}
    return rows[rows[column].isin(order)].assign(shift=lambda f: f[column].map(shifts))
