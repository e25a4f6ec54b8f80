"""What a kind of encoder is: its options, and what the stages must know of it.

A kind is one file in :mod:`medtaskatlas.encoders.kinds`. It defines one subclass of
:class:`EncoderKind`; nothing else has to know of it. These files are imported whenever a run is
planned, so they import torch and the like inside their methods only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medtaskatlas.core.strict_model import DIGITS, StrictModel
from medtaskatlas.networks.resnet import Backbone

if TYPE_CHECKING:
    from torch import nn

    from medtaskatlas.encoders.pairbank import TrainingRows
    from medtaskatlas.learning.objective import Objective
    from medtaskatlas.learning.options import Training
    from medtaskatlas.learning.processes import Processes

# model: learns from tasks, and is what the atlas is made of. ablation: a model with a part taken
# away. control: learns from what must not suffice. baseline: what models are compared with.
Role = Literal["model", "ablation", "control", "baseline"]
Coordinates = Literal["sides", "difference", "texture"]
# Channels that :func:`medtaskatlas.encoders.network.coordinates` makes of the six of a pair.
CHANNELS: dict[Coordinates, int] = {"sides": 6, "difference": 6, "texture": 12}


class EncoderKind(StrictModel):
    """Options of an encoder, and how it is made."""

    learns: ClassVar[bool] = False  # whether it is trained on the pairs
    # Whether the training stage writes its weights; otherwise they are fixed or there are none.
    has_weights: ClassVar[bool] = False
    # Whether features have scales of their own, so that the gallery must bring them to one.
    standardise: ClassVar[bool] = True
    seeded: ClassVar[bool] = False  # whether a training seed makes a difference
    batch: ClassVar[int] = 256  # pairs that are embedded at once

    # Every kind narrows it to its own name.
    kind: str
    seeds: list[int] | None = Field(
        None, min_length=1, description="training seeds of this encoder; null: those of the run"
    )

    def options(self) -> dict[str, Any]:
        """What decides its weights and features, JSON-able; `kinds.encoder_of` turns it back."""
        return self.model_dump(mode="json", exclude={"seeds"})

    @property
    def role(self) -> Role:
        """What it is in comparisons."""
        return "baseline"

    @property
    def control(self) -> str | None:
        """What it controls for, where its role is ``control``."""
        return None

    @property
    def asks_steadiness(self) -> bool:
        """Whether its training asks that displacement grows with severity."""
        return False

    def missing(self) -> str | None:
        """Why it is not available on this machine, and how to get it; None where it is."""
        return None

    def sources(self) -> list[str]:
        """Files on this machine that its features come from: when they change, so do these."""
        return []

    def training(self) -> Training | None:
        """Options of its training; None where there is nothing to optimise."""
        return None

    def objective(
        self, network: Any, rows: TrainingRows, seed: int, processes: Processes
    ) -> Objective[Any]:
        """What its training makes small, for kinds that have a :meth:`training`."""
        raise NotImplementedError(f"{self.kind} is not trained")

    def network(self, seed: int) -> nn.Module:
        """Make the network, [B, 6, H, W] in -1..1 to [B, D]; the seed initialises the weights."""
        raise NotImplementedError(f"{self.kind} is no network: it has features")

    def features(self, pairs: np.ndarray) -> np.ndarray:
        """Describe uint8 [B, 2, H, W, 3] as float32 [B, D], for kinds that are no network."""
        raise NotImplementedError(f"{self.kind} has no features: it is a network")

    @property
    def is_network(self) -> bool:
        """Whether it has a :meth:`network` rather than :meth:`features`."""
        return type(self).network is not EncoderKind.network


class Residual(EncoderKind):
    """Shape of a residual network."""

    backbone: Backbone = Field("resnet18", description="residual network")
    width: int = Field(64, ge=8, le=128, description="channels of the first stage; doubles a stage")
    stem: Annotated[Literal[3, 5, 7], DIGITS] = Field(
        7, description="side of the first kernel; 3 for small images"
    )
