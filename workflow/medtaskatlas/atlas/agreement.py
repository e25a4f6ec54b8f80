"""Agreement beyond chance: Cohen's kappa of a confusion in which every cell counts alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medtaskatlas.atlas.resampling import (
    Design,
    Draws,
    average_cells,
    balanced_mean,
    cell_means,
)


def kappa(
    design: Design, predicted: np.ndarray, draws: Draws, seeds: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    r"""Chance-corrected agreement on every draw, at the levels of masks [K, D, T], float64 [B, K].

    :math:`\kappa = (p_o - p_e)/(1 - p_e)` (Cohen, 1960), where :math:`p_o` is the balanced accuracy
    over (dataset, task) cells and :math:`p_e = \sum_t q_t r_t`, with :math:`q` the shares of true
    and :math:`r` those of ``predicted`` [S, N] tasks, each cell counting alike; NaN where a draw
    has no cell or a level has one true task only.
    """
    named = _codes(design, predicted)
    right = (named == design.task).astype(float)
    cells = cell_means(design, right, draws, seeds)
    observed = average_cells(cells, draws.dataset, masks)
    true_share, named_share = _shares(design, named, draws, seeds, masks)
    expected = (true_share * named_share).sum(axis=-1)
    several = masks.any(axis=1).sum(axis=-1) > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(several, (observed - expected) / (1 - expected), np.nan)


def _codes(design: Design, predicted: np.ndarray) -> np.ndarray:
    """Position of every name among the tasks, [S, N].

    T for names that no query has: they count as wrong and share nothing with the truth.
    """
    at = pd.Index(design.tasks).get_indexer(pd.Index(predicted.ravel()))
    return np.where(at < 0, len(design.tasks), at).reshape(predicted.shape)


def _shares(
    design: Design, named: np.ndarray, draws: Draws, seeds: np.ndarray, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shares [B, K, T] of true tasks and of named tasks, every cell counting alike."""
    G, T = design.shape
    B, K, S = len(draws.subject), len(masks), len(named)
    pairs = design.sums(np.ones(len(design.task)))
    at = (design.subject * T + design.task) * (T + 1)
    answers = np.stack([np.bincount(at + row, minlength=G * T * (T + 1)) for row in named])
    answers = answers.reshape(S, G, T * (T + 1)).astype(float)
    true, answered = np.zeros((B, K, T)), np.zeros((B, K, T + 1))
    for d in range(len(design.datasets)):
        own = np.flatnonzero(masks[:, d].any(axis=-1))
        if not len(own):
            continue
        # Most levels ask for the same tasks of a dataset: their sums are made once.
        patterns, which = np.unique(masks[own, d], axis=0, return_inverse=True)
        members = design.subject_dataset == d
        weight = draws.subject[:, members]
        total = weight @ pairs[members]
        once = np.divide(draws.dataset[:, [d]], total, out=np.zeros_like(total), where=total > 0)
        asked = once[:, None] * patterns  # [B, P, T]
        share = np.zeros((B, len(patterns), T + 1))
        for s in range(S):
            said = (weight @ answers[s][members]).reshape(B, T, T + 1)
            share += seeds[:, s, None, None] * (asked @ said)
        there = (total > 0) * draws.dataset[:, [d]]
        for k, pattern in zip(own, which.ravel(), strict=True):
            true[:, k] += there * masks[k, d]
            answered[:, k] += share[:, pattern]
    with np.errstate(invalid="ignore"):
        true /= true.sum(axis=-1, keepdims=True)
        answered /= answered.sum(axis=-1, keepdims=True)
    return true, answered[:, :, :T]


def agreement_by_chance(
    design: Design,
    frame: pd.DataFrame,
    predicted: np.ndarray,
    predicted_family: np.ndarray,
    as_is: Draws,
) -> dict[str, float]:
    """Balanced accuracy of tasks and families if the same answers [S, N] were dealt out at random.

    A task that no query has is never right, but its family may be.
    """
    named = _codes(design, predicted)
    seeds = np.full((1, len(named)), 1 / len(named))
    everything = np.ones((1, len(design.datasets), len(design.tasks)), bool)
    true, answered = _shares(design, named, as_is, seeds, everything)
    family = frame["family"].to_numpy(dtype=object)

    def share(asked: np.ndarray) -> float:
        """Share of the pairs [S, N] for which something holds, every cell counting alike."""
        weights = np.full((1, len(asked)), 1 / len(asked))
        return float(balanced_mean(design, asked, as_is, weights)[0])

    # In a fixed order: that of a set of strings differs between processes, and so would the sum.
    by_family = sum(
        share((family == name)[None]) * share(predicted_family == name)
        for name in sorted(set(family))
    )
    return {
        "balanced_accuracy": float(true[0, 0] @ answered[0, 0]),
        "family_balanced_accuracy": by_family,
    }
