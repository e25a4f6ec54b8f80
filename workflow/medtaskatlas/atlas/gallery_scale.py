"""The scale of an encoder's features over its gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Standard deviations from the gallery's mean beyond which a feature counts no more.
CUT = 5.0
_CHUNK = 4096


@dataclass(frozen=True)
class Scale:
    """Scale of the features over a gallery; see :func:`~medtaskatlas.atlas.embeddings.standardise`.

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
        mean, square = np.zeros((2, gallery.shape[1]))
        for start in range(0, len(gallery), _CHUNK):
            mean += gallery[start : start + _CHUNK].sum(axis=0, dtype=np.float64)
        mean /= len(gallery)
        for start in range(0, len(gallery), _CHUNK):
            square += ((gallery[start : start + _CHUNK] - mean) ** 2).sum(axis=0)
        spread = np.sqrt(square / len(gallery))
        return cls(mean, np.where(spread > 1e-7 * np.maximum(1, np.abs(mean)), spread, 0))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Bring vectors to the gallery's scale.

        Parameters
        ----------
        vectors
            float32 [N, D].

        Returns
        -------
        numpy.ndarray
            float32 [N, D] in -5..5; features that are constant over the gallery are 0.
        """
        out = np.zeros(vectors.shape, np.float32)
        usable = self.spread > 0
        divisor = np.where(usable, self.spread, 1)
        for start in range(0, len(vectors), _CHUNK):
            part = slice(start, start + _CHUNK)
            scaled = np.clip((vectors[part] - self.mean) / divisor, -CUT, CUT)
            out[part] = np.where(usable, scaled, 0)
        return out
