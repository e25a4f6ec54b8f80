"""Options of the section `transfer`; no torch, since Snakemake reads them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from medtaskatlas.core.strict_model import StrictModel

# What stands for a source beside the tasks: the start from scratch (of affinity: alone), that of
# another seed, and a network that learned outputs of other images.
SCRATCH, UNTRAINED, SHUFFLED = "scratch", "untrained", "shuffled_outputs"


class SourceTraining(StrictModel):
    """How the networks that others start from are trained."""

    width: int = Field(8, ge=4, description="channels of the U-Net at full size")
    skips: bool = Field(
        True, description="whether the decoder sees maps of all sizes, or the smallest alone"
    )
    source_steps: int = Field(400, ge=1, description="steps of a source, on all training datasets")
    batch_size: int = Field(12, ge=1, description="pairs in a batch")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate, of sources too")


class Choice(StrictModel):
    """Tasks, datasets and seeds between which gains are measured."""

    protocol: ClassVar[str]
    tasks: list[str] | Literal["all"] | int = Field(
        12, description="sources and targets, by name, or how many, of all families alike"
    )
    datasets: list[str] | int = Field(
        3, description="datasets of the targets, by name, or how many of each target's at most"
    )
    seeds: list[int] = Field([0], min_length=1, description="training seeds")

    def params(self) -> dict[str, Any]:
        """What errors depend on: options without what chooses the jobs."""
        return self.model_dump(mode="json", exclude=set(Choice.model_fields))


class Starts(Choice, SourceTraining):
    """What all starts from another task have in common."""

    steps: int = Field(40, ge=1, description="steps on the target")
    pairs: int = Field(12, ge=1, description="pairs of the target that are learned from")
    asked_pairs: int = Field(40, ge=2, description="test pairs of a target's cell, at most")

    def source_params(self) -> dict[str, Any]:
        """What the weights of sources depend on."""
        return self.model_dump(mode="json", include=set(SourceTraining.model_fields))


class WarmStarts(Starts):
    """Whole networks from one task to another: what few pairs of the target gain by them."""

    protocol = "warm"
    tasks: list[str] | Literal["all"] | int = Field(
        "all", description="sources and targets, by name, or how many, of all families alike"
    )


class SharedFeatures(Starts):
    """Encoders from one task to another, with a new decoder."""

    protocol = "shared"
    skips: bool = Field(
        False, description="whether the decoder sees maps of all sizes, or the smallest alone"
    )
    frozen: bool = Field(
        False, description="whether encoders that are taken over stay as they are; scratch learns"
    )


STARTS = {one.protocol: one for one in (WarmStarts, SharedFeatures)}


class Affinity(Choice):
    """Two tasks trained together, one encoder and a decoder each, against each alone."""

    protocol = "affinity"
    width: int = Field(8, ge=4, description="channels of the U-Net at full size")
    steps: int = Field(100, ge=1, description="steps, of one task and of two")
    pairs: int = Field(24, ge=1, description="pairs of each task that are learned from")
    asked_pairs: int = Field(40, ge=2, description="test pairs of a task's cell, at most")
    batch_size: int = Field(8, ge=1, description="pairs of each task in a batch")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate")


class Transfer(StrictModel):
    """How tasks are compared as functions of an image, and what is measured between them."""

    fitted_pairs: int = Field(
        40, ge=2, description="pairs of a cell that its function is fitted to, of training images"
    )
    asked_pairs: int = Field(
        20, ge=2, description="pairs of a cell that functions are asked about, of test images"
    )
    warm: WarmStarts | None = Field(None, description="warm starts, measured; null: none")
    shared: SharedFeatures | None = Field(None, description="shared features, measured; null: none")
    affinity: Affinity | None = Field(
        None, description="gains of training two tasks together, measured; null: none"
    )

    def kernel(self) -> dict[str, Any]:
        """What functional distances depend on."""
        return self.model_dump(include={"fitted_pairs", "asked_pairs"})
