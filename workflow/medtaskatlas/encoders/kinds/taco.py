"""TaCo and its variants: what they see, how they fuse it, and how they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from medtaskatlas.core.strict_model import StrictModel
from medtaskatlas.encoders.kind import Coordinates, Residual, Role
from medtaskatlas.learning.options import Training

if TYPE_CHECKING:
    from torch import nn

    from medtaskatlas.encoders.pairbank import TrainingRows
    from medtaskatlas.encoders.taco.objective import TacoObjective
    from medtaskatlas.learning.processes import Processes

# Options of older versions, and what to do without them; docs/decisions.md says why.
REMOVED = {
    "accumulate": "gradient caching was removed; raise `batch_tasks` or `batch_images` instead",
    "memory": "the memory of earlier batches was removed; raise `batch_tasks` or `batch_images`",
    "margin": "the triplet loss was removed; contrast is supervised, with `temperature`",
    "loss": "NT-Xent and triplets were removed, and contrast is always supervised (`supcon`)",
}


class Correspondence(StrictModel):
    """What is joined to the network with ``fusion: correspondence``; 0 leaves a part out."""

    tower: int = Field(32, ge=4, description="length of the description of a place")
    grid: int = Field(16, ge=0, le=64, description="places a side of the input, looked up")
    asking: int = Field(8, ge=1, le=64, description="places a side of the output, which ask")
    volume: int = Field(64, ge=0, description="features of the look-up, besides its moments")
    sides: int = Field(64, ge=0, description="features of what the tower finds on each side alone")
    measures: int = Field(
        64, ge=0, description="features of fixed statistics: change by grey level and by frequency"
    )


class Taco(Training, Residual):
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
    coordinates: Coordinates = Field(
        "texture",
        description="the six channels as they are; their mean and difference; or texture besides",
    )
    fusion: Literal["early", "correspondence"] = Field(
        "early",
        description="one network on all channels; or with a correlation volume between the sides",
    )
    correspondence: Correspondence = Field(
        Correspondence(), description="what `fusion: correspondence` joins to the network"
    )
    embedding_dim: int = Field(128, ge=2, description="length of the embedding")
    temperature: float = Field(0.1, gt=0, description="temperature of the contrastive loss")
    cross_entropy: float = Field(
        0.0, ge=0, description="weight of a cross-entropy over tasks, added to the contrastive loss"
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
    batch_tasks: int = Field(16, ge=2, description="tasks in a batch")
    batch_images: int = Field(8, ge=2, description="pairs of each task in a batch")

    @model_validator(mode="before")
    @classmethod
    def _is_current(cls, options: Any) -> Any:
        named = options if isinstance(options, dict) else {}
        for key in REMOVED.keys() & named.keys():
            raise ValueError(f"`{key}` is no option any more: {REMOVED[key]}; delete `{key}`")
        if named.get("fusion") == "two_tower":
            raise ValueError(
                "`fusion: two_tower` is no option any more: take `early`, or `correspondence`, "
                "which compares the sides"
            )
        return options

    @model_validator(mode="after")
    def _fits(self) -> Taco:
        if self.steadiness and self.control is not None:
            raise ValueError("a control learns nothing of severity: leave out `steadiness`")
        # Batch normalisation needs two pairs in the smallest part.
        if self.devices > 1 and self.batch_tasks * self.batch_images // self.devices < 2:
            raise ValueError(
                f"`devices: {self.devices}` leave a process less than two pairs of a batch: set "
                "fewer `devices`, or more `batch_tasks` or `batch_images`"
            )
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
        """Make a :class:`~medtaskatlas.encoders.taco.network.TaskEncoder` from a seed."""
        from medtaskatlas.encoders.network import seeded
        from medtaskatlas.encoders.taco.network import TaskEncoder

        joined = self.correspondence.model_dump() if self.fusion == "correspondence" else None
        return seeded(
            lambda: TaskEncoder(
                (self.backbone, self.width, self.stem),
                self.coordinates,
                joined,
                embedding_dim=self.embedding_dim,
                blind=self.sees == "input",
            ),
            seed,
        )

    def training(self) -> Training | None:
        """Itself, where it has steps."""
        return self if self.steps else None

    def objective(
        self, network: Any, rows: TrainingRows, seed: int, processes: Processes
    ) -> TacoObjective:
        """Contrast between tasks, and what the options add."""
        from medtaskatlas.encoders.taco.batches import Composer
        from medtaskatlas.encoders.taco.objective import TacoObjective

        composer = Composer(
            rows,
            seed=seed,
            sampler=self.sampler,
            labels=self.labels,
            batch_tasks=self.batch_tasks,
            batch_images=self.batch_images,
            failures=self.failures,
            unchanged=self.steadiness > 0,
        )
        return TacoObjective(
            network,
            composer,
            seed=seed,
            processes=processes,
            temperature=self.temperature,
            cross_entropy=self.cross_entropy,
            steadiness=self.steadiness,
            validated=self.patience > 0,
        )
