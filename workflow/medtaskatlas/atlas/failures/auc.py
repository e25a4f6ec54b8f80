"""Areas under the ROC curve and rates of failures, on many bootstrap draws at once."""

from __future__ import annotations

import numpy as np

from medtaskatlas.atlas.resampling import Draws


def auc_draws(
    right: np.ndarray,
    right_group: np.ndarray,
    wrong: np.ndarray,
    wrong_group: np.ndarray,
    draws: Draws,
) -> np.ndarray:
    r"""Area under the ROC curve of two sets of scores on every draw of groups.

    :math:`P(r > w) + P(r = w) / 2` for a right and a wrong pair, which is the statistic of Mann and
    Whitney over its maximum (Hanley and McNeil, 1982). A group that is drawn twice counts twice on
    both sides.

    Parameters
    ----------
    right, wrong
        float [R] and [W], scores.
    right_group, wrong_group
        int [R] and [W], groups of the draws.
    draws
        B draws.

    Returns
    -------
    numpy.ndarray
        float64 [B], 0 to 1; NaN where a draw has no pair of either side.
    """
    wins = (right[None] > wrong[:, None]) + 0.5 * (right[None] == wrong[:, None])
    one, one_of = np.unique(wrong_group, return_inverse=True)
    two, two_of = np.unique(right_group, return_inverse=True)
    # Pairs to groups: draws are of groups.
    into_one = np.eye(len(one))[one_of].T
    into_two = np.eye(len(two))[two_of]
    table = into_one @ wins @ into_two
    weight_one, weight_two = draws.group[:, one], draws.group[:, two]
    top = ((weight_one @ table) * weight_two).sum(axis=1)
    bottom = (weight_one @ into_one.sum(axis=1)) * (weight_two @ into_two.sum(axis=0))
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def rate_draws(hit: np.ndarray, group: np.ndarray, draws: Draws) -> np.ndarray:
    """Share of pairs with a property on every draw of groups.

    Parameters
    ----------
    hit
        float [N], 0 or 1.
    group
        int [N], groups of the draws.
    draws
        B draws.

    Returns
    -------
    numpy.ndarray
        float64 [B]; NaN where a draw has no pair.
    """
    n = draws.group.shape[1]
    bottom = draws.group @ np.bincount(group, minlength=n)
    top = draws.group @ np.bincount(group, hit, minlength=n)
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
