"""Weightings: how the losses of several targets become one step.

Scalarisers make one loss of them; aggregators make one gradient of theirs, where parameters are
shared. What changes from step to step is kept here by target, in buffers, so that it is in every
checkpoint and a target may be missing from a batch. Those whose formulas are torchjd's stand in
:mod:`medtaskatlas.multitask.torchjd_weightings`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from medtaskatlas.core.errors import ConfigError, nearest

# Of DWA and FAMO, as their papers have them.
TEMPERATURE = 2.0
FAMO_RATE, FAMO_DECAY = 0.025, 1e-3
_TINY = 1e-8

Losses = Mapping[str, torch.Tensor]
Descend = Callable[[torch.Tensor], None]


class Weighting(nn.Module, ABC):
    """What makes one step of the losses of targets; its state is by target.

    Parameters
    ----------
    targets
        Names of all targets of the training.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__()
        self.targets = list(targets)

    @abstractmethod
    def backward(
        self, losses: Losses, parameters: Sequence[nn.Parameter], descend: Descend
    ) -> torch.Tensor:
        """Leave gradients in the parameters, and return what the history shows.

        Parameters
        ----------
        losses
            Scalars of the targets that are there in this step.
        parameters
            Those of the network that are trained in this step.
        descend
            The backward pass of a scalar as the precision needs it.
        """

    def after_step(self, losses: Losses) -> None:
        """Take in the losses of the same batch by the new weights; see ``looks_again``."""

    looks_again = False  # whether `after_step` is wanted, which costs a forward pass

    def place(self, losses: Losses) -> torch.Tensor:
        """Places of the targets that are there, int64 [n], on the device of the losses."""
        device = next(iter(losses.values())).device
        return torch.tensor([self.targets.index(name) for name in losses], device=device)


class Scalariser(Weighting):
    """One loss of all, on which the usual backward pass is run."""

    def backward(
        self, losses: Losses, parameters: Sequence[nn.Parameter], descend: Descend
    ) -> torch.Tensor:
        """Descend the weighted loss."""
        loss = self.scalar(torch.stack(list(losses.values())), self.place(losses))
        descend(loss)
        return loss

    @abstractmethod
    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """One loss of those of the targets at some places, float [n]."""


class Fixed(Scalariser):
    """Sum with fixed weights by target, 1 where none is given."""

    weights: torch.Tensor

    def __init__(self, targets: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__(targets)
        given = weights or {}
        values = [float(given.get(name, 1.0)) for name in self.targets]
        self.register_buffer("weights", torch.tensor(values))

    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Weighted sum."""
        return (self.weights[place] * values).sum()


class Dwa(Scalariser):
    """Dynamic weight averages (Liu et al., 2019): more weight for a loss that falls more slowly.

    That of torchjd keeps its state out of `state_dict`, and is the oracle of the tests. An epoch is
    so many steps; a target counts in those in which it is there.
    """

    sums: torch.Tensor
    counts: torch.Tensor
    means: torch.Tensor
    steps: torch.Tensor

    def __init__(self, targets: Sequence[str], epoch: int) -> None:
        super().__init__(targets)
        self.epoch = epoch
        n = len(self.targets)
        self.register_buffer("sums", torch.zeros(n))
        self.register_buffer("counts", torch.zeros(n))
        self.register_buffer("means", torch.full((2, n), torch.nan))  # of the last two epochs
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Sum by the weights of the two epochs before, equal ones until then."""
        older, newer = self.means[:, place]
        # An epoch without a target says nothing of it: as if its loss had stayed.
        rates = torch.nan_to_num(newer / older, nan=1.0, posinf=1.0)
        weights = len(place) * torch.softmax(rates / TEMPERATURE, dim=0)
        loss = (weights * values).sum()
        self.sums[place] += values.detach()
        self.counts[place] += 1
        self.steps += 1
        if int(self.steps) % self.epoch == 0:
            self.means = torch.stack([self.means[1], self.sums / self.counts])
            self.sums, self.counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
        return loss


class Famo(Scalariser):
    """Fast adaptive multi-task optimisation (Liu et al., 2023): losses fall at equal rates.

    That of torchjd keeps its optimiser's state to itself, and is the oracle of the tests.
    """

    logits: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    steps: torch.Tensor
    before: torch.Tensor
    looks_again = True

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__(targets)
        for name in ("logits", "first", "second", "steps", "before"):
            self.register_buffer(name, torch.zeros(len(self.targets)))

    def scalar(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Weighted sum of the logarithms, whose gradient is a convex combination."""
        self.before[place] = values.detach()
        shares = torch.softmax(self.logits[place], dim=0)
        raised = values + _TINY
        scale = (shares / raised).sum().detach()
        return (shares / scale * raised.log()).sum()

    @torch.no_grad()
    def after_step(self, losses: Losses) -> None:
        """Step of Adam on the logits, towards targets whose loss fell less."""
        place, values = self.place(losses), torch.stack(list(losses.values()))
        fallen = (self.before[place] + _TINY).log() - (values + _TINY).log()
        shares = torch.softmax(self.logits[place], dim=0)
        gradient = shares * (fallen - (shares * fallen).sum()) + FAMO_DECAY * self.logits[place]
        self.steps[place] += 1
        self.first[place] = 0.9 * self.first[place] + 0.1 * gradient
        self.second[place] = 0.999 * self.second[place] + 0.001 * gradient.square()
        mean = self.first[place] / (1 - 0.9 ** self.steps[place])
        square = self.second[place] / (1 - 0.999 ** self.steps[place])
        self.logits[place] -= FAMO_RATE * mean / (square.sqrt() + _TINY)


class Aggregation(Weighting):
    """One gradient of those of all losses, for the parameters that two losses or more reach.

    Parameters that one loss alone reaches have its gradient, as ever.
    """

    def __init__(self, targets: Sequence[str], aggregator: Callable[[torch.Tensor], Any]) -> None:
        super().__init__(targets)
        self.aggregator = aggregator

    def aggregate(self, jacobian: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """One gradient, float [p], of those of the targets at some places, float [n, p]."""
        return self.aggregator(jacobian)

    def backward(
        self, losses: Losses, parameters: Sequence[nn.Parameter], descend: Descend
    ) -> torch.Tensor:
        """Leave the aggregated gradients."""
        total = torch.stack(list(losses.values())).sum()
        # By the whole graph from each loss: torchjd's `mtl_backward` counts a feature twice that
        # another one depends on, as masks and attention do. One at a time, since vmap does not
        # know all operations.
        rows = [
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for loss in losses.values()
        ]
        shared = []
        for parameter, *found in zip(parameters, *rows, strict=True):
            own = [g for g in found if g is not None]
            parameter.grad = own[0] if len(own) == 1 else None
            if len(own) > 1:
                shared.append(
                    (parameter, [torch.zeros_like(parameter) if g is None else g for g in found])
                )
        if shared:
            jacobian = torch.cat([torch.stack(g).flatten(1) for _, g in shared], dim=1)
            # Solvers fail on what is no number; the history says which loss it was.
            usable = bool(torch.isfinite(jacobian).all())
            whole = self.aggregate(jacobian, self.place(losses)) if usable else jacobian.sum(dim=0)
            parts = whole.split([p.numel() for p, _ in shared])
            for (parameter, _), part in zip(shared, parts, strict=True):
                parameter.grad = part.view_as(parameter)
        return total.detach()


def equal_norms(jacobian: torch.Tensor) -> torch.Tensor:
    """Sum of gradients that are scaled to their mean norm; those of norm 0 stay."""
    norms = jacobian.norm(dim=1)
    scale = torch.where(norms > 0, norms.mean() / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0)
    return scale @ jacobian


# A weighting by the names of the targets, and the steps of an epoch.
Maker = Callable[[Sequence[str], int], Weighting]
PLAIN: dict[str, Maker] = {
    "equal": lambda targets, _: Fixed(targets),
    "dwa": Dwa,
    "famo": lambda targets, _: Famo(targets),
    "gradnorm_scaling": lambda targets, _: Aggregation(targets, equal_norms),
}


def weighting_of(
    name: str,
    targets: Sequence[str],
    *,
    epoch: int,
    weights: Mapping[str, float] | None = None,
) -> Weighting:
    """Weighting of a name.

    Parameters
    ----------
    name
        A key of ``torchjd_weightings.WEIGHTINGS``, or ``tuned``: fixed ``weights``.
    targets
        Names of all targets of the training.
    epoch
        Steps in which all images are seen once, for ``dwa``.
    weights
        Of ``tuned``, by target; 1 where there is none.

    Raises
    ------
    ConfigError
        If there is none of the name, or a package that it needs is missing; names its extra.
    """
    if name == "tuned":
        return Fixed(targets, weights)
    if name in PLAIN:
        return PLAIN[name](targets, epoch)
    # Half a second of every job, most of it scipy's optimisers.
    from medtaskatlas.multitask.torchjd_weightings import WEIGHTINGS

    if name not in WEIGHTINGS:
        raise ConfigError(f"there is no weighting {name}", nearest(name, [*WEIGHTINGS, "tuned"]))
    try:
        return WEIGHTINGS[name](targets, epoch)
    except ImportError as error:
        raise ConfigError(
            f"`weighting: {name}` needs packages that are not installed: {error}".partition(". ")[
                0
            ],
            f'pip install "torchjd[{name}]", or choose another one',
        ) from error
