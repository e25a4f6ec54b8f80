"""Whether two datasets of one modality lie nearer than two of different ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medtaskatlas.atlas.clusters.statistics import anosim_r
from medtaskatlas.atlas.inference import centred_interval, no_interval, permutation_p
from medtaskatlas.atlas.seed_spread import over_seeds

FEW_ARRANGEMENTS = 40  # of modalities over datasets: p could hardly be small
SAMPLED_PAIRS = 4000
SAMPLED = f"from about {SAMPLED_PAIRS} pairs of all datasets at most"
Rows = Iterator[dict[str, Any]]


def modality_rows(
    matrices: np.ndarray,
    boot: np.ndarray | None,
    modality: np.ndarray,
    *,
    fewest: int,
    rng: np.random.Generator,
    n_permutations: int,
) -> Rows:
    """Mean distance of datasets of one modality and of two, and the tests of their difference.

    Modalities are permuted over the datasets, whose distances stay: a Mantel test with a matrix of
    likeness (Legendre and Legendre, Numerical Ecology, 2012, section 10.5), and ANOSIM (Clarke,
    1993).

    Parameters
    ----------
    matrices
        float [S, D, D], distances of each seed; NaN where one is unknown.
    boot
        float [B, D, D], distances on bootstrap draws; None where there are none.
    modality
        [D] names.
    fewest
        Groups of the dataset that has fewest.
    rng
        Generator.
    n_permutations
        Number of permutations.

    Yields
    ------
    dict
        Rows of `dataset_distances` with their ``level``; ``p`` where there is a test.
    """
    D = len(modality)
    at = np.triu_indices(D, 1)
    values = matrices[:, at[0], at[1]]  # [S, pairs]
    known = np.isfinite(values).all(axis=0)
    _, code = np.unique(modality.astype(str), return_inverse=True)
    same = (code[at[0]] == code[at[1]]) & known
    other = (code[at[0]] != code[at[1]]) & known
    difference: dict[str, Any] = {
        "level": "modality_difference",
        "n_dataset_pairs": int(known.sum()),
    }
    if not (same.any() and other.any()):
        note = "undefined: one dataset only"
        if D > 1:
            lack = "share a modality" if other.any() else "are of different modalities"
            note = f"undefined: no two datasets {lack}"
        yield difference | {"note": note}
        return
    sides = {"one_modality": same, "two_modalities": other}
    each = {level: values[:, rows].mean(axis=1) for level, rows in sides.items()}
    S = len(matrices)

    def interval(of: dict[str, float], estimate: float, floor: float) -> dict[str, Any]:
        if boot is None:
            return vars(no_interval(f"no interval: {SAMPLED}"))
        flat = boot[:, at[0], at[1]]
        draws = sum(sign * flat[:, sides[level]].mean(axis=1) for level, sign in of.items())
        return vars(
            centred_interval(
                np.asarray(draws),
                estimate,
                n_groups=fewest,
                n_datasets=1,
                n_seeds=S,
                low=floor,
                side="a dataset",
            )
        )

    for level, rows in sides.items():
        mean = float(each[level].mean())
        yield {
            "level": level,
            "n_dataset_pairs": int(rows.sum()),
            **over_seeds(each[level]),
            **interval({level: 1.0}, mean, 0.0),
        }
    orders = rng.permuted(np.tile(code, (n_permutations, 1)), axis=1)
    apart = values.mean(axis=0)
    null = _differences(apart, orders, at, known)
    gap = each["two_modalities"] - each["one_modality"]
    null = null[np.isfinite(null)]
    row = difference | over_seeds(gap) | {"p": permutation_p(float(gap.mean()), null)}
    row |= interval({"two_modalities": 1.0, "one_modality": -1.0}, float(gap.mean()), -np.inf)
    arrangements = len(np.unique(null.round(9)))
    if arrangements < FEW_ARRANGEMENTS:
        caution = f"p can be no less than about {1 / max(arrangements, 1):.2g}: few datasets"
        row["note"] = "; ".join(filter(None, [row["note"], caution]))
    yield row
    if known.all():
        square = np.zeros((D, D))
        square[at] = apart
        square += square.T
        R = float(anosim_r(square, code[None])[0])
        yield {
            **difference,
            "level": "anosim",
            "estimate": R,
            "p": permutation_p(R, anosim_r(square, orders)),
            "note": "no interval: a test statistic",
        }


def _differences(
    apart: np.ndarray, codes: np.ndarray, at: tuple[np.ndarray, ...], known: np.ndarray
) -> np.ndarray:
    """Mean distance of unlike minus that of like, for many labellings [P, D]; NaN: none of one."""
    same = (codes[:, at[0]] == codes[:, at[1]])[:, known].astype(float)
    value = apart[known]
    like = same.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = same @ value
        return (value.sum() - inside) / (len(value) - like) - inside / like
