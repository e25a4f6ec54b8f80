"""Options of the section `transfer`; no torch, since Snakemake reads them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medtaskatlas.core.strict_model import StrictModel

# What stands for a source beside the tasks: the start from scratch, that of another seed, and a
# network that learned outputs of other images.
SCRATCH, UNTRAINED, SHUFFLED = "scratch", "untrained", "shuffled_outputs"


class WarmStarts(StrictModel):
    """Whole networks from one task to another: what few pairs of the target gain by them."""

    tasks: list[str] | Literal["all"] = Field("all", description="sources and targets, by name")
    datasets: list[str] | int = Field(
        3, description="datasets of the targets, by name, or how many of each target's at most"
    )
    seeds: list[int] = Field([0], min_length=1, description="training seeds")
    width: int = Field(8, ge=4, description="channels of the U-Net at full size")
    source_steps: int = Field(400, ge=1, description="steps of a source, on all training datasets")
    steps: int = Field(40, ge=1, description="steps on the target")
    pairs: int = Field(12, ge=1, description="pairs of the target that are learned from")
    asked_pairs: int = Field(40, ge=2, description="test pairs of a target's cell, at most")
    batch_size: int = Field(12, ge=1, description="pairs in a batch")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate, of sources too")


class Transfer(StrictModel):
    """How tasks are compared as functions of an image, and what is measured between them."""

    fitted_pairs: int = Field(
        40, ge=2, description="pairs of a cell that its function is fitted to, of training images"
    )
    asked_pairs: int = Field(
        20, ge=2, description="pairs of a cell that functions are asked about, of test images"
    )
    warm: WarmStarts | None = Field(None, description="warm starts, measured; null: none")

    def kernel(self) -> dict[str, Any]:
        """What functional distances depend on."""
        return self.model_dump(include={"fitted_pairs", "asked_pairs"})
