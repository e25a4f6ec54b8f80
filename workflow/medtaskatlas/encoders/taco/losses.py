"""Losses of TaCo: contrast between tasks, names of tasks, and steadiness along severity.

Labels are codes of tasks. Pairs of no task have :data:`FAILURE`, a negative of every task and the
positive of nothing, or :data:`EMPTY`: pairs in which nothing was done, which are not contrasted.
"""

from __future__ import annotations

import torch
from torch.nn import functional

FAILURE, EMPTY = -1, -2
FEWEST = 3
# Keeps the gradient of a length of nothing a number.
_TINY = 1e-12


def supcon(embedding: torch.Tensor, label: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss of [N, D] and labels [N] (Khosla et al., 2020, sum outside).

    Mean over anchors with a positive; 0, with a gradient of zero, where there is none.
    """
    same = label[:, None] == label[None]
    negative = ~same & (label != EMPTY)[None]
    positive = same & (label >= 0)[:, None]
    # In place: the mask is ours, and no gradient passes it.
    positive.diagonal().fill_(False)
    first, second = (functional.normalize(embedding, dim=1) for _ in range(2))
    logits = first @ second.T / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    # Not minus infinity: its gradient is no number where nothing is kept.
    lowest = torch.finfo(logits.dtype).min
    compared = logits.masked_fill(~(positive | negative), lowest)
    log_share = logits - torch.logsumexp(compared, dim=1, keepdim=True)
    weight = positive.to(logits.dtype)
    count = weight.sum(dim=1)
    losses = -((weight * log_share).sum(dim=1) / count.clamp(min=1))
    # Without a look at how many there are, which would make a GPU wait.
    return losses.masked_fill(~(count > 0), 0).sum() / (count > 0).sum().clamp(min=1)


def classification(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over tasks, logits [N, tasks]; what is of no task takes no part."""
    return functional.cross_entropy(logits, label.clamp(min=FAILURE), ignore_index=FAILURE)


def unsteadiness(
    embedding: torch.Tensor,
    label: torch.Tensor,
    severity: torch.Tensor,
    image: torch.Tensor,
    n_tasks: int,
) -> torch.Tensor:
    """One minus Pearson's correlation of severity and displacement, mean over tasks: 0 to 2.

    Contrast alone makes all severities of a task one point. Displacement is the distance from the
    unchanged pair of the image. Tasks with fewer than :data:`FEWEST` such pairs do not count.
    """
    own = (image[:, None] == image[None]) & (label == EMPTY)[None]
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
