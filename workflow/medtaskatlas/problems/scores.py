"""Scores of targets from statistics of single images, for many bootstrap draws at once.

A training writes, for every image and target, a row of numbers from which all scores follow
(``Target.statistics``), so that tables draw images again without running a network. Its layout is
said by the kind of statistics, a key of :data:`SCORES`; C is a number of classes, that of labels
is L. A row stands for one image; for ``dose`` and ``dvh`` for all slices of a group.

================ =============================================================== ===============
kind             statistics of a row                                             columns
================ =============================================================== ===============
``segmentation`` pixels in common, then predicted, then true, of classes 1 to C  3 C
``class``        probabilities of the classes 0 to C - 1, then the label         C + 1
``ordinal``      the same, of grades                                             C + 1
``labels``       probabilities of the labels, then 1 where one is true, else 0   2 L
``map``          mean absolute error, that of the training median, root mean     4
                 square error, range in training: all in its unit, valid pixels
``dose``         mean absolute error over the voxels that can have a dose, Gy    1
``dvh``          absolute differences of dose-volume metrics, Gy; NaN where the  metrics
                 structure is not there
``value``        absolute error, that of the training median, in the unit        2
``objects``      centres matched, predicted, true                                3
``picture``      structural similarity, mean square error (grey levels 0 to 1)   2
================ =============================================================== ===============
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

Compute = Callable[[np.ndarray, np.ndarray], np.ndarray]
TARGET_UNIT = "target"  # unit of a score that has the unit of its target
# Draws at a time: bounds the memory of what is computed for each image and draw.
_CHUNK = 256
# Square error of rounding to 256 grey levels: no picture of 8 bits can be told to be nearer.
_ROUNDING = 1 / (12 * 255**2)
# Kinds of statistics that begin with probabilities.
PROBABILITIES = ("class", "ordinal", "labels")
_ROUNDED = 1e-3  # how far sums of probabilities may be from 1


@dataclass(frozen=True)
class Score:
    """One way to score a target.

    Attributes
    ----------
    name
        Identifier, unique among the scores of a kind of statistics.
    unit
        ``1`` for shares, ``dB``, ``Gy``, or :data:`TARGET_UNIT`.
    higher_is_better
        Direction.
    low, high
        Bounds; None where there is none.
    of_draws
        Maps statistics [N, K] and weights [D, N], both float64, to scores [D].
    """

    name: str
    unit: str
    higher_is_better: bool
    low: float | None
    high: float | None
    of_draws: Compute

    def compute(self, statistics: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Score of every bootstrap draw.

        Parameters
        ----------
        statistics
            [N, K], a row an image.
        weights
            [D, N], how often each draw has each image; None: every image once, D = 1.

        Returns
        -------
        numpy.ndarray
            float64 [D]; NaN where a draw has nothing that the score is of.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        rows = np.asarray(statistics, float)
        draws = np.ones((1, len(rows))) if weights is None else np.asarray(weights, float)
        if rows.ndim != 2 or draws.ndim != 2 or draws.shape[1] != len(rows):
            raise ValueError(f"statistics {rows.shape} and weights {draws.shape} do not fit")
        if not len(rows):
            return np.full(len(draws), np.nan)
        parts = (draws[i : i + _CHUNK] for i in range(0, len(draws), _CHUNK))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([self.of_draws(rows, part) for part in parts])


def scores_of(kind: str, columns: int, classes: Sequence[str] = ()) -> tuple[Score, ...]:
    """Scores of a kind of statistics, the primary one first, and of each class of a mask.

    Parameters
    ----------
    kind
        Kind of statistics.
    columns
        Number of statistics a row.
    classes
        Names of the foreground classes, where the kind is ``segmentation``; a class has the score
        ``dice.<name>``.
    """
    if kind != "segmentation":
        return SCORES[kind]
    if columns != 3 * len(classes):
        raise ValueError(f"{columns} statistics are not those of {len(classes)} classes")
    each = (
        Score(f"dice.{name}", "1", True, 0, 1, partial(_dice, classes=[i]))
        for i, name in enumerate(classes)
    )
    return (*SCORES[kind], *each)


def absent_classes(kind: str, statistics: np.ndarray) -> list[int]:
    """Classes or labels, from 0, that no truth has: scores leave them out, and a note must say so.

    Empty for kinds without classes; of ``objects`` [0] where there is none.
    """
    rows = np.asarray(statistics)
    match kind:
        case "segmentation" | "labels":
            found = rows[:, -(rows.shape[1] // (3 if kind == "segmentation" else 2)) :].any(axis=0)
        case "class" | "ordinal":
            found = np.isin(np.arange(rows.shape[1] - 1), rows[:, -1])
        case "objects":
            found = rows[:, [2]].any(axis=0)
        case _:
            return []
    return np.flatnonzero(~found).tolist()


def check_statistics(kind: str, statistics: np.ndarray) -> None:
    """Refuse what gives a wrong score without an error: logits, and labels that are no class.

    Raises
    ------
    ValueError
        If what must be probabilities is not within 0 and 1, does not sum to 1 over classes, or a
        truth is none; says what was found.
    """
    if kind not in PROBABILITIES:
        return
    rows = np.asarray(statistics, float)
    split = rows.shape[1] // 2 if kind == "labels" else rows.shape[1] - 1
    said, truth = rows[:, :split], rows[:, split:]
    if ((said < 0) | (said > 1)).any():
        raise ValueError(f"has {said.min():.3g} to {said.max():.3g} for probabilities")
    sums = said.sum(axis=1)
    if kind != "labels" and (np.abs(sums - 1) > _ROUNDED).any():
        raise ValueError(
            f"has probabilities of classes that sum to {sums[np.abs(sums - 1).argmax()]:.3g}"
        )
    highest = 1 if kind == "labels" else split - 1
    known = truth[np.isfinite(truth)]
    if not np.isin(known, np.arange(highest + 1)).all():
        raise ValueError(f"has truths of {known.min():g} to {known.max():g}, not 0 to {highest}")


def mean_of_draws(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [D, ...] of values [N, ...] for weights [D, N]; NaN is left out."""
    flat = values.reshape(len(values), -1)
    there = np.isfinite(flat)
    means = (weights @ np.where(there, flat, 0)) / (weights @ there)
    return means.reshape(len(weights), *values.shape[1:])


def auc_of_draws(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties count half (Mann and Whitney, 1947).

    Parameters
    ----------
    score
        [N], higher where the label is likelier.
    positive
        bool [N].
    weights
        [D, N].

    Returns
    -------
    numpy.ndarray
        [D]; NaN where a draw has no positives or no negatives.
    """
    order = np.argsort(score, kind="stable")
    sorted_scores = score[order]
    starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
    weight, right = weights[:, order], positive[order]
    above = np.add.reduceat(weight * right, starts, axis=1)
    below = np.add.reduceat(weight * ~right, starts, axis=1)
    beaten = np.cumsum(below, axis=1) - below / 2
    return (above * beaten).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))


def _dice(rows: np.ndarray, weights: np.ndarray, classes: list[int] | None = None) -> np.ndarray:
    """Dice of each image and class, averaged over images and then over classes.

    An image that has a class neither in truth nor in prediction says nothing of it; one that has
    it in the prediction alone counts 0 (as nnU-Net does).
    """
    common, predicted, true = np.split(rows, 3, axis=1)
    dice = 2 * common / (predicted + true)
    chosen = dice if classes is None else dice[:, classes]
    return _mean_of_defined(mean_of_draws(chosen, weights))


def _pooled_dice(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Dice of the pixels of all images together, averaged over classes."""
    common, predicted, true = np.split(weights @ rows, 3, axis=1)
    return _mean_of_defined(2 * common / (predicted + true))


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Means [D] of [D, C] over what is no NaN; NaN where all is."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)


def _right(rows: np.ndarray) -> np.ndarray:
    """Whether the most probable class is the true one, float [N]."""
    return (rows[:, :-1].argmax(axis=1) == rows[:, -1]).astype(float)


def _accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the images whose most probable class is the true one."""
    return mean_of_draws(_right(rows), weights)


def _balanced_accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that a draw has; NaN where it has one alone."""
    is_class = np.eye(rows.shape[1] - 1)[rows[:, -1].astype(int)]
    there = weights @ is_class
    recall = (weights @ (is_class * _right(rows)[:, None])) / there
    return np.where((there > 0).sum(axis=1) > 1, _mean_of_defined(recall), np.nan)


def _macro_auc(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean area under the ROC curve, each class against the rest, of classes that a draw has.

    Of two classes that of the last one alone: the other has the same, but where rounding ties it.
    """
    label = rows[:, -1]
    C = rows.shape[1] - 1
    classes = [1] if C == 2 else range(C)
    aucs = [auc_of_draws(rows[:, c], label == c, weights) for c in classes]
    return _mean_of_defined(np.stack(aucs, axis=1))


def _kappa(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Agreement beyond chance with quadratic weights (Cohen, 1968)."""
    C = rows.shape[1] - 1
    true, predicted = rows[:, -1].astype(int), rows[:, :-1].argmax(axis=1)
    confusion = (weights @ np.eye(C * C)[true * C + predicted]).reshape(len(weights), C, C)
    by_chance = np.einsum("dij,dkl->dil", confusion, confusion)
    cost = (np.arange(C)[:, None] - np.arange(C)) ** 2
    total = confusion.sum(axis=(1, 2))
    return 1 - total * (confusion * cost).sum(axis=(1, 2)) / (by_chance * cost).sum(axis=(1, 2))


def _grade_error(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute difference of the most probable and the true grade."""
    return mean_of_draws(np.abs(rows[:, :-1].argmax(axis=1) - rows[:, -1]), weights)


def _labels(rows: np.ndarray, weights: np.ndarray, *, auc: bool) -> np.ndarray:
    """Mean over labels of the area under the ROC curve, or of the accuracy at 0.5."""
    probabilities, truth = np.split(rows, 2, axis=1)
    true = truth > 0.5
    if not auc:
        right = ((probabilities > 0.5) == true).mean(axis=1)
        return mean_of_draws(right, weights)
    aucs = [auc_of_draws(p, t, weights) for p, t in zip(probabilities.T, true.T, strict=True)]
    return _mean_of_defined(np.stack(aucs, axis=1))


def _column(rows: np.ndarray, weights: np.ndarray, *, column: int) -> np.ndarray:
    """Mean of one statistic over images."""
    return mean_of_draws(rows[:, column], weights)


def _skill(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """B / (B + M) of the mean absolute error M and that of the training median B.

    1 is perfect, 0.5 no better than the median, towards 0 worse: bounded without clipping.
    """
    error, median = mean_of_draws(rows[:, :2], weights).T
    return median / (median + error)


def _within_range(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 minus the mean absolute error as a share of the range of the map."""
    return 1 - mean_of_draws(rows[:, 0] / rows[:, 3], weights)


def _dvh(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over all metrics that are defined, of all groups together, as OpenKBP's own score."""
    there = np.isfinite(rows)
    return (weights @ np.where(there, rows, 0).sum(axis=1)) / (weights @ there.sum(axis=1))


def _detection(rows: np.ndarray, weights: np.ndarray, *, of: str) -> np.ndarray:
    """F1, precision or recall of the centres of all images together."""
    matched, predicted, true = (weights @ rows).T
    return {
        "f1": 2 * matched / (predicted + true),
        "precision": matched / predicted,
        "recall": matched / true,
    }[of]


def _psnr(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean peak signal-to-noise ratio, at most that of rounding to 8 bits."""
    return mean_of_draws(-10 * np.log10(np.maximum(rows[:, 1], _ROUNDING)), weights)


_OF_CLASSES = (
    Score("balanced_accuracy", "1", True, 0, 1, _balanced_accuracy),
    Score("macro_auc", "1", True, 0, 1, _macro_auc),
    Score("accuracy", "1", True, 0, 1, _accuracy),
)
SCORES: dict[str, tuple[Score, ...]] = {
    "segmentation": (
        Score("dice", "1", True, 0, 1, _dice),
        Score("pooled_dice", "1", True, 0, 1, _pooled_dice),
    ),
    "class": _OF_CLASSES,
    "ordinal": (
        Score("quadratic_kappa", "1", True, -1, 1, _kappa),
        *_OF_CLASSES,
        Score("grade_error", "grades", False, 0, None, _grade_error),
    ),
    "labels": (
        Score("mean_auc", "1", True, 0, 1, partial(_labels, auc=True)),
        Score("mean_accuracy", "1", True, 0, 1, partial(_labels, auc=False)),
    ),
    "map": (
        Score("skill", "1", True, 0, 1, _skill),
        Score("within_range", "1", True, None, 1, _within_range),
        Score("mae", TARGET_UNIT, False, 0, None, partial(_column, column=0)),
        Score("rmse", TARGET_UNIT, False, 0, None, partial(_column, column=2)),
    ),
    "dose": (Score("dose_score", "Gy", False, 0, None, partial(_column, column=0)),),
    "dvh": (Score("dvh_score", "Gy", False, 0, None, _dvh),),
    "value": (
        Score("skill", "1", True, 0, 1, _skill),
        Score("mae", TARGET_UNIT, False, 0, None, partial(_column, column=0)),
    ),
    "objects": (
        Score("f1", "1", True, 0, 1, partial(_detection, of="f1")),
        Score("precision", "1", True, 0, 1, partial(_detection, of="precision")),
        Score("recall", "1", True, 0, 1, partial(_detection, of="recall")),
    ),
    "picture": (
        Score("ssim", "1", True, -1, 1, partial(_column, column=0)),
        Score("psnr", "dB", True, None, None, _psnr),
    ),
}
