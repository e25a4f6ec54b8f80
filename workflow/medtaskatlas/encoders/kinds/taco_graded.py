"""TaCo with graded codes: what works alike, where contrast only names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from medtaskatlas.encoders.kind import Residual, Role
from medtaskatlas.learning.options import Training

if TYPE_CHECKING:
    from torch import nn

    from medtaskatlas.encoders.graded.objective import GradedObjective
    from medtaskatlas.encoders.pairbank import TrainingRows
    from medtaskatlas.learning.processes import Processes


class TacoGraded(Training, Residual):
    """Graded codes: from the code of one pair, a small network does its task on another image.

    Contrast drives all tasks equally far apart; what must do a task lies near what does nearly the
    same. The embedding is the code. Our own, not TaCo's.
    """

    learns: ClassVar[bool] = True
    has_weights: ClassVar[bool] = True
    standardise: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    kind: Literal["taco_graded"] = Field("taco_graded", description="codes that do their task")
    ablation: bool = Field(
        False, description="whether it is only there to show what a part of another brings"
    )
    embedding_dim: int = Field(32, ge=2, description="length of the code")
    penalty: float = Field(1e-3, ge=0, description="weight of the code's squared length")
    doing_width: int = Field(
        8, ge=4, description="channels of the network that does the task, at full size"
    )
    contrast: float = Field(
        0.0, ge=0, description="weight of the contrast between tasks, with a head of its own"
    )
    temperature: float = Field(0.1, gt=0, description="temperature of the contrast")
    batch_tasks: int = Field(16, ge=2, description="tasks in a batch")
    batch_images: int = Field(2, ge=2, description="pairs of each task in a batch, each done anew")

    @model_validator(mode="after")
    def _is_one_process(self) -> TacoGraded:
        if self.devices > 1:
            raise ValueError("`devices`: a graded code is trained by one process; set 1")
        return self

    @property
    def role(self) -> Role:
        """What it is in comparisons."""
        return "ablation" if self.ablation else "model"

    def network(self, seed: int) -> nn.Module:
        """Make a :class:`~medtaskatlas.encoders.graded.network.GradedEncoder` from a seed."""
        from medtaskatlas.encoders.graded.network import GradedEncoder
        from medtaskatlas.encoders.network import seeded

        return seeded(
            lambda: GradedEncoder(
                (self.backbone, self.width, self.stem),
                code=self.embedding_dim,
                doing_width=self.doing_width,
                contrasted=self.contrast > 0,
            ),
            seed,
        )

    def training(self) -> Training | None:
        """Itself, where it has steps."""
        return self if self.steps else None

    def objective(
        self, network: Any, rows: TrainingRows, seed: int, processes: Processes
    ) -> GradedObjective:
        """What a code must do, and contrast where it has a weight."""
        from medtaskatlas.encoders.graded.objective import GradedObjective

        return GradedObjective(network, rows, self, seed=seed)
