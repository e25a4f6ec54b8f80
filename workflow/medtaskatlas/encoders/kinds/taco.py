"""TaCo and its variants: what they see, how they fuse it, and how they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from medtaskatlas.core.strict_model import StrictModel
from medtaskatlas.encoders.kind import Residual, Role

if TYPE_CHECKING:
    from torch import nn


class Correspondence(StrictModel):
    """What is joined to the network with ``fusion: correspondence``; 0 leaves a part out."""

    tower: int = Field(32, ge=4, description="length of the description of a place")
    grid: int = Field(16, ge=0, le=64, description="places a side of the input, looked up")
    asking: int = Field(8, ge=1, le=64, description="places a side of the output, which ask")
    volume: int = Field(64, ge=0, description="features of the look-up, beside its moments")
    sides: int = Field(64, ge=0, description="features of what the tower finds on each side alone")
    measures: int = Field(
        64, ge=0, description="features of fixed statistics: change by grey level and by frequency"
    )


class Taco(Residual):
    """Task-contrastive encoder: a ResNet on (input, output), trained by contrast between tasks.

    The variants are options: ``failures`` makes failures negatives, ``fusion: correspondence`` adds
    a correlation volume, ``sampler: plain`` is the ablation of the batches, and ``sees: input`` and
    ``labels: shuffled`` are controls.
    """

    learns: ClassVar[bool] = True
    has_weights: ClassVar[bool] = True
    standardise: ClassVar[bool] = False
    seeded: ClassVar[bool] = True

    kind: Literal["taco"] = Field("taco", description="trained by contrast between tasks")
    sees: Literal["pair", "input"] = Field(
        "pair", description="both sides, or as a control the input in place of both"
    )
    ablation: bool = Field(
        False, description="whether it is only there to show what a part of another brings"
    )
    coordinates: Literal["sides", "difference", "texture"] = Field(
        "texture",
        description="the six channels as they are; their mean and difference; or texture beside",
    )
    fusion: Literal["early", "two_tower", "correspondence"] = Field(
        "early",
        description="one network on all channels; one network on each side, then both and their "
        "difference; or early, with a correlation volume between the sides",
    )
    correspondence: Correspondence = Field(
        Correspondence(), description="what `fusion: correspondence` joins to the network"
    )
    embedding_dim: int = Field(128, ge=2, description="length of the embedding")
    loss: Literal["supcon", "nt_xent", "triplet"] = Field(
        "supcon",
        description="supervised contrast; NT-Xent over two draws of a task on an image; "
        "or triplets with the hardest positive and negative",
    )
    temperature: float = Field(0.1, gt=0, description="temperature of the contrastive losses")
    margin: float = Field(0.2, gt=0, le=2, description="margin of the triplet loss, cosine")
    cross_entropy: float = Field(
        0.0, ge=0, description="weight of a cross-entropy over tasks beside the contrastive loss"
    )
    steadiness: float = Field(
        0.0,
        ge=0,
        description="weight of asking that the embedding moves away from the unchanged pair as "
        "severity grows",
    )
    failures: float = Field(
        0.0, ge=0, le=0.5, description="share of a batch that are failures of tasks, as negatives"
    )
    sampler: Literal["crossed", "plain"] = Field(
        "crossed", description="tasks crossed with images, or pairs drawn at random"
    )
    labels: Literal["true", "shuffled"] = Field(
        "true", description="tasks as they are, or as a control permuted over the pairs"
    )
    steps: int = Field(2000, ge=0, description="optimiser steps; the budget is steps, not minutes")
    batch_tasks: int = Field(16, ge=2, description="tasks in a batch")
    batch_images: int = Field(8, ge=2, description="pairs of each task in a batch")
    accumulate: int = Field(1, ge=1, description="batches in one contrast, by gradient caching")
    memory: int = Field(
        0, ge=0, description="embeddings of earlier batches that are compared with too; 0: none"
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    patience: int = Field(
        0, ge=0, description="looks at the validation groups without gain before it stops; 0: never"
    )
    look_every: int = Field(
        200, ge=1, description="steps between two looks at the validation groups, with `patience`"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="number format of the network; mixed ones are for GPUs"
    )
    devices: int = Field(1, ge=1, description="GPUs, or without one processes, that share a batch")
    checkpoint_seconds: float = Field(
        60, gt=0, description="seconds between checkpoints; what a kill costs at most"
    )

    @model_validator(mode="after")
    def _fits(self) -> Taco:
        if self.loss == "nt_xent" and self.sampler == "plain":
            raise ValueError("`loss: nt_xent` pairs draws of one image: take `sampler: crossed`")
        if self.accumulate > 1 and self.memory:
            raise ValueError("choose one of `accumulate` and `memory`")
        if self.steadiness and self.control is not None:
            raise ValueError("a control learns nothing of severity: leave out `steadiness`")
        return self

    @property
    def role(self) -> Role:
        """What it is in comparisons."""
        if self.control is not None:
            return "control"
        return "ablation" if self.ablation or self.sampler == "plain" else "model"

    @property
    def control(self) -> str | None:
        """What it controls for: ``shuffled_labels``, ``input_only`` or nothing."""
        if self.labels == "shuffled":
            return "shuffled_labels"
        return "input_only" if self.sees == "input" else None

    @property
    def asks_steadiness(self) -> bool:
        """Whether its training asks that displacement grows with severity."""
        return self.steadiness > 0

    def network(self, seed: int) -> nn.Module:
        """Make the network from a seed; see :class:`~medtaskatlas.encoders.network.TaskEncoder`."""
        from medtaskatlas.encoders.network import TaskEncoder, seeded

        return seeded(lambda: TaskEncoder(self), seed)
