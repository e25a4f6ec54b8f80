"""Arithmetic of wide embeddings in blocks: scale over a gallery, length 1, principal components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Standard deviations from the gallery's mean at which a feature is cut off. Without the cut, one
# that hardly varies in the gallery but does in a query outweighs all others there, and a baseline
# would look weaker than it is.
CUT = 5.0
# Variance below this share of the squared length is rounding of 32-bit numbers.
CONSTANT = 1e-10
# Numbers at once: they stay in the cache of the processor, in 64 bits too.
_BLOCK = 2**18
BASIS_PAIRS = 4000
EXACT_BASIS = 1024  # dimensions; a full decomposition of wider ones takes many seconds


def row_blocks(vectors: np.ndarray, numbers: int) -> Iterator[slice]:
    """Slices of the rows of [N, D] that hold so many numbers, but a row at least."""
    step = max(1, numbers // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield slice(start, start + step)


def l2_normalize(vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray:
    """Scale vectors to length 1, so that their products are cosines.

    Parameters
    ----------
    vectors
        float [N, D].
    inplace
        Whether to write over them, which spares their memory; they must be float32 then.

    Returns
    -------
    numpy.ndarray
        float32 [N, D]; a zero vector stays zero.
    """
    out = vectors if inplace else np.empty(vectors.shape, np.float32)
    for part in row_blocks(vectors, _BLOCK):
        length = np.linalg.norm(vectors[part], axis=1, keepdims=True)
        out[part] = vectors[part] / np.maximum(length, 1e-12)
    return out


def leading(vectors: np.ndarray, n: int) -> np.ndarray:
    """First n principal components of centred [N, D], float64; all of D where it is no more."""
    from sklearn.utils.extmath import randomized_svd

    if vectors.shape[1] <= n:
        return vectors.astype(np.float64)
    some = vectors[:: max(1, len(vectors) // BASIS_PAIRS)]
    if vectors.shape[1] <= EXACT_BASIS:
        axes = np.linalg.eigh(some.T.astype(np.float64) @ some)[1][:, -n:]
    else:
        axes = randomized_svd(some, n, random_state=0)[2].T
    return np.asarray((vectors @ axes.astype(vectors.dtype)).astype(np.float64))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of features over a gallery, float64 [D]; 0 for constant ones."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, gallery: np.ndarray) -> Scale:
        """Scale of vectors [M, D], M at least 1."""
        total = ScaleSum(gallery.shape[1])
        total.add(gallery)
        return total.scale()

    def apply(self, vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray:
        """Features of mean 0 and deviation 1 over the gallery, within -5..5; constant ones are 0.

        float32 [N, D]; ``inplace`` writes over the vectors, which spares their memory.
        """
        out = vectors if inplace else np.empty(vectors.shape, np.float32)
        constant = self.spread == 0
        divisor = np.where(constant, 1, self.spread)
        for part in row_blocks(vectors, _BLOCK):
            scaled = vectors[part] - self.mean
            scaled /= divisor
            np.clip(scaled, -CUT, CUT, out=scaled)
            scaled[:, constant] = 0
            out[part] = scaled
        return out


class ScaleSum:
    """Scale of vectors that come some at a time, as exact as if they came at once.

    Means and squares around the mean are joined, never plain squares, whose difference would lose
    digits (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979).
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean, self.square = np.zeros((2, dim))

    def add(self, vectors: np.ndarray) -> None:
        """Count more vectors, [M, D]."""
        for part in row_blocks(vectors, _BLOCK):
            block = vectors[part].astype(np.float64)
            n = len(block)
            mean = block.mean(axis=0)
            block -= mean
            whole, shift = self.count + n, mean - self.mean
            self.square += np.einsum("nd,nd->d", block, block)
            self.square += shift**2 * (self.count * n / whole)
            self.mean += shift * (n / whole)
            self.count = whole

    def scale(self) -> Scale:
        """Scale of all vectors so far."""
        spread = np.sqrt(self.square / max(self.count, 1))
        sound = spread > 1e-7 * np.maximum(1, np.abs(self.mean))
        return Scale(self.mean.copy(), np.where(sound, spread, 0))
