"""The baseline without learning."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medtaskatlas.encoders.kind import EncoderKind


class Pixels(EncoderKind):
    """Baseline without learning: image statistics that an engineer would write down."""

    kind: Literal["pixels"] = Field("pixels", description="hand-made features of both sides")

    def features(self, pairs: np.ndarray) -> np.ndarray:
        """Describe pairs; see :func:`~medtaskatlas.encoders.pixels.pixel_features`."""
        from medtaskatlas.encoders.pixels import pixel_features

        return pixel_features(pairs)
