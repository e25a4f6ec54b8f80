"""Learning of labelled sets: what is trained, and what of it the engine makes small."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.utils import parametrize

from medtaskatlas.learning.objective import Objective
from medtaskatlas.medformer.baselines import Baseline
from medtaskatlas.medformer.model import Medformer, Who
from medtaskatlas.medformer.options import VALIDATED, Arm
from medtaskatlas.medformer.sets import Labelled, Learned, draw_set
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.problems.data import Batch
from medtaskatlas.problems.evaluate import evaluate, primary_scores
from medtaskatlas.problems.targets.picture import Picture

Network: TypeAlias = Medformer | Baseline


class LowRank(nn.Module):
    """A change of a weight matrix of low rank, zero at first (Hu et al., 2022)."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Changed weights [rows, columns]."""
        return weight + self.up @ self.down


def freeze(model: Network, arm: Arm, seed: int) -> None:
    """Leave trainable what the arm trains."""
    if arm.adapt == "full":
        return
    assert isinstance(model, Medformer)
    model.requires_grad_(False)
    model.heads.requires_grad_(True)
    if arm.adapt in ("latents", "lora"):
        model.latents.requires_grad_(True)
    if arm.adapt == "lora":
        layers = [layer for layer in model.body.modules() if isinstance(layer, nn.Linear)]
        changes = from_seed(
            lambda: [LowRank(x.out_features, x.in_features, arm.rank) for x in layers], seed
        )
        for layer, change in zip(layers, changes, strict=True):
            parametrize.register_parametrization(layer, "weight", change)


def merge(model: Network) -> None:
    """Make low-rank changes part of the weights."""
    for layer in model.modules():
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")


@dataclass(frozen=True)
class Part:
    """A batch of one set."""

    set: Labelled
    batch: Batch


@dataclass(frozen=True)
class Parts:
    """What a step is made of; its length is the number of images."""

    of: tuple[Part, ...]

    def __len__(self) -> int:
        return sum(len(part.batch) for part in self.of)


class AdaptationObjective(Objective[Parts]):
    """Loss of the targets of one set a step, or of two whose features are aligned.

    Parameters
    ----------
    model
        With all stems, latents and heads.
    sets
        Drawn by the square root of their sizes.
    seed, steps
        Of the draws.
    aligned
        Whether features of two sets are brought to one covariance (Sun and Saenko, 2016).
    """

    def __init__(
        self,
        model: Network,
        sets: Sequence[Labelled],
        *,
        seed: int,
        steps: int,
        aligned: bool = False,
    ) -> None:
        super().__init__(model)
        self.sets, self.aligned = sets, aligned and len(sets) > 1
        sizes = [max(s.data.count("train", t) for t in s.targets) for s in sets]
        per_step = 2 if self.aligned else 1
        taken = [0] * len(sets)
        # Set of every batch, and how many of its batches were before: each set goes on in order.
        self._plan: list[list[tuple[int, int]]] = []
        for step in range(steps):
            chosen: list[int] = []
            while len(chosen) < per_step:
                drawn = draw_set(sizes, seed, step, len(chosen) * len(sets))
                if drawn in chosen:
                    drawn = (drawn + 1) % len(sets)
                chosen.append(drawn)
            self._plan.append([(i, taken[i]) for i in chosen])
            for i in chosen:
                taken[i] += 1

    def batch(self, step: int) -> Parts:
        """Batch of each set of the step."""
        parts = (Part(self.sets[i], self.sets[i].data.batch(n)) for i, n in self._plan[step])
        return Parts(tuple(parts))

    def loss(self, model: Callable[..., Any], batch: Parts) -> dict[str, torch.Tensor]:
        """Loss of each target, by its name among those of all sets."""
        device = next(self.model.parameters()).device
        found: dict[str, torch.Tensor] = {}
        features = []
        for part in batch.of:
            images = part.batch.images.to(device, non_blocking=True)
            for name, truth in part.batch.truths.items():
                output = model(partial(answer, images[part.batch.rows[name]], part.set, name))
                loss = part.set.targets[name].loss(output, truth.to(device, non_blocking=True))
                found[part.set.key(name)] = loss / len(batch.of)
            if self.aligned:
                features.append(model(partial(_features, images, part.set)))
        if self.aligned:
            found["coral"] = coral(*features)
        return found

    def suspects(self, batch: Parts, part: str | None) -> list[str]:
        """Images that a target is known of."""
        found: list[str] = []
        for one in batch.of:
            for name, rows in one.batch.rows.items():
                if part in (None, one.set.key(name)):
                    found += [one.batch.names[int(row)] for row in rows]
        return found

    def validate(self, model: nn.Module) -> float:
        """Mean over sets and targets of the area under the curve, or of the primary score."""
        scores = []
        for one in self.sets:
            rows = evaluate(one.data, "val", forward_of(model, one), most=VALIDATED)
            scores += list(primary_scores(rows, prefer="auc").values())
        defined = [score for score in scores if math.isfinite(score)]
        return sum(defined) / len(defined) if defined else 0.0


def answer(
    images: torch.Tensor, one: Learned, target: str, model: Network, who: Who | None = None
) -> torch.Tensor:
    """What a model puts out for images of a set; ``who``: other latents than the set's own."""
    return model.answer(images, one.shape, who or one.who(target), one.head(target))


def forward_of(
    model: nn.Module, one: Learned, who: Who | None = None, *, mirrored: bool = False
) -> Callable[[torch.Tensor, Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Outputs by target without gradients, on the device that the model lies on.

    ``mirrored``: the mean over the image and its mirror images along all axes, as it was trained;
    of tasks of the bank, whose outputs are not mirrored with their inputs, those of the image.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def forward(images: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        there = images.to(device)
        found = {}
        for name, own in rows.items():
            if not len(own):
                continue
            target, seen = one.targets[name], there[own.to(device)]
            flips = mirrorings(seen.ndim) if mirrored and not isinstance(target, Picture) else [()]
            outputs = [
                (model(partial(answer, seen.flip(flip), one, name, who=who)), flip)
                for flip in flips
            ]
            back = [out.flip(f) if target.layout == "pixels" else out for out, f in outputs]
            found[name] = torch.stack(back).mean(dim=0)
        return found

    return forward


def mirrorings(axes: int) -> list[tuple[int, ...]]:
    """Sets of the axes of an image among those [B, C, *S], the empty one first."""
    return [flip for n in range(axes - 1) for flip in combinations(range(2, axes), n)]


def coral(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Squared distance of the covariances of features [n, d], over 4 d^2."""
    width = one.shape[1]
    return (torch.cov(one.T) - torch.cov(other.T)).square().sum() / (4 * width**2)


def _features(images: torch.Tensor, one: Labelled, model: Medformer) -> torch.Tensor:
    """Mean token of images of a set, seen for its first target."""
    return model.tokens(images, one.shape, one.who(next(iter(one.targets)))).mean(dim=1)
