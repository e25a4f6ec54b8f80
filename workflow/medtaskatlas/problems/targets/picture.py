"""The output of a task of the bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Layout, Offer, Part, Target, as_numpy
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import REGISTRY, Pair, Task

if TYPE_CHECKING:
    from torch import Tensor

# Of transformations, which must be the same on every image to be learned.
SEVERITY = 0.5
_WINDOW, _SIGMA = 11, 1.5
# Training images, at least, that are looked at for colour.
_LOOKED_AT = 16


@dataclass(frozen=True, kw_only=True)
class Picture(Target):
    """A generative task or a transformation, by its name. Loss: absolute error of grey levels.

    Pairs are made when they are needed. A generative task degrades each image in its own way, with
    a severity from 0 to 1, and the network sees the degraded one; in evaluation an image is always
    degraded alike. A transformation is the same on every image, at severity 0.5: from the image
    alone no network could know which one is meant.
    """

    kind: ClassVar[str] = "picture"
    layout: ClassVar[Layout] = "pixels"
    statistics_kind: ClassVar[str] = "picture"
    annotated: ClassVar[bool] = False

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """Tasks that need the image alone."""
        if annotations.volumes:
            return []
        has = {"colour"} if annotations.coloured else set()
        return [
            Offer(task.name, cls.kind, "grey levels", task=task.name)
            for task in load_bank().values()
            if task.family != "semantic" and task.needs <= has
        ]

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Channels: three where the output has colour on one of some images, evenly spread."""
        task = REGISTRY[name]
        target = cls(name=name, channels=1, input=name if task.stored_side == "input" else "image")
        for part in parts:
            assert isinstance(part.images, ImageSet)
            for row in part.rows[:: max(1, len(part.rows) // _LOOKED_AT)]:
                pair = target.pair(part.images.images[row], generator(0, "channels", name))
                if is_colour(pair[1]):
                    return cls(name=name, channels=3, input=target.input)
        return target

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Images that have what the task needs."""
        assert isinstance(images, ImageSet)
        if "colour" not in REGISTRY[name].needs:
            return np.ones(len(rows), bool)
        return np.array([is_colour(images.images[row]) for row in rows], bool)

    @property
    def task(self) -> Task:
        """The task of the bank."""
        return REGISTRY[self.name]

    def pair(self, image: np.ndarray, rng: np.random.Generator) -> Pair:
        """Input and output, uint8 [H, W, 3] each, of an image.

        Parameters
        ----------
        image
            uint8 [H, W, 3].
        rng
            Where a generative task draws from; a transformation has a generator of its own.
        """
        sample = Sample(image)
        if self.task.stored_side == "input":
            severity = float(rng.uniform())
        else:
            rng, severity = generator(0, "multitask", self.name), SEVERITY
        return self.task.make(sample, self.task.parameters(rng, sample, severity))

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """None of the file: see :meth:`pair`."""
        raise NotImplementedError("a task of the bank makes its pairs")

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute error; ``truth`` is float [n, channels, H, W] in 0..1."""
        return (output - truth).abs().mean()

    def prediction(self, output: Tensor) -> np.ndarray:
        """Grey levels or colours, 0 to 1."""
        return self.shown(output.clamp(0, 1))

    def shown(self, truth: Tensor) -> np.ndarray:
        """Grey levels or colours, 0 to 1."""
        planes = as_numpy(truth).astype(np.float32)
        return planes[:, 0] if self.channels == 1 else planes.transpose(0, 2, 3, 1)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Structural similarity and mean square error, of outputs cut to 0..1."""
        output, truth = output.clamp(0, 1).double(), truth.double()
        square = (output - truth).square().flatten(1).mean(1)
        both = as_numpy(ssim(output, truth)), as_numpy(square)
        return np.stack(both, axis=1).astype(np.float32)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of pictures [n, C, H, W] of 0..1, [n] (Wang et al., 2004).

    Gaussian window of 11 pixels with a standard deviation of 1.5, where it lies inside; mean over
    channels.
    """
    import torch
    from torch.nn import functional

    at = torch.arange(_WINDOW, dtype=first.dtype, device=first.device) - _WINDOW // 2
    line = torch.exp(-at.square() / (2 * _SIGMA**2))
    line = line / line.sum()

    def smooth(planes: Tensor) -> Tensor:
        flat = planes.flatten(0, 1)[:, None]
        rows = functional.conv2d(flat, line.view(1, 1, -1, 1))
        return functional.conv2d(rows, line.view(1, 1, 1, -1)).unflatten(0, planes.shape[:2])

    mean_1, mean_2 = smooth(first), smooth(second)
    variance = smooth(first * first) - mean_1**2 + smooth(second * second) - mean_2**2
    covariance = smooth(first * second) - mean_1 * mean_2
    low, contrast = 0.01**2, 0.03**2
    similarity = (2 * mean_1 * mean_2 + low) * (2 * covariance + contrast)
    similarity = similarity / ((mean_1**2 + mean_2**2 + low) * (variance + contrast))
    return similarity.flatten(1).mean(1)
