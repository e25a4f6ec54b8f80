"""What TaCo gives to the training engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn

from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.taco.batches import Batch, Composer
from medtaskatlas.encoders.taco.losses import classification, supcon, unsteadiness
from medtaskatlas.encoders.taco.network import FromPixels, TaskEncoder
from medtaskatlas.encoders.taco.validation import Validation
from medtaskatlas.learning.objective import Objective
from medtaskatlas.learning.processes import Processes


class TacoObjective(Objective[Batch]):
    """Contrast between tasks, and with it the parts whose weight is above 0."""

    score: ClassVar[str] = "val_accuracy"

    def __init__(
        self,
        network: TaskEncoder,
        composer: Composer,
        *,
        seed: int,
        processes: Processes,
        temperature: float,
        cross_entropy: float = 0.0,
        steadiness: float = 0.0,
        validated: bool = False,
    ) -> None:
        self.n_tasks = len(composer.sampler.tasks)
        self.classifier: nn.Linear | None = None
        if cross_entropy:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(generator(seed, "classifier").integers(2**62)))
                self.classifier = nn.Linear(network.features, self.n_tasks)
        super().__init__(FromPixels(network), self.classifier, processes)
        self.composer, self.temperature = composer, temperature
        self.cross_entropy, self.steadiness = cross_entropy, steadiness
        self.validation = Validation(composer.rows, seed) if validated else None

    def batch(self, step: int) -> Batch:
        """Batch of a step."""
        return self.composer.batch(step, self.processes)

    def loss(self, model: Callable[..., Any], batch: Batch) -> dict[str, torch.Tensor]:
        """Contrast, cross-entropy over tasks and unsteadiness."""
        own, own_features = model(batch.pixels)
        embedding = self.processes.gather(own, len(batch))
        label, severity, image = (
            torch.from_numpy(values).to(embedding.device)
            for values in (batch.labels, batch.severities, batch.images)
        )
        parts = {"contrast": supcon(embedding, label, self.temperature)}
        if self.classifier is not None:
            logits = self.classifier(self.processes.gather(own_features, len(batch)))
            parts["cross_entropy"] = self.cross_entropy * classification(logits, label)
        if self.steadiness:
            lost = unsteadiness(embedding, label, severity, image, self.n_tasks)
            parts["steadiness"] = self.steadiness * lost
        return parts

    def validate(self, model: nn.Module) -> float:
        """Balanced accuracy of neighbours on validation groups."""
        assert self.validation is not None
        assert isinstance(model, FromPixels)
        return self.validation.accuracy(model.network)
