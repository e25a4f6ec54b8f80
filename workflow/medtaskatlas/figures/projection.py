"""From many dimensions to two, for pictures only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medtaskatlas.core.seeds import generator


def balanced(frame: pd.DataFrame, n: int, seed: int) -> np.ndarray:
    """At most n rows, sorted, of every (task, dataset) cell alike as far as it reaches."""
    shuffled = generator(seed, "atlas map").permutation(len(frame))
    cells = frame.iloc[shuffled].groupby(["task", "dataset"], observed=True)
    turn = cells.cumcount().to_numpy()
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:n]])


def project(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Two dimensions [N, 2] of many: PCA to 30, then t-SNE (van der Maaten and Hinton, 2008).

    Columns are standardised, since features may have scales of their own.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    scale = vectors.std(axis=0)
    unit = (vectors - vectors.mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
    n = len(unit)
    reduced = PCA(min(30, *unit.shape), random_state=seed).fit_transform(unit)
    # One thread: sums in another order would give another picture.
    tsne = TSNE(
        perplexity=min(30.0, (n - 1) / 3), init="pca", max_iter=750, random_state=seed, n_jobs=1
    )
    return np.asarray(tsne.fit_transform(reduced.astype(np.float32)))


def medoid(points: np.ndarray) -> int:
    """The point [N, 2] nearest to the others: a mean may lie between two heaps of them."""
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    return int(np.sqrt(apart).sum(axis=1).argmin())
