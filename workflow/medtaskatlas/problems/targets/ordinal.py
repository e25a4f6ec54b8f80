"""One grade of a whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medtaskatlas.problems.targets.label import Label

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Ordinal(Label):
    """The label, whose classes have an order.

    The network says of each grade but the last whether the true one is higher; loss: mean binary
    cross-entropy (Li and Lin, Ordinal regression by extended binary classification, 2006). So a
    mistake costs more the farther it is off, as it does in the quadratic kappa. Without weights:
    the kappa does not count classes alike.
    """

    kind: ClassVar[str] = "ordinal"
    statistics_kind: ClassVar[str] = "ordinal"
    label_kinds: ClassVar[tuple[str, ...]] = ("ordinal",)

    @staticmethod
    def _channels(n_classes: int) -> int:
        """One a threshold."""
        return n_classes - 1

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Binary cross-entropy of the thresholds."""
        import torch
        from torch.nn import functional

        thresholds = torch.arange(self.channels, device=output.device)
        higher = (truth[:, None] > thresholds).to(output.dtype)
        return functional.binary_cross_entropy_with_logits(output, higher)

    def probabilities(self, output: Tensor) -> Tensor:
        """Differences of the probabilities to be higher, made to fall."""
        import torch

        higher = output.sigmoid().cummin(1).values
        ends = higher.new_ones(len(higher), 1), higher.new_zeros(len(higher), 1)
        return -torch.cat([ends[0], higher, ends[1]], dim=1).diff(dim=1)

    def output(self, probabilities: Tensor) -> Tensor:
        """What :meth:`probabilities` makes these of: log-odds to be higher than each grade."""
        higher = probabilities.flip(1).cumsum(1).flip(1)[:, 1:]
        return higher.logit(eps=1e-7)
