"""That an embedding moves away from the unchanged pair as a task grows stronger.

Contrast alone makes all severities of a task one point: the embedding jumps and stays. Beside it,
this term asks for a distance that grows with severity, from the pair in which nothing was done to
the image. It compares pairs of a batch, which are of different images; no trajectory is learned
from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from medtaskatlas.encoders.taco.losses import EMPTY

FEWEST = 3
# Keeps the gradient of a length of nothing a number.
_TINY = 1e-12


@dataclass(frozen=True)
class Degrees:
    """How strongly the task of each pair was done, and to which image.

    Attributes
    ----------
    severity
        float32 [N], 0 to 1; NaN where the task has no ladder.
    image
        int64 [N] codes of images; that of an unchanged pair is the image it shows.
    """

    severity: torch.Tensor
    image: torch.Tensor


def unsteadiness(
    embedding: torch.Tensor, label: torch.Tensor, degrees: Degrees, n_tasks: int
) -> torch.Tensor:
    """One minus Pearson's correlation of severity and displacement, mean over tasks.

    Parameters
    ----------
    embedding
        float [N, D] of length one.
    label
        int64 [N] task codes; unchanged pairs have :data:`~medtaskatlas.encoders.taco.losses.EMPTY`.
    degrees
        Severities and images.
    n_tasks
        Number of task codes.

    Returns
    -------
    torch.Tensor
        Scalar, 0 to 2: over the tasks of which :data:`FEWEST` pairs have a severity and an
        unchanged pair of their image; 0, with a gradient of zero, where there is no such task.
    """
    severity = degrees.severity
    own = (degrees.image[:, None] == degrees.image[None]) & (label == EMPTY)[None]
    counts = own.any(dim=1) & ~severity.isnan() & (label >= 0)
    away = embedding - embedding[own.to(torch.uint8).argmax(dim=1)]
    displacement = ((away**2).sum(dim=1) + _TINY).sqrt()
    member = functional.one_hot(label.clamp(min=0), n_tasks).to(embedding.dtype)
    member = member * counts[:, None]
    number = member.sum(dim=0)
    first, second = (
        _within(member, number, values)
        for values in (severity.nan_to_num().to(embedding.dtype), displacement)
    )
    size = ((first**2).sum(dim=0) * (second**2).sum(dim=0) + _TINY).sqrt()
    lost = 1 - (first * second).sum(dim=0) / size
    kept = number >= FEWEST
    return lost.masked_fill(~kept, 0).sum() / kept.sum().clamp(min=1)


def _within(member: torch.Tensor, number: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Values less their task's mean, [N, T]; 0 for other tasks."""
    mean = (member * values[:, None]).sum(dim=0) / number.clamp(min=1)
    return member * (values[:, None] - mean)
