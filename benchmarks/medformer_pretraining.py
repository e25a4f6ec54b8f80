"""What a step of masked pre-training costs, as ratios of processor and wall time in one run.

``python benchmarks/medformer_pretraining.py`` prints a table. Medformer through the engine (start,
counting of operations and drawing of batches among it) beside a bare loop of PyTorch over the same
network, and beside MONAI's ``MaskedAutoEncoderViT`` in such a loop: same images, patches, width,
blocks, heads, share of hidden cells and batch. Both decoders are one block of the encoder's width:
MONAI's attends to itself over all cells, ours asks for hidden cells alone; ours has a block of
latents besides, MONAI's a class token. Ways alternate, and each ratio is one of medians, so that a
machine that others use too does little harm. One thread.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets.masked_autoencoder_vit import MaskedAutoEncoderViT
from torch import nn

from medtaskatlas.learning.checkpoint import Checkpoint
from medtaskatlas.learning.engine import GRADIENT_NORM, fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.medformer.model import Medformer, Shape, Who, to_cells
from medtaskatlas.medformer.options import SIZES, NetworkOptions
from medtaskatlas.medformer.pretexts.masked import HIDDEN, Masked
from medtaskatlas.medformer.pretraining import PretrainingObjective

STEPS, RUNS = int(os.environ.get("STEPS", "100")), int(os.environ.get("RUNS", "5"))
# Dimensions, side, patch, batch: 49 cells, and 64.
CASES = ((2, 28, 4, 32), (2, 64, 8, 32), (3, 28, 7, 16), (3, 64, 16, 16))
MASKED = Masked("masked")


@dataclass(frozen=True)
class Images:
    """Noise in the place of a set."""

    pixels: np.ndarray  # uint8 [N, 1, *S]
    name: str = "noise"

    @property
    def size(self) -> tuple[int, ...]:
        return self.pixels.shape[2:]

    @property
    def shape(self) -> Shape:
        return Shape(len(self.size), 1)

    def __len__(self) -> int:
        return len(self.pixels)

    def who(self, task: str) -> Who:
        return Who("CT", "chest", task)

    def batch(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.pixels[np.sort(rng.choice(len(self), n, replace=False))]


@dataclass(frozen=True)
class Case:
    """Images, and the networks for them."""

    images: Images
    patch: int
    batch: int
    stem: str = "patches"

    def objective(self) -> PretrainingObjective:
        options = NetworkOptions(stem=self.stem, patch=self.patch, patch_volume=self.patch)
        return PretrainingObjective(
            Medformer(options, 0), [self.images], [MASKED],  # type: ignore[list-item]
            batch_size=self.batch, batches=1, seed=0,
        )  # fmt: skip

    def monai(self) -> MaskedAutoEncoderViT:
        size, dims = SIZES["nano"], self.images.shape.dims
        # Its sines want a width that 3-D divides.
        places = "sincos" if dims == 2 else "learnable"
        return MaskedAutoEncoderViT(
            1, self.images.size, [self.patch] * dims, hidden_size=size.width,
            mlp_dim=4 * size.width, num_layers=size.layers, num_heads=size.heads,
            masking_ratio=HIDDEN, decoder_hidden_size=size.width, decoder_mlp_dim=4 * size.width,
            decoder_num_layers=1, decoder_num_heads=size.heads, spatial_dims=dims, qkv_bias=True,
            pos_embed_type=places, decoder_pos_embed_type=places,
        )  # fmt: skip

    def drawn(self) -> Iterator[torch.Tensor]:
        """Images of every step, as one draws them by hand."""
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            yield torch.from_numpy(self.images.batch(self.batch, rng)).float() / 255

    def engine(self) -> None:
        """Medformer by the engine."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder) / "state", "bench")
            fit(self.objective(), Training(steps=STEPS), checkpoint, seed=0, title="bench")

    def bare(self) -> None:
        """Medformer by hand."""
        model, shape = self.objective().model, self.images.shape
        assert isinstance(model, Medformer)
        cells, who = np.prod(model.grid(shape, self.images.size)), self.images.who("masked")
        grey = torch.tensor(False)

        def losses() -> Iterator[torch.Tensor]:
            for images in self.drawn():
                order = torch.rand(self.batch, int(cells)).argsort(1)
                drawn = {"images": images, "order": order, "binary": grey}
                yield MASKED.loss(model, shape, who, drawn)

        descend(model, losses())

    def peer(self) -> None:
        """MONAI's by hand, with the same loss."""
        model = self.monai()
        grid = [side // self.patch for side in self.images.size]

        def losses() -> Iterator[torch.Tensor]:
            for images in self.drawn():
                said, hides = model(images)
                true = to_cells(images, grid, self.patch)
                true = true - true.mean(dim=2, keepdim=True)
                variance = true.square().sum(dim=2, keepdim=True) / (true.shape[2] - 1)
                error = (said - true / (variance + 1e-3).sqrt()).square()
                yield (error.mean(dim=2) * hides).sum() / hides.sum()

        descend(model, losses())


def descend(model: nn.Module, losses: Iterator[torch.Tensor]) -> None:
    """A loop as one writes it, with the optimiser and the clipping of the engine."""
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    for loss in losses:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimiser.step()


def seconds(ways: dict[str, Callable[[], None]]) -> dict[str, tuple[float, float]]:
    """Median processor and wall seconds of each way; they take turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: (statistics.median(t[0] for t in found), statistics.median(t[1] for t in found))
        for name, found in taken.items()
    }


def ratio(one: tuple[float, float], other: tuple[float, float], asked: str) -> str:
    """Cells of a table: how many times as fast the other one is, by processor and by wall."""
    return f"{one[0] / other[0]:.3f} | {one[1] / other[1]:.3f} | {asked} |"


def main() -> None:
    set_up_torch(1)
    rng = np.random.default_rng(0)
    print(f"| {STEPS} steps of masked pre-training | processor | wall | asked |\n|---|---|---|---|")
    for dims, side, patch, batch in CASES:
        pixels = rng.integers(0, 256, (4 * batch, 1, *[side] * dims)).astype(np.uint8)
        of = Case(Images(pixels), patch, batch)
        found = seconds({"engine": of.engine, "bare": of.bare, "peer": of.peer})
        what = f"{dims}-D, {side} px, patches of {patch}, batch {batch}"
        sizes = [
            sum(p.numel() for p in m.parameters()) / 1e6 for m in (of.objective().model, of.monai())
        ]
        cost = 1000 * found["engine"][0] / STEPS
        print(
            f"| engine / bare loop ({what}; {cost:.0f} ms) | "
            + ratio(found["bare"], found["engine"], ">= 0.95")
        )
        print(
            f"| engine / MONAI ({sizes[0]:.2f} M and {sizes[1]:.2f} M weights) | "
            + ratio(found["peer"], found["engine"], "> 1")
        )
    of = Case(Images(rng.integers(0, 256, (128, 1, 28, 28)).astype(np.uint8)), 4, 32, "convolution")
    found = seconds({"engine": of.engine, "bare": of.bare})
    cost = 1000 * found["engine"][0] / STEPS
    what = f"2-D, 28 px, convolutions, batch 32; {cost:.0f} ms"
    print(f"| engine / bare loop ({what}) | {ratio(found['bare'], found['engine'], '>= 0.95')}")


if __name__ == "__main__":
    main()
