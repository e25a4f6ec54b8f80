"""Principal components, for what would take too long in all dimensions."""

from __future__ import annotations

import numpy as np
from sklearn.utils.extmath import randomized_svd

BASIS_PAIRS = 4000
EXACT_BASIS = 1024  # dimensions; a full decomposition of wider ones takes many seconds


def leading(vectors: np.ndarray, n: int) -> np.ndarray:
    """Coordinates on the first principal components.

    Parameters
    ----------
    vectors
        float [N, D], centred.
    n
        Number of components at most.

    Returns
    -------
    numpy.ndarray
        float64 [N, n]; the vectors themselves where they have no more dimensions.
    """
    if vectors.shape[1] <= n:
        return vectors.astype(np.float64)
    some = vectors[:: max(1, len(vectors) // BASIS_PAIRS)]
    if vectors.shape[1] <= EXACT_BASIS:
        axes = np.linalg.eigh(some.T.astype(np.float64) @ some)[1][:, -n:]
    else:
        axes = randomized_svd(some, n, random_state=0)[2].T
    return np.asarray((vectors @ axes.astype(vectors.dtype)).astype(np.float64))
