"""What brings images to a frozen network, and runs it once on each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

# Images in one forward pass. Larger passes are slower on a CPU: their activations outgrow the cache
# and malloc's heap, measured as two- to sevenfold at 256. Also bounds memory at 224 pixels.
CHUNK = 16
# Images remembered: 100 MB at 1,280 features.
REMEMBERED = 20_000


class Prepared(nn.Module):
    """Images as a network was trained on them: its size, mean and spread.

    Resized to ``side`` pixels by ``mode``, with a kernel that widens when images shrink, as Pillow
    has it; ``mean`` and ``std`` are of each channel, in units of 0..1.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        side: int,
        mode: Literal["bilinear", "bicubic"],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.side, self.mode = side, mode
        middle, spread = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
        self.register_buffer("scale", 0.5 / spread)
        self.register_buffer("shift", (0.5 - middle) / spread)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Prepare float [B, C, H, W] in -1..1 to [B, C, side, side]."""
        if images.shape[-2:] != (self.side, self.side):
            images = nn.functional.interpolate(
                images, (self.side, self.side), mode=self.mode, antialias=True
            ).clamp(-1, 1)  # cubic splines overshoot
        return images * self.scale + self.shift


class EachOnce(nn.Module):
    """Run a network once on each distinct image, ``chunk`` at a time; remember the first ones.

    One side of every pair is the prepared image, which thirty tasks share: half of all sides.
    """

    def __init__(
        self, network: nn.Module, chunk: int = CHUNK, remembered: int = REMEMBERED
    ) -> None:
        super().__init__()
        self.network, self.chunk, self.remembered = network, chunk, remembered
        self.known: dict[bytes, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Describe float [B, C, H, W] as [B, features]; equal images get equal features."""
        keys = [hashlib.blake2b(i.numpy().tobytes(), digest_size=16).digest() for i in images.cpu()]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        fresh: dict[bytes, torch.Tensor] = {}
        names, rows = list(new), list(new.values())
        for begin in range(0, len(rows), self.chunk):
            part = slice(begin, begin + self.chunk)
            fresh.update(zip(names[part], self.network(images[rows[part]]), strict=True))
        features = torch.stack([fresh[k] if k in fresh else self.known[k] for k in keys])
        room = self.remembered - len(self.known)
        self.known.update(list(fresh.items())[:room])
        return features
