"""Options of the training engine."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from medtaskatlas.core.strict_model import StrictModel


class Training(StrictModel):
    """How long and how a network is trained; systems inherit it into their own options."""

    steps: int = Field(2000, ge=0, description="optimiser steps; the budget is steps, not minutes")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    patience: int = Field(0, ge=0, description="validations without gain before it stops; 0: never")
    look_every: int = Field(200, ge=1, description="steps between two validations, with `patience`")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="number format of the network; mixed ones are for GPUs"
    )
    devices: int = Field(1, ge=1, description="GPUs, or without one processes, that share a batch")
    checkpoint_seconds: float = Field(
        60, gt=0, description="seconds between checkpoints; what a kill costs at most"
    )

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear rise, then half a cosine (Loshchilov, Hutter, 2017)."""
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        fall = math.cos(math.pi * (step - rise) / max(1, self.steps - rise))
        return self.learning_rate * 0.5 * (1 + fall)
