"""Debiased linear CKA: how alike two embeddings arrange the same pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtaskatlas.atlas.comparisons.hsic import Kernel, debiased_hsic
from medtaskatlas.atlas.vectors import CONSTANT
from medtaskatlas.core.errors import DataError

MIN_PAIRS = 4


def debiased_cka(one: np.ndarray, other: np.ndarray) -> float:
    r"""Debiased linear CKA of two embeddings.

    :math:`HSIC_u(K, L) / \sqrt{HSIC_u(K, K)\,HSIC_u(L, L)}` with linear kernels (Kornblith et al.,
    2019) and the unbiased estimator of HSIC (Song et al., 2012; Nguyen et al., 2021). Unlike plain
    CKA it does not rise with the number of dimensions where pairs are few. Never makes an N x N
    matrix unless that is the smaller one: cost N D1 D2.

    Parameters
    ----------
    one, other
        float [N, D1] and [N, D2], the same rows.

    Returns
    -------
    float
        1 for the same geometry up to rotation, shift and scale; 0 on average where there is no
        relation (so slightly negative values happen); NaN where an embedding is constant.

    Raises
    ------
    DataError
        If rows differ in number, are fewer than four, or a value is not finite.
    """
    _check(one, other)
    x, y = centred(one), centred(other)
    if x is None or y is None:
        return float("nan")
    one_kernel, other_kernel = Kernel.of(x), Kernel.of(y)
    return float(
        cka_ratio(
            debiased_hsic(one_kernel, other_kernel),
            debiased_hsic(one_kernel, one_kernel),
            debiased_hsic(other_kernel, other_kernel),
        )
    )


def cka_ratio(cross: Any, one: Any, other: Any) -> Any:
    """CKA of its three parts.

    Parameters
    ----------
    cross
        HSIC of the two embeddings; a number, or float [B].
    one, other
        HSIC of each with itself, alike.

    Returns
    -------
    float or numpy.ndarray
        As ``cross``; NaN where a self-similarity is not above 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(np.where((one > 0) & (other > 0), one * other, np.nan))
        value = cross / scale
    return float(value) if np.ndim(value) == 0 else value


def centred(vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray | None:
    """Vectors around their mean.

    Parameters
    ----------
    vectors
        float [N, D].
    inplace
        Whether to write over them, which spares their memory.

    Returns
    -------
    numpy.ndarray or None
        float [N, D]; None where all rows are the same but for rounding.
    """
    size = np.einsum("nd,nd->", vectors, vectors, dtype=np.float64)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(vectors.dtype)
    moved = np.subtract(vectors, mean, out=vectors if inplace else None)
    spread = np.einsum("nd,nd->", moved, moved, dtype=np.float64)
    return None if spread <= CONSTANT * size else moved


def _check(one: np.ndarray, other: np.ndarray) -> None:
    """Refuse what CKA is not defined for."""
    remedy = "give two embeddings of the same four or more pairs, without NaN"
    if len(one) != len(other):
        raise DataError(f"CKA: {len(one)} rows in one embedding, {len(other)} in the other", remedy)
    if len(one) < MIN_PAIRS:
        raise DataError(f"CKA: {len(one)} rows, at least {MIN_PAIRS} are needed", remedy)
    for which, vectors in (("first", one), ("second", other)):
        bad = int((~np.isfinite(vectors)).any(axis=1).sum())
        if bad:
            raise DataError(f"CKA: {bad} rows of the {which} embedding are not finite", remedy)
