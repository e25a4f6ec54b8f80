"""The probe of the shortcut audit: boosted trees that say how likely each task is."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

ROUNDS = 24
LEAVES = 8
FEATURES_A_SPLIT = 0.3


def probe(known: np.ndarray, truth: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """Probability of every task, as learned from training pairs.

    Trees, since a relation of the two sides need not be linear; boosted with a small step and a
    penalty, since their probabilities are to be taken at their word: where two tasks look the same,
    each gets half. Trees look at the order of values only, so that nothing need be standardised.

    Parameters
    ----------
    known
        float32 [N, D], features of training pairs.
    truth
        int [N], their tasks, 0..T-1, each at least once.
    asked
        float32 [Q, D], features of other pairs.
    seed
        Seed of the features that a split may choose from.

    Returns
    -------
    numpy.ndarray
        float64 [Q, T], rows sum to 1.
    """
    if truth.max() == 0:
        return np.ones((len(asked), 1))
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.15,
        l2_regularization=1.0,
        max_leaf_nodes=LEAVES,
        max_features=FEATURES_A_SPLIT,
        max_bins=31,
        early_stopping=False,
        random_state=seed,
    )
    # Trees this small are grown faster by one thread than by two that wait for each other.
    with threadpool_limits(limits=1):
        return np.asarray(model.fit(known, truth).predict_proba(asked))
