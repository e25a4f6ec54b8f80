"""How well numbers of (source, target) cells rank measured gains.

Arrays are float [D, K, K] (dataset, source, target), NaN where nothing is known; only cells where
both are known count.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata, weightedtau

CORRELATIONS = ("target_centred", "double_centred", "within_family")
MEASURES = (*CORRELATIONS, "weighted_tau", "sign_accuracy", "regret", "regret_ratio")
LESS_IS_BETTER = ("regret", "regret_ratio")
BOUNDS = {
    **dict.fromkeys((*CORRELATIONS, "weighted_tau"), (-1.0, 1.0)),
    "sign_accuracy": (0.0, 1.0),
    "regret": (0.0, np.inf),
    "regret_ratio": (0.0, np.inf),
}
SOURCES = 3  # of a target at least: the best of two is a coin's toss
SWEEPS = 200
ROUNDED = 9  # decimals, of values of size 1: what is left of a constant is not ranked

# Measure to its value, and to what a choice that knows nothing reaches.
Scores = dict[str, tuple[float, float]]


def scores(x: np.ndarray, gain: np.ndarray, same_family: np.ndarray) -> Scores:
    """Every measure of a prediction ``x``, larger where more gain is expected.

    NaN where a measure is undefined: too few cells, or all are alike.
    """
    known = _asked(np.isfinite(x) & np.isfinite(gain))
    found: Scores = {}
    for name in CORRELATIONS:
        one, other = (centred_ranks(v, known, same_family, name) for v in (x, gain))
        found[name] = correlation(np.nan_to_num(one), np.nan_to_num(other)), 0.0
    tau, regret, random = _of_targets(x, gain, known)
    found["weighted_tau"] = tau, 0.0
    found["sign_accuracy"] = _signs(x, gain, known)
    found["regret"] = regret, random
    found["regret_ratio"] = regret / random if random > 0 else np.nan, 1.0
    return found


def centred_ranks(
    values: np.ndarray, known: np.ndarray, same_family: np.ndarray, how: str
) -> np.ndarray:
    """Ranks of centred values, with mean 0 (all 0 where they are alike); NaN where unknown.

    ``target_centred``: less the mean of every target on every dataset; ``double_centred``: less
    that of sources too; ``within_family``: as the first, of sources of the target's family alone.
    """
    known = known & same_family if how == "within_family" else known
    known = known & (known.sum(axis=1, keepdims=True) > 1)
    out = np.full(values.shape, np.nan)
    if not known.any():
        return out
    rest = np.where(known, values, 0.0)
    rest = rest / max(np.abs(rest).max(), np.finfo(float).tiny)
    double = how == "double_centred"
    # Means of both sides at once are not those one after the other where cells are missing.
    for _ in range(SWEEPS if double else 1):
        before = rest
        for axis in (1, 2) if double else (1,):
            n = np.maximum(known.sum(axis=axis, keepdims=True), 1)
            rest = np.where(known, rest - rest.sum(axis=axis, keepdims=True) / n, 0.0)
        if np.abs(rest - before).max() < 10.0 ** -(ROUNDED + 2):
            break
    ranks = rankdata(rest[known].round(ROUNDED))
    out[known] = ranks - ranks.mean()
    return out


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of ranks with mean 0, cell by cell; NaN where a side is 0."""
    one, other = one.ravel(), other.ravel()
    length = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / length) if length > 0 else np.nan


def permuted(
    x: np.ndarray, gain: np.ndarray, same_family: np.ndarray, orders: np.ndarray, how: str
) -> tuple[float, np.ndarray]:
    """Correlation of centred ranks, and those of tasks in other orders, int [N, K].

    A task is permuted as source and as target at once (Mantel, 1967). Ranks are those of the cells
    as they are; of permuted ones the cells that both know are compared.
    """
    known = _asked(np.isfinite(x) & np.isfinite(gain))
    one, other = (centred_ranks(v, known, same_family, how) for v in (x, gain))

    there, asked = np.isfinite(one), np.isfinite(other)
    one, other = np.nan_to_num(one), np.nan_to_num(other)

    def of(order: np.ndarray) -> float:
        turned = np.ix_(np.arange(len(x)), order, order)
        found = correlation(one[turned] * asked, other * there[turned])
        return found if np.isfinite(found) else 0.0

    return of(np.arange(x.shape[1])), np.array([of(order) for order in orders])


def _asked(known: np.ndarray) -> np.ndarray:
    """Known cells, without targets that have too few sources to choose from."""
    return np.asarray(known & (known.sum(axis=1, keepdims=True) >= SOURCES))


def _of_targets(x: np.ndarray, gain: np.ndarray, known: np.ndarray) -> tuple[float, float, float]:
    """Weighted tau, regret of the best source and regret of a random one; means over targets."""
    many = known.sum(axis=1)
    found = []
    for n in np.unique(many[many > 0]):
        # Of targets with as many sources at once, [n, C]: a call of scipy's costs more than a tau.
        at = many == n
        own = known.transpose(0, 2, 1)[at]
        one, other = (v.transpose(0, 2, 1)[at][own].reshape(-1, n).T for v in (x, gain))
        ranked = (np.ptp(one, axis=0) > 0) & (np.ptp(other, axis=0) > 0)
        tau = np.zeros(len(own))  # what says the same of every source ranks none
        if ranked.any():
            tau[ranked] = weightedtau(one[:, ranked], other[:, ranked], axis=0).statistic
        chosen = one == one.max(axis=0)  # any of those that are as good
        gained, best = (other * chosen).sum(axis=0) / chosen.sum(axis=0), other.max(axis=0)
        found.append(np.stack([tau, best - gained, best - other.mean(axis=0)]))
    if not found:
        return np.nan, np.nan, np.nan
    tau, regret, random = np.concatenate(found, axis=1).mean(axis=1).tolist()
    return tau, regret, random


def _signs(x: np.ndarray, gain: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """Share of gains whose sign is told by a line that was fitted to other targets.

    And the share that is told by the commoner sign among those.
    """
    right, common, n = 0, 0, 0
    for t in np.flatnonzero(known.any(axis=(0, 1))):
        others, own = known.copy(), known[:, :, t]
        others[:, :, t] = others[:, t, :] = False
        if not others.any():
            continue
        a, b, asked = x[others], gain[others], x[:, :, t][own]
        spread = a.var()
        slope = ((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 0 else 0.0
        positive = gain[:, :, t][own] > 0
        right += int(((b.mean() + slope * (asked - a.mean()) > 0) == positive).sum())
        common += int((((b > 0).mean() >= 0.5) == positive).sum())
        n += len(asked)
    return (right / n, common / n) if n else (np.nan, np.nan)
