"""Statistics of a tree of tasks: agreement, cohesion of labels, support of branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_score

from medtaskatlas.atlas.inference import permutation_p


def agreement_test(
    stated: np.ndarray, found: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> dict[str, tuple[float, float]]:
    """AMI and ARI (`ami`, `ari`) of two partitions, each with its permutation p.

    The null is all partitions of the same sizes: stated labels are permuted. With sizes fixed, AMI
    rises with the mutual information and ARI with the number of pairs that both keep together, so
    only these two are computed for every permutation.
    """
    _, one = np.unique(stated, return_inverse=True)
    _, two = np.unique(found, return_inverse=True)
    shuffled = rng.permuted(np.tile(one, (n_permutations, 1)), axis=1)
    null = tables_of(shuffled, two)
    real = tables_of(one[None], two)
    return {
        "ami": (
            float(adjusted_mutual_info_score(one, two)),
            permutation_p(float(_information(real)[0]), _information(null)),
        ),
        "ari": (
            float(adjusted_rand_score(one, two)),
            permutation_p(float((real**2).sum()), (null**2).sum(axis=(1, 2))),
        ),
    }


def family_ami(distance: np.ndarray, family: np.ndarray) -> float:
    """AMI of labels [T] and as many clusters of distances [T, T]; NaN where they have none.

    Tasks of which a distance is unknown, as in a draw that lacks them, are left out.
    """
    there = np.isfinite(distance).sum(axis=1) > 1
    distance, family = distance[np.ix_(there, there)], family[there]
    k = len(set(family.tolist()))
    if not 1 < k < len(family) or not np.isfinite(distance).all() or np.ptp(distance) == 0:
        return float("nan")
    found = fcluster(linkage(squareform(distance, checks=False), "average"), k, "maxclust")
    return float(adjusted_mutual_info_score(family, found))


def tables_of(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Contingency tables [P, K1, K2] of P partitions [P, T] with one [T]."""
    first = np.eye(one.max() + 1)[one]
    return np.einsum("pti,tj->pij", first, np.eye(two.max() + 1)[two], optimize=True)


def _information(tables: np.ndarray) -> np.ndarray:
    """Mutual information up to a constant that the sizes fix: sum of n log n."""
    safe = np.where(tables > 0, tables, 1)
    return (safe * np.log(safe)).sum(axis=(1, 2))


def best_cut(tree: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Cut of a tree with the largest mean silhouette (Rousseeuw, 1987), and that silhouette.

    Labels play no part. The fewest clusters among equals; None where no cut has between 2 and T -
    1.
    """
    best: tuple[np.ndarray, float] | None = None
    for k in range(2, len(distance)):
        found = fcluster(tree, k, "maxclust")
        if not 1 < len(set(found)) < len(distance):
            continue
        score = float(silhouette_score(distance, found, metric="precomputed"))
        if best is None or score > best[1] + 1e-12:
            best = found, score
    return best


def cohesion_test(
    distance: np.ndarray, labels: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> dict[str, tuple[float, float]]:
    r"""PERMANOVA and ANOSIM of labels [K] on a matrix of distances [K, K], each with its p.

    PERMANOVA: pseudo-F :math:`\frac{SS_B/(k-1)}{SS_W/(K-k)}` of squared distances (Anderson, 2001,
    equation 3). ANOSIM: :math:`R = (\bar r_B - \bar r_W) / (K(K-1)/4)` of their ranks (Clarke,
    1993). The null permutes the labels. NaN where the statistic is undefined: all distances within
    labels are 0, or there is no pair within or between labels.
    """
    _, code = np.unique(labels, return_inverse=True)
    orders = np.concatenate([code[None], rng.permuted(np.tile(code, (n_permutations, 1)), axis=1)])
    each = {"permanova": pseudo_f(distance, orders), "anosim": anosim_r(distance, orders)}
    found = {}
    for measure, values in each.items():
        sound = np.isfinite(values[0])
        # Labels of a permutation that leave no scatter within are the most extreme of all.
        null = np.where(np.isnan(values[1:]), np.inf, values[1:])
        p = permutation_p(float(values[0]), null) if sound else np.nan
        found[measure] = (float(values[0]) if sound else np.nan, p)
    return found


def pseudo_f(distance: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Pseudo-F [P] of P labellings [P, K] of the same sizes."""
    K, size = code.shape[1], np.bincount(code[0])
    k = len(size)
    square = distance**2
    within = (_within(square, code) / (2 * size)).sum(axis=1)
    total = square.sum() / (2 * K)
    # Of equal numbers, differences are rounding.
    within = np.where(within > 1e-12 * total, within, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((total - within) / (k - 1)) / (within / (K - k))


def anosim_r(distance: np.ndarray, code: np.ndarray) -> np.ndarray:
    """ANOSIM's R of many labellings.

    Parameters
    ----------
    distance
        float [K, K].
    code
        int [P, K], labels from 0, of the same sizes in all rows.

    Returns
    -------
    numpy.ndarray
        float64 [P], -1 to 1; NaN where no pair is within, or none between labels.
    """
    K, size = code.shape[1], np.bincount(code[0])
    upper = np.triu_indices(K, 1)
    rank = np.zeros((K, K))
    rank[upper] = rankdata(distance[upper])
    rank += rank.T
    pairs, inside = K * (K - 1) / 2, float((size * (size - 1) / 2).sum())
    within = _within(rank, code).sum(axis=1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (rank[upper].sum() - within) / (pairs - inside)
        return (between - within / inside) / (pairs / 2)


def _within(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Sum of a symmetric matrix within each label, both triangles: [P, k]."""
    found = np.empty((len(code), int(code[0].max()) + 1))
    for label in range(found.shape[1]):
        member = (code == label).astype(float)
        found[:, label] = np.einsum("pi,pi->p", member @ values, member)
    return found


@dataclass(frozen=True)
class Branch:
    """An inner node of a tree."""

    members: tuple[int, ...]  # Leaves below it, sorted
    height: float  # Distance at which its two parts are joined


def branches(tree: np.ndarray) -> list[Branch]:
    """All inner nodes of a linkage of K leaves: K - 1, the root last."""
    K = len(tree) + 1
    return [
        Branch(tuple(i for i in range(K) if held >> i & 1), float(row[2]))
        for held, row in zip(leaf_sets(tree, range(K)), tree, strict=True)
    ]


def leaf_sets(tree: np.ndarray, leaves: range | np.ndarray) -> list[int]:
    """Leaves below each inner node, in the order of the linkage, as bits of a whole number."""
    held = [1 << int(leaf) for leaf in leaves]
    for one, other in tree[:, :2].astype(int).tolist():
        held.append(held[one] | held[other])
    return held[len(tree) + 1 :]


def branch_support(found: list[Branch], draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of draws whose tree has a branch of exactly the same leaves; draws that count.

    The bootstrap proportion of a branch (Felsenstein, 1985). Distances of a draw [K, K] are NaN for
    a leaf that it lacks: it says nothing of branches with that leaf and is not counted for them; of
    the others, the tree of the rest is asked. The share is NaN where no draw counts.
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
