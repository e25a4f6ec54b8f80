"""Logistic regression that Medformer is compared with: on pixels, or on frozen features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.learning.machine import pick_device
from medtaskatlas.networks.frozen import EachOnce
from medtaskatlas.networks.lite0 import lite0
from medtaskatlas.networks.lite0_weights import RESOLUTION, weights_file
from medtaskatlas.problems.targets.label import Label
from medtaskatlas.problems.targets.target import Target

# Features [n, F] of images [n, C, *S] in 0..1.
Features = Callable[[torch.Tensor], np.ndarray]
# Strengths of the penalty that are tried on validation images.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Pixels a side, at most, that are features.
SIDE = 28
# Slices of a volume along each axis that a network of pictures sees.
SLICES = 8


class Regression:
    """Logistic regression on features of images.

    The penalty is chosen by the log-likelihood of validation images.

    Parameters
    ----------
    arm
        Name of the arm, for messages.
    target
        What is predicted.
    features
        Of images.
    """

    def __init__(self, arm: str, target: Target, features: Features) -> None:
        if not isinstance(target, Label):
            raise DataError(
                f"the arm `{arm}` predicts labels, not {target.name} ({target.kind})",
                "leave the arm out, or the target",
            )
        self.target, self.features = target, features

    def fit(
        self, train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray]
    ) -> Regression:
        """Fit to features float [n, F] and labels int [n]."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        seen = np.unique(train[1])
        known = np.isin(val[1], seen)
        fits = []
        for penalty in PENALTIES:
            model = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=penalty, class_weight="balanced", max_iter=500),
            )
            model.fit(*train)
            said = model.predict_proba(val[0][known])
            fits.append((log_loss(val[1][known], said, labels=seen), penalty, model))
        _, self.penalty, self.model = min(fits, key=lambda fit: fit[:2])
        return self

    def output(self, images: torch.Tensor) -> torch.Tensor:
        """What a network would put out, float [n, channels], of images [n, C, *S]."""
        some = self.model.predict_proba(self.features(images))
        said = np.zeros((len(images), len(self.target.classes)))
        said[:, self.model.classes_] = some
        return self.target.output(torch.from_numpy(said))


def pixels(images: torch.Tensor) -> np.ndarray:
    """Grey levels in a row, of at most :data:`SIDE` pixels a side."""
    step = max(1, -(-images.shape[-1] // SIDE))
    thinned = [slice(None, None, step)] * (images.ndim - 2)
    return images[(slice(None), slice(None), *thinned)].numpy().reshape(len(images), -1)


def of_photographs() -> Features:
    """Features of EfficientNet-Lite0, which knows photographs and is not trained.

    Grey is repeated in three channels; of a volume it sees slices, and their mean counts.
    """
    device = pick_device()
    network = EachOnce(nn.Sequential(*lite0(weights_file(), RESOLUTION))).eval().to(device)

    def features(images: torch.Tensor) -> np.ndarray:
        pictures = images if images.ndim == 4 else slices(images)
        with torch.inference_mode():
            found = network(pictures.expand(-1, 3, -1, -1).to(device) * 2 - 1).cpu()
        return found.view(len(images), -1, found.shape[1]).mean(dim=1).numpy()

    return features


def slices(volumes: torch.Tensor) -> torch.Tensor:
    """Middles of :data:`SLICES` equal parts along each axis, [n * 3 * SLICES, C, S, S]."""
    side = volumes.shape[-1]
    at = ((torch.arange(SLICES) + 0.5) * side / SLICES).long()
    along = [volumes.index_select(axis, at).movedim(axis, 1) for axis in (2, 3, 4)]
    return torch.cat(along, dim=1).flatten(0, 1)


FEATURES: dict[str, Callable[[], Features]] = {
    "pixels": lambda: pixels,
    "efficientnet_lite0": of_photographs,
}
