"""How often the branches of a tree of tasks come back when the data are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform


@dataclass(frozen=True)
class Branch:
    """An inner node of a tree.

    Attributes
    ----------
    members
        Leaves below it, sorted.
    height
        Distance at which its two parts are joined.
    """

    members: tuple[int, ...]
    height: float


def branches(tree: np.ndarray) -> list[Branch]:
    """All inner nodes of a tree, the root last.

    Parameters
    ----------
    tree
        Linkage of :func:`scipy.cluster.hierarchy.linkage` of K leaves.

    Returns
    -------
    list of Branch
        K - 1 of them.
    """
    K = len(tree) + 1
    return [
        Branch(tuple(i for i in range(K) if held >> i & 1), float(row[2]))
        for held, row in zip(leaf_sets(tree, range(K)), tree, strict=True)
    ]


def leaf_sets(tree: np.ndarray, leaves: range | np.ndarray) -> list[int]:
    """Leaves below each inner node, as bits of a whole number.

    Parameters
    ----------
    tree
        Linkage of K leaves.
    leaves
        K numbers: which bit each leaf sets.

    Returns
    -------
    list of int
        K - 1 of them, in the order of the linkage.
    """
    held = [1 << int(leaf) for leaf in leaves]
    for one, other in tree[:, :2].astype(int).tolist():
        held.append(held[one] | held[other])
    return held[len(tree) + 1 :]


def branch_support(found: list[Branch], draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of bootstrap draws whose tree has a branch of exactly the same leaves.

    The bootstrap proportion of a branch (Felsenstein, 1985). A draw that lacks a leaf of the branch
    says nothing of it and is not counted; of one that lacks some other leaves, the tree of the rest
    is asked.

    Parameters
    ----------
    found
        Branches of the tree of the data as they are.
    draws
        float [B, K, K], distances on every draw; NaN for a leaf that a draw lacks.

    Returns
    -------
    tuple
        Share of each branch (NaN where no draw counts) and number of draws that count.
    """
    asked = [sum(1 << i for i in branch.members) for branch in found]
    root = (1 << draws.shape[-1]) - 1
    hits, judged = np.zeros(len(found)), np.zeros(len(found), int)
    for distance in draws:
        # A lacking leaf is unknown to itself also.
        there = np.flatnonzero(np.isfinite(np.diag(distance)))
        if len(there) < 2:
            continue
        known = distance[np.ix_(there, there)]
        if not np.isfinite(known).all():
            continue
        tree = linkage(squareform(known, checks=False), "average")
        has = set(leaf_sets(tree, there))
        present = sum(1 << int(i) for i in there)
        for at, wanted in enumerate(asked):
            # Where a draw holds nothing but the branch, the branch cannot but come back.
            if wanted & present == wanted and (present != wanted or wanted == root):
                judged[at] += 1
                hits[at] += wanted in has
    share = np.divide(hits, judged, out=np.full(len(found), np.nan), where=judged > 0)
    return share, judged
