"""What training makes small: a contrastive loss, and what the options put beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.taco.losses import (
    FAILURE,
    Compared,
    masks,
    nt_xent,
    similarities,
    supcon,
    triplet,
)
from medtaskatlas.encoders.taco.memory import Memory
from medtaskatlas.encoders.taco.steadiness import Degrees, unsteadiness

if TYPE_CHECKING:
    from medtaskatlas.encoders.kinds.taco import Taco


class Criterion(nn.Module):
    """Loss of a whole batch.

    It has parameters (a linear classifier) and a memory where the options ask for them; both are
    part of a checkpoint and not of the model.

    Parameters
    ----------
    options
        Of an encoder of kind ``taco``.
    features
        Length of the features that are classified.
    n_tasks
        Tasks to tell apart.
    seed
        Training seed: initial weights of the classifier.

    Attributes
    ----------
    needs_features
        Whether there is a classifier.
    """

    def __init__(self, options: Taco, features: int, n_tasks: int, seed: int) -> None:
        super().__init__()
        self.options, self.n_tasks = options, n_tasks
        self.memory = Memory(options.memory, options.embedding_dim)
        self.needs_features = options.cross_entropy > 0
        if self.needs_features:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(generator(seed, "classifier").integers(2**62)))
                self.classifier = nn.Linear(features, n_tasks)

    def forward(
        self,
        batch: Compared,
        features: torch.Tensor | None = None,
        degrees: Degrees | None = None,
    ) -> torch.Tensor:
        """Loss of a batch.

        Parameters
        ----------
        batch
            All embeddings of the contrast.
        features
            float [N, features]; only looked at where :attr:`needs_features`.
        degrees
            Only looked at with the option ``steadiness``.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        loss = self.contrast(batch)
        if self.needs_features:
            assert features is not None
            loss = loss + self.options.cross_entropy * self.classification(features, batch.label)
        if self.options.steadiness:
            assert degrees is not None
            lost = unsteadiness(batch.embedding, batch.label, degrees, self.n_tasks)
            loss = loss + self.options.steadiness * lost
        return loss

    def contrast(self, batch: Compared) -> torch.Tensor:
        """Contrastive part of the loss.

        Parameters
        ----------
        batch
            All embeddings of the contrast.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        others = self.memory.beside(batch)
        positive, negative = masks(batch, others, self.options.loss)
        cosine = similarities(batch, others)
        if self.options.loss == "triplet":
            return triplet(cosine, positive, negative, self.options.margin)
        function = {"supcon": supcon, "nt_xent": nt_xent}[self.options.loss]
        return function(cosine, positive, negative, self.options.temperature)

    def classification(self, features: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over tasks; what is of no task takes no part.

        Parameters
        ----------
        features
            float [N, features].
        label
            int64 [N].

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        label = label.clamp(min=FAILURE)
        return functional.cross_entropy(self.classifier(features), label, ignore_index=FAILURE)
