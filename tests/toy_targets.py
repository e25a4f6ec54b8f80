"""Targets and batches for multi-task systems: blobs, one kind of target of each layout."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional

from medtaskatlas.core.seeds import generator


@dataclass(frozen=True)
class Toy:
    """A target; `sign` and `scale` of its loss's truth make targets that contradict each other."""

    name: str
    layout: str
    channels: int
    scale: float = 1.0
    sign: float = 1.0

    def loss(self, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        if self.layout == "vector" and truth.dtype == torch.int64:
            return self.scale * functional.cross_entropy(output, truth)
        return self.scale * functional.mse_loss(output, self.sign * truth)


MASK = Toy("mask", "pixels", 1)
LABEL = Toy("label", "vector", 3, scale=5.0)
VALUE = Toy("value.size", "vector", 1, scale=0.3)
# What one has to raise, the other has to lower, through the same features.
AGAINST = Toy("map.against", "pixels", 1, scale=2.0, sign=-1.0)
TARGETS = [MASK, LABEL, VALUE, AGAINST]


@dataclass
class ToyBatch:
    images: torch.Tensor
    truths: dict[str, torch.Tensor]
    rows: dict[str, torch.Tensor]
    names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)


def batch(step: int, *, size: int = 6, side: tuple[int, ...] = (16, 16), missing=()) -> ToyBatch:
    """Images with a bright blob of one of three sizes, and its mask, class and size.

    `missing`: targets that are known of no image, or by name of these rows only.
    """
    rng = generator(0, "toy targets", step)
    label = torch.from_numpy(rng.integers(3, size=size))
    centre = torch.from_numpy(rng.uniform(0.3, 0.7, (size, len(side)))).float()
    axes = torch.meshgrid(*(torch.linspace(0, 1, s) for s in side), indexing="ij")
    far = sum((a - c.view(-1, *[1] * len(side))) ** 2 for a, c in zip(axes, centre.T, strict=True))
    radius = (0.1 + 0.1 * label).view(-1, *[1] * len(side))
    mask = (far.sqrt() < radius).float()[:, None]
    noise = torch.from_numpy(rng.normal(0, 0.1, mask.shape)).float()
    images = (0.3 + 0.4 * mask + noise).clamp(0, 1)
    truths = {
        "mask": mask,
        "map.against": mask,
        "label": label,
        "value.size": (label.float() / 2)[:, None],
    }
    every = {name: torch.arange(size) for name in truths}
    rows = {n: every[n] if n not in missing else torch.arange(0) for n in truths}
    if isinstance(missing, dict):
        rows |= {n: torch.tensor(own, dtype=torch.int64) for n, own in missing.items()}
    truths = {n: truths[n][rows[n]] for n in truths}
    return ToyBatch(images, truths, rows, [f"image {step}.{i}" for i in range(size)])
