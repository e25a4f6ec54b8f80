"""Embeddings of earlier batches, to contrast with (Wang et al., 2020)."""

from __future__ import annotations

import torch
from torch import nn

from medtaskatlas.encoders.taco.losses import EMPTY, Compared


class Memory(nn.Module):
    """The latest embeddings, newest first; all of it is buffers, so a checkpoint holds it.

    Parameters
    ----------
    size
        How many; 0 for none.
    dim
        Length of an embedding.
    """

    embedding: torch.Tensor
    label: torch.Tensor
    cell: torch.Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        if size:
            self.register_buffer("embedding", torch.zeros(size, dim))
            self.register_buffer("label", torch.full((size,), EMPTY))
            self.register_buffer("cell", torch.full((size,), EMPTY))

    def beside(self, batch: Compared) -> Compared:
        """The batch, and behind it what is remembered.

        Parameters
        ----------
        batch
            N embeddings.

        Returns
        -------
        Compared
            N + size; the very batch where nothing is ever remembered.
        """
        if not self.size:
            return batch
        return Compared(
            torch.cat([batch.embedding, self.embedding]),
            torch.cat([batch.label, self.label]),
            torch.cat([batch.cell, self.cell]),
        )

    def remember(self, batch: Compared) -> None:
        """Put a batch in front; the oldest fall out.

        Parameters
        ----------
        batch
            N embeddings; copied without their history.
        """
        if not self.size:
            return
        with torch.no_grad():
            both = self.beside(batch)
            for buffer, values in (
                (self.embedding, both.embedding),
                (self.label, both.label),
                (self.cell, both.cell),
            ):
                buffer.copy_(values[: self.size])
