"""Contrastive losses on cosine similarities, each a function of two masks.

Rows are anchors, columns what they are compared with: the batch itself, then the memory. A mask of
positives and one of negatives say everything else, so that failures, memory and draws are no
business of a loss. An anchor without a positive is skipped; so is one without a negative, where the
loss needs one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

LossName = Literal["supcon", "nt_xent", "triplet"]
# Labels that are no task: failures, which are nobody's positive; and what takes no part at all,
# empty places of a memory and pairs in which nothing was done.
FAILURE, EMPTY = -1, -2


@dataclass(frozen=True)
class Compared:
    """Embeddings and what is known of them.

    Attributes
    ----------
    embedding
        float [N, D] of length one.
    label
        int64 [N] task codes, :data:`FAILURE` or :data:`EMPTY`.
    cell
        int64 [N] codes of (task, image); only compared where labels are of tasks.
    """

    embedding: torch.Tensor
    label: torch.Tensor
    cell: torch.Tensor


def masks(anchors: Compared, others: Compared, loss: LossName) -> tuple[torch.Tensor, torch.Tensor]:
    """Who attracts and who repels whom.

    Parameters
    ----------
    anchors
        The batch.
    others
        What it is compared with; begins with the batch itself.
    loss
        ``nt_xent``: positives are other draws of the task on the image, and pairs of the task on
        other images are neither. Otherwise all pairs of the task are positives.

    Returns
    -------
    positive, negative
        bool [N, M]. Nothing is compared with itself. Failures are negatives of every task, and
        positives of nothing.
    """
    same = anchors.label[:, None] == others.label[None]
    negative = ~same & (others.label != EMPTY)[None]
    positive = same & (anchors.label >= 0)[:, None]
    if loss == "nt_xent":
        positive = positive & (anchors.cell[:, None] == others.cell[None])
    # In place: the masks are ours, and no gradient passes them.
    positive.diagonal().fill_(False)
    return positive, negative


def similarities(anchors: Compared, others: Compared) -> torch.Tensor:
    """Cosine similarities.

    Parameters
    ----------
    anchors, others
        N and M embeddings.

    Returns
    -------
    torch.Tensor
        float [N, M].
    """
    first, second = (functional.normalize(c.embedding, dim=1) for c in (anchors, others))
    return first @ second.T


def supcon(
    cosine: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Supervised contrastive loss, the form with the sum outside (Khosla et al., 2020).

    Parameters
    ----------
    cosine
        float [N, M].
    positive, negative
        bool [N, M], see :func:`masks`.
    temperature
        Divides the cosines.

    Returns
    -------
    torch.Tensor
        Scalar: mean over anchors with a positive; the same numbers as SupConLoss of
        pytorch-metric-learning, without its lists of indices.
    """
    logits = cosine / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    log_share = logits - _log_sum(logits, positive | negative)
    weight = positive.to(logits.dtype)
    count = weight.sum(dim=1)
    losses = -((weight * log_share).sum(dim=1) / count.clamp(min=1))
    return _mean(losses, count > 0)


def nt_xent(
    cosine: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Normalised cross-entropy of each positive pair against the anchor's negatives.

    Chen et al. (2020).

    Parameters
    ----------
    cosine
        float [N, M].
    positive, negative
        bool [N, M], see :func:`masks`.
    temperature
        Divides the cosines.

    Returns
    -------
    torch.Tensor
        Scalar: mean over positive pairs.
    """
    logits = cosine / temperature
    # -log(e^p / (e^p + sum e^n)) without leaving logarithms.
    losses = functional.softplus(_log_sum(logits, negative) - logits)
    return _mean(losses, positive)


def triplet(
    cosine: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float
) -> torch.Tensor:
    """Triplets of each anchor with its hardest positive and negative (Hermans et al., 2017).

    Parameters
    ----------
    cosine
        float [N, M].
    positive, negative
        bool [N, M], see :func:`masks`.
    margin
        By how much the positive must be more similar, as a cosine.

    Returns
    -------
    torch.Tensor
        Scalar: mean over anchors that have both.
    """
    # 3 lies outside of -1..1.
    far = cosine.masked_fill(~positive, 3).min(dim=1).values
    near = cosine.masked_fill(~negative, -3).max(dim=1).values
    return _mean((margin + near - far).relu(), positive.any(dim=1) & negative.any(dim=1))


def _log_sum(logits: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum of exponentials of what is kept, [N, 1]; lowest number for nothing."""
    # Not minus infinity: its gradient is no number where nothing is kept.
    lowest = torch.finfo(logits.dtype).min
    return torch.logsumexp(logits.masked_fill(~keep, lowest), dim=1, keepdim=True)


def _mean(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Mean of what is kept; zero, with a gradient of zero, where nothing is.

    Without a look at how many there are, which would make a GPU wait.
    """
    return values.masked_fill(~keep, 0).sum() / keep.sum().clamp(min=1)
