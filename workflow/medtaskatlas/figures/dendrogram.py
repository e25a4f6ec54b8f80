"""Tree of the tasks with the bootstrap support of its branches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medtaskatlas.figures import frames, panels, style

SHOWN = 50  # percent: a branch under it is one of several that the data allow
STRONG = 95


@dataclass(frozen=True)
class Node:
    """A leaf or an inner node of the tree."""

    tasks: tuple[str, ...]  # below it, in the order of drawing
    height: float = 0.0  # distance at which its parts are joined; 0 for a leaf
    support: float | None = None  # share of bootstrap draws, or None
    parts: tuple[Node, ...] = ()


def dendrogram(
    table: str | Path, svg: str | Path, png: str | Path, *, encoder: str, split: str | None = None
) -> None:
    """Draw the average-linkage tree of the tasks of one encoder."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["metric"] == "centroid_cosine")]
    branches = rows[rows["level"] == "branch"]
    if split is None:
        split = next(iter(frames.splits_of(branches["split"])), None)
    rows, branches = rows[rows["split"] == split], branches[branches["split"] == split]
    if split is None or branches.empty:
        style.save_note(f"no tree of three or more tasks for {encoder}", svg, png)
        return
    places = rows[rows["level"] == "task"]
    families = dict(zip(places["task"], places["family"], strict=True))
    root = tree_of(branches, families)
    figure, axes = plt.subplots(figsize=(style.PAGE, 0.2 * len(root.tasks) + 0.9))
    _draw(axes, root, families)
    title = f"{encoder}, {frames.WHERE.get(split, split)}"
    style.panel_title(
        axes, title, "; ".join(filter(None, [frames.count_text(branches), _words(rows)]))
    )
    _legend(axes, families, low=-0.56 / figure.get_figheight() - 0.01)
    style.save(figure, svg, png)


def tree_of(branches: pd.DataFrame, families: dict[str, str]) -> Node:
    """Tree of branches, one row an inner node; the part of the earlier family stands first."""
    order = frames.family_order(families.values())
    ranks = {task: order.index(family) for task, family in families.items()}
    held: dict[str, Node] = {}
    node = Node(())
    sizes = branches["members"].str.count(",")
    for row in branches.loc[sizes.sort_values(kind="stable").index].to_dict("records"):
        members = row["members"].split(",")
        found = {id(held[t]): held[t] for t in members if t in held}
        parts = [*found.values(), *(Node((t,)) for t in members if t not in held)]
        parts.sort(
            key=lambda part: (
                float(np.mean([ranks.get(t, len(order)) for t in part.tasks])),
                min(part.tasks),
            )
        )
        support = None if pd.isna(row["estimate"]) else float(row["estimate"])
        tasks = tuple(t for part in parts for t in part.tasks)
        node = Node(tasks, float(row["height"]), support, tuple(parts))
        held |= dict.fromkeys(tasks, node)
    return node


def _draw(axes: Axes, root: Node, families: dict[str, str]) -> None:
    """Lines, numbers and names; the root on the left."""
    at = {task: float(i) for i, task in enumerate(root.tasks)}
    reach = root.height if root.height > 0 else 1.0

    def place(node: Node) -> float:
        """Draw what is below a node; returns where its stem starts."""
        if not node.parts:
            return at[node.tasks[0]]
        ys = [place(part) for part in node.parts]
        colour = _colour(node, families)
        axes.plot([node.height] * 2, [min(ys), max(ys)], color=colour, lw=1.1, zorder=2)
        for part, y in zip(node.parts, ys, strict=True):
            stem = [node.height, part.height]
            axes.plot(stem, [y, y], color=_colour(part, families), lw=1.1, zorder=2)
        y = float(np.mean(ys))
        percent = None if node.support is None else round(100 * node.support)
        if node is not root and (percent is None or percent >= SHOWN):
            axes.annotate(
                "?" if percent is None else f"{percent}", (node.height, y), xytext=(-1.5, 1),
                textcoords="offset points", ha="right", va="bottom", fontsize=7, zorder=4,
                color="black", fontweight="bold" if percent and percent >= STRONG else "normal",
                bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.2},
            )  # fmt: skip
        return y

    place(root)
    axes.set_xlim(reach * 1.03, -0.01 * reach)
    axes.set_ylim(len(root.tasks) - 0.4, -0.6)
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(root.tasks)), [frames.plain(task) for task in root.tasks])
    axes.tick_params(axis="y", length=0)
    panels.colour_names(axes.get_yticklabels(), list(root.tasks), families)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("distance at which branches are joined (1 − cosine of centroids)")


def _colour(node: Node, families: dict[str, str]) -> str:
    """Colour of the family that all tasks of a node share; dark where they are of several."""
    there = {families.get(task, "") for task in node.tasks}
    return style.family_colour(there.pop()) if len(there) == 1 else style.DARK


def _words(rows: pd.DataFrame) -> str:
    """How far the tree agrees with the families, in a few words."""
    partition = rows[(rows["level"] == "partition") & rows["estimate"].notna()]
    by = {row["measure"]: row for row in partition.to_dict("records")}
    words = []
    for measure, name in (("ami", "families: AMI"), ("cophenetic", "cophenetic r")):
        if measure in by:
            words.append(f"{name} {by[measure]['estimate']:.2f}")
            p = by[measure]["p_adjusted"]
            words[-1] += f" (adjusted p = {p:.2g})" if pd.notna(p) else ""
    return ", ".join(words)


def _legend(axes: Axes, families: dict[str, str], low: float) -> None:
    """Colours of the families, and what the numbers are."""
    for family in frames.family_order(families.values()):
        axes.plot([], [], color=style.family_colour(family), lw=2, label=family)
    if len(set(families.values())) > 1:
        axes.plot([], [], color=style.DARK, lw=2, label="of several families")
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, low), ncols=4, columnspacing=1.2, handlelength=1.2,
        handletextpad=0.5, borderaxespad=0, borderpad=0,
    )  # fmt: skip
    axes.annotate(
        f"Numbers: percent of bootstrap draws whose tree has the same branch, from {SHOWN} on, "
        f"bold from {STRONG} on.\n?: a task of the branch rests on too few groups to tell.",
        (0, low), xytext=(0, -14), xycoords="axes fraction", textcoords="offset points",
        va="top", fontsize=7.5, color=style.DARK,
    )  # fmt: skip
