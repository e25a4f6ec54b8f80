"""The scale of an encoder's features over its gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Standard deviations from the gallery's mean beyond which a feature counts no more.
CUT = 5.0
# Numbers at once: they stay in the cache of the processor, in 64 bits too.
_BLOCK = 2**18


@dataclass(frozen=True)
class Scale:
    """Scale of the features over a gallery.

    Attributes
    ----------
    mean, spread
        float64 [D]; ``spread`` is 0 for features that are constant over the gallery.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, gallery: np.ndarray) -> Scale:
        """Scale of some vectors.

        Parameters
        ----------
        gallery
            float [M, D], M at least 1.

        Returns
        -------
        Scale
            Their mean and standard deviation.
        """
        total = ScaleSum(gallery.shape[1])
        total.add(gallery)
        return total.scale()

    def apply(self, vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray:
        """Bring features to mean 0 and standard deviation 1 over the gallery, cut off at 5.

        Without the cut a feature that hardly varies in the gallery but does in a query outweighs
        all others there, and a baseline would look weaker than it is.

        Parameters
        ----------
        vectors
            float32 [N, D].
        inplace
            Whether to write over them, which spares their memory.

        Returns
        -------
        numpy.ndarray
            float32 [N, D] in -5..5; features that are constant over the gallery are 0.
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

    Parameters
    ----------
    dim
        Number of features.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean, self.square = np.zeros((2, dim))

    def add(self, vectors: np.ndarray) -> None:
        """Count some more vectors.

        Parameters
        ----------
        vectors
            float [M, D].
        """
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
        """The scale of all vectors so far.

        Returns
        -------
        Scale
            Their mean and standard deviation; nothing is told of no vector.
        """
        spread = np.sqrt(self.square / max(self.count, 1))
        sound = spread > 1e-7 * np.maximum(1, np.abs(self.mean))
        return Scale(self.mean.copy(), np.where(sound, spread, 0))


def row_blocks(vectors: np.ndarray, numbers: int) -> Iterator[slice]:
    """Rows in blocks of so many numbers.

    Parameters
    ----------
    vectors
        [N, D].
    numbers
        How many numbers a block holds, at least a row.

    Yields
    ------
    slice
        Of rows.
    """
    step = max(1, numbers // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield slice(start, start + step)
