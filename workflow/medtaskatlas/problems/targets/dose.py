"""Scores of a dose over the slices of a patient, as in OpenKBP.

Babier et al., Medical Physics 48:5549-5561 (2021). The dose score is the mean absolute error over
the voxels that can have a dose. The DVH score is the mean absolute difference of dose-volume
metrics: D99, D95 and D1 of targets (the doses that 99, 95 and 1 % of it get at least) and, of
organs, the mean and D0.1cc (the dose that the hottest 0.1 cm3 get at least).
"""

from __future__ import annotations

import re

import numpy as np

# Percentile of the doses of a target that each metric is.
TARGET_METRICS = {"D99": 1, "D95": 5, "D1": 99}
ORGAN_METRICS = ("mean", "D0.1cc")
_TARGET = re.compile(r"\b(PTV|CTV|GTV)", re.IGNORECASE)


def is_target(structure: str) -> bool:
    """Whether a structure is to be irradiated, by its name (PTV, CTV, GTV)."""
    return bool(_TARGET.search(structure))


def metric_names(structures: tuple[str, ...]) -> list[tuple[str, str]]:
    """Structure and metric of each of the DVH statistics."""
    return [
        (structure, metric)
        for structure in structures
        for metric in (TARGET_METRICS if is_target(structure) else ORGAN_METRICS)
    ]


def dose_statistics(
    dose: np.ndarray,
    true: np.ndarray,
    possible: np.ndarray,
    mask: np.ndarray,
    *,
    structures: tuple[str, ...],
    voxel_mm3: float | None,
) -> dict[str, np.ndarray]:
    """Statistics of the kinds ``dose`` and ``dvh`` of one patient.

    Parameters
    ----------
    dose, true
        Predicted and planned dose, Gy, of one shape.
    possible
        Where a dose is possible; elsewhere both are 0.
    mask
        Ids of the structures, 1 for the first one.
    structures
        Their names.
    voxel_mm3
        Volume of a voxel; None where it is not known: D0.1cc is then NaN.

    Returns
    -------
    dict
        ``dose`` [1], and ``dvh`` [metrics] in the order of :func:`metric_names`, NaN where the
        patient has no such structure.
    """
    dose, true = np.where(possible, dose, 0), np.where(possible, true, 0)
    error = np.abs(dose - true).sum() / possible.sum() if possible.any() else np.nan
    differences = []
    for number, structure in enumerate(structures, 1):
        inside = mask == number
        ours, theirs = (_metrics(d[inside], structure, voxel_mm3) for d in (dose, true))
        differences += [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return {
        "dose": np.array([error], np.float32),
        "dvh": np.array(differences, np.float32),
    }


def _metrics(doses: np.ndarray, structure: str, voxel_mm3: float | None) -> list[float]:
    """Metrics of the doses of one structure; NaN where it has no voxel."""
    if is_target(structure):
        if not len(doses):
            return [np.nan] * len(TARGET_METRICS)
        return [float(p) for p in np.percentile(doses, list(TARGET_METRICS.values()))]
    if not len(doses):
        return [np.nan] * len(ORGAN_METRICS)
    hottest = np.nan
    if voxel_mm3 is not None:
        voxels = max(1, round(100 / voxel_mm3))
        hottest = float(np.percentile(doses, max(0.0, 100 - 100 * voxels / len(doses))))
    return [float(doses.mean()), hottest]
