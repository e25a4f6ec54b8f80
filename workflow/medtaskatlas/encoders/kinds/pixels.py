"""The baselines without learning."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medtaskatlas.encoders.kind import EncoderKind


class Pixels(EncoderKind):
    """Baseline without learning: image statistics that an engineer would write down."""

    kind: Literal["pixels"] = Field("pixels", description="hand-made features of both sides")
    made_of: list[Literal["statistics", "measures", "thumbnails"]] = Field(
        ["statistics"],
        min_length=1,
        description="statistics of an engineer; the fixed measures that `fusion: correspondence` "
        "is given; the grey levels themselves, at 16 pixels a side",
    )

    def features(self, pairs: np.ndarray) -> np.ndarray:
        """Describe pairs; see :mod:`medtaskatlas.encoders.pixels`."""
        from medtaskatlas.encoders.pixels import FEATURES

        return np.concatenate([FEATURES[name](pairs) for name in self.made_of], axis=1)
