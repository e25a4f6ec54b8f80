"""The front of fixed weights of two targets, with every system drawn in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medtaskatlas.figures import frames, style
from medtaskatlas.figures.multitask import parts
from medtaskatlas.formats.multitask_training import read_trials

PAIRS = 3  # of targets, a problem


def multitask_tradeoff(
    table: str | Path, trial_paths: Iterable[str | Path], svg: str | Path, png: str | Path
) -> None:
    """Draw validation scores of two targets against each other.

    Trials with fixed weights are dots, those that no other trial beats in both targets a line;
    validation, because no trial is asked about test images.
    """
    style.use_style()
    scores = frames.read_frame(table)
    scores = scores[(scores["split"] == "val") & scores["primary"] & scores["seed"].isna()]
    scores = scores[scores["estimate"].notna() & scores["beside"].isna()]
    trials = _trials(trial_paths)
    shown = []
    for problem in dict.fromkeys(scores["problem"]):
        rows = scores[scores["problem"] == problem]
        for pair in list(combinations(dict.fromkeys(rows["target"]), 2))[:PAIRS]:
            points = rows.pivot_table(index="system", columns="target", values="estimate")
            points = points.reindex(columns=list(pair)).dropna()
            if len(points):
                shown.append((problem, pair, points, rows.drop_duplicates("target")))
    if not shown:
        style.save_note("no two targets with scores on validation images", svg, png)
        return
    columns = min(2, len(shown))
    lines = -(-len(shown) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.3 + 3.0 * lines), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    colours = parts.colours(scores["system"])
    for axes, (problem, pair, points, about) in zip(grid.flat, shown, strict=False):
        facts = about.set_index("target")
        of = trials[trials["problem"] == problem].reindex(columns=list(pair)).dropna()
        _draw(axes, of.to_numpy(float), facts.loc[list(pair)])
        for name, point in points.iterrows():
            axes.plot(*point, "o", color=colours[str(name)], ms=6, mec="white", mew=0.6, zorder=3)
        told = f"{len(of)} trials of fixed weights; {len(points)} systems"
        style.panel_title(axes, frames.plain(problem), told)
    parts.name_systems(figure, scores["system"], colours)
    style.save(figure, svg, png)


def front(points: np.ndarray, higher: np.ndarray) -> np.ndarray:
    """Rows of points [K, 2] that no other beats in both, ordered by the first.

    ``higher`` bool [2] says whether more is better.
    """
    best = points * np.where(higher, 1, -1)
    beaten = [((best >= one).all(axis=1) & (best > one).any(axis=1)).any() for one in best]
    kept = np.unique(points[~np.array(beaten, bool)], axis=0)
    return kept[np.argsort(kept[:, 0])]


def _trials(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Scores of trials with fixed weights, means over folds of equal trials."""
    rows = [
        {
            "problem": Path(path).parts[-3],
            "learning_rate": trial["learning_rate"],
            "weights": str(sorted(trial["weights"].items())),
            "target": target,
            "score": score,
        }
        for path in paths
        for trial in read_trials(path)
        if trial["weights"] is not None
        for target, score in trial["scores"].items()
        if score is not None
    ]
    keys = ["problem", "learning_rate", "weights"]
    if not rows:
        return pd.DataFrame(columns=keys)
    means = pd.DataFrame(rows).groupby([*keys, "target"])["score"].mean()
    return means.unstack("target").reset_index()


def _draw(axes: Axes, trials: np.ndarray, facts: pd.DataFrame) -> None:
    """Trials [K, 2] and their front; better is right and up."""
    higher = facts["higher_is_better"].to_numpy(bool)
    if len(trials):
        axes.plot(*trials.T, ".", color="#B0B0B0", ms=5, zorder=1)
        line = front(trials, higher)
        axes.plot(*line.T, "o-", color=style.GREY, ms=4, lw=1.2, mfc="white", zorder=1)
    for axis, (target, fact), up in zip(
        (axes.xaxis, axes.yaxis), facts.iterrows(), higher, strict=True
    ):
        axis.set_label_text(f"{target}: {frames.plain(fact['score'])} (validation)")
        axis.set_inverted(not up)
    axes.margins(0.15)
