"""Weightings whose formulas are torchjd's, and all of them by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchjd import aggregation, scalarization
from torchjd.linalg import DualConeProjector

from medtaskatlas.multitask.weighting import PLAIN, Aggregation, Maker, Scalariser

# Smoothness of the largest loss in STCH; its paper has 0.01 to 1.
SMOOTHNESS = 0.1
# Radius of CAGrad's ball (its paper's choice for two to three targets).
RADIUS = 0.4


class Learned(Scalariser):
    """A weight a target that is learned with the network: uncertainty (2018), IMTL-L (2021)."""

    def __init__(self, targets: Sequence[str], kind: Any) -> None:
        super().__init__(targets)
        self.kind = kind
        [(self.name, made)] = kind(len(self.targets)).named_parameters()
        self.scale = made

    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Loss of the targets that are there, by their own weights."""
        own = {self.name: self.scale[place]}
        return torch.func.functional_call(self.kind(len(place)), own, (values,))


class Stch(Scalariser):
    """Smooth largest loss (Lin et al., 2024)."""

    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Smooth maximum of the losses."""
        return scalarization.STCH(SMOOTHNESS)(values)


class Nash(Aggregation):
    """Bargaining between targets (Navon et al., 2022), from the weights of the step before."""

    weights: torch.Tensor

    def __init__(self, targets: Sequence[str]) -> None:
        makers = {n: aggregation.NashMTL(n) for n in range(2, len(targets) + 1)}
        super().__init__(targets, lambda jacobian: makers[len(jacobian)](jacobian))
        self.makers = makers
        self.register_buffer("weights", torch.ones(len(self.targets)))

    def aggregate(self, jacobian: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Bargain, and keep the weights by target."""
        inner = self.makers[len(place)].weighting
        inner.prvs_alpha = self.weights[place].cpu().numpy().astype("float32")
        gradient = super().aggregate(jacobian, place)
        self.weights[place] = torch.as_tensor(inner.prvs_alpha).to(self.weights)
        return gradient


class NonNegative(DualConeProjector):
    """Projection onto the dual cone of gradients by non-negative least squares.

    The least v'Gv with v >= u is that of |L'(u + w)| with w >= 0, where G = LL'. torchjd's own
    projector needs quadprog, whose licence is the GPL.
    """

    def __call__(self, U: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
        """Weights of the projections of the rows of U, float [m, m], by the Gramian G."""
        import numpy as np
        from scipy.optimize import nnls

        gramian = G.detach().cpu().double().numpy()
        scaled = gramian / max(np.trace(gramian), np.finfo(float).tiny)
        root = np.linalg.cholesky(scaled + 1e-4 * np.eye(len(scaled))).T
        found = [u + nnls(root, -root @ u)[0] for u in U.detach().cpu().double().numpy()]
        return torch.as_tensor(np.array(found)).to(G)


# All that there are.
WEIGHTINGS: dict[str, Maker] = PLAIN | {
    "uncertainty": lambda targets, _: Learned(targets, scalarization.UW),
    "imtl_l": lambda targets, _: Learned(targets, scalarization.IMTLL),
    "stch": lambda targets, _: Stch(targets),
    "sum": lambda targets, _: Aggregation(targets, aggregation.Sum()),
    "pcgrad": lambda targets, _: Aggregation(targets, aggregation.PCGrad()),
    "mgda": lambda targets, _: Aggregation(targets, aggregation.MGDA()),
    "imtl_g": lambda targets, _: Aggregation(targets, aggregation.IMTLG()),
    "aligned_mtl": lambda targets, _: Aggregation(targets, aggregation.AlignedMTL()),
    "upgrad": lambda targets, _: Aggregation(targets, aggregation.UPGrad(projector=NonNegative())),
    "cagrad": lambda targets, _: Aggregation(targets, aggregation.CAGrad(RADIUS)),
    "nash_mtl": lambda targets, _: Nash(targets),
}
