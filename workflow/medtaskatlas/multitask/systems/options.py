"""Options of the systems; no torch, since Snakemake reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from medtaskatlas.core.strict_model import DIGITS, StrictModel

Stage = Annotated[Literal[1, 2, 3, 4], DIGITS]


class NetworkOptions(StrictModel):
    """The encoder and the decoders, the same for every system."""

    backbone: Literal["resnet10", "resnet18", "resnet50"] = Field(
        "resnet10", description="residual network of the encoder"
    )
    width: int = Field(16, ge=4, description="channels of the first stage; they double each stage")
    stem: Annotated[Literal[3, 5, 7], DIGITS] = Field(
        3, description="side of the first kernel, pixels"
    )
    norm: Literal["group", "batch"] = Field("group", description="normalisation of the channels")

    def trainings(self, targets: Sequence[str]) -> list[list[str]]:
        """Targets of each training that the system needs: all at once."""
        return [list(targets)]


class StlOptions(NetworkOptions):
    """A network a target."""

    def trainings(self, targets: Sequence[str]) -> list[list[str]]:
        """One target each."""
        return [[target] for target in targets]


class PairsOptions(NetworkOptions):
    """Hard sharing by two: what one target gains when another is beside it."""

    def trainings(self, targets: Sequence[str]) -> list[list[str]]:
        """Every two targets."""
        return [list(pair) for pair in combinations(targets, 2)]


class StlWideOptions(StlOptions):
    """A network a target, each with as many parameters as another system's only network."""

    like: str = Field(description="name of the system whose parameters are matched")


class CtanOptions(NetworkOptions):
    """Where and how targets attend to each other."""

    stages: tuple[Stage, ...] = Field(
        (3, 4), min_length=1, description="stages of the encoder, 4 the bottleneck"
    )
    heads: int = Field(4, ge=1, description="heads of the attention")
    attention: Literal["spatial", "channel"] = Field(
        "spatial", description="whether places or channels attend to each other"
    )
    receivers: Literal["all", "pixels", "vectors"] = Field(
        "all", description="which targets receive: all, maps only, or numbers and classes only"
    )


class UmsRepOptions(NetworkOptions):
    """Fine-tuning of a representation that was learned by denoising."""

    strategy: Literal["scratch", "frozen", "last_stage", "gradual", "discriminative", "full"] = (
        Field("gradual", description="parts of the encoder that are trained, when and how fast")
    )
    decay: float = Field(
        2.6, ge=1, description="factor between the rates of two stages, with `discriminative`"
    )
    thaw: float = Field(
        0.5, gt=0, le=1, description="share of the steps until all is trained, with `gradual`"
    )

    def trainings(self, targets: Sequence[str]) -> list[list[str]]:
        """All at once; from scratch each target alone: the baseline."""
        alone = self.strategy == "scratch"
        return [[target] for target in targets] if alone else [list(targets)]
