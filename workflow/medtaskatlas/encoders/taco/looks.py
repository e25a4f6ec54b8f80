"""Looks at validation groups: how well neighbours name tasks on groups that are not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.taco.rows import TrainingRows
from medtaskatlas.learning.history import History

QUERIES, GALLERY, NEIGHBOURS, BATCH = 2000, 2000, 20, 256


@dataclass(frozen=True)
class Looks:
    """A fixed sample of validation pairs as queries and of training pairs as gallery.

    Attributes
    ----------
    bank
        The pairs.
    queries, gallery
        int64 rows of it.
    query_cells
        int64 [Q] codes of (dataset, task), over which accuracy is balanced.
    query_tasks, gallery_tasks
        int64 codes of tasks.
    every
        Steps between two looks.
    patience
        Looks without gain before training stops.
    """

    bank: PairBank
    queries: np.ndarray
    gallery: np.ndarray
    query_cells: np.ndarray
    query_tasks: np.ndarray
    gallery_tasks: np.ndarray
    every: int
    patience: int

    def due(self, done: int, steps: int) -> bool:
        """Whether to look after so many of all steps; always after the last."""
        return done % self.every == 0 or done == steps

    def over(self, history: History) -> bool:
        """Whether training has gone on for long enough without gain."""
        return history.looks_since_best() >= self.patience

    def accuracy(self, network: nn.Module, device: torch.device) -> float:
        """Balanced accuracy of the nearest neighbours' vote.

        Parameters
        ----------
        network
            Embeds; its mode is left as it was.
        device
            Where it is.

        Returns
        -------
        float
            Mean over (dataset, task) of the share of queries that the majority of their 20 nearest
            neighbours by cosine names rightly; ties go to the more similar.
        """
        mode = network.training
        network.eval()
        with torch.inference_mode():
            gallery = self._embed(network, device, self.gallery)
            labels = torch.from_numpy(self.gallery_tasks).to(device)
            n_tasks = int(self.gallery_tasks.max()) + 1
            votes = nn.functional.one_hot(labels, n_tasks).to(gallery.dtype)
            named = [
                _vote(queries, gallery, votes)
                for queries in self._embed(network, device, self.queries).split(BATCH)
            ]
            predicted = torch.cat(named).cpu().numpy()
        network.train(mode)
        _, cell = np.unique(self.query_cells, return_inverse=True)
        right = np.bincount(cell, predicted == self.query_tasks)
        return float(np.mean(right / np.bincount(cell)))

    def _embed(self, network: nn.Module, device: torch.device, rows: np.ndarray) -> torch.Tensor:
        parts = [
            network(to_input(self.bank.gather(rows[i : i + BATCH]), device)).float()
            for i in range(0, len(rows), BATCH)
        ]
        return nn.functional.normalize(torch.cat(parts), dim=1)


def _vote(queries: torch.Tensor, gallery: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """Task of each query, int64 [Q]; `votes` is one-hot [G, T]."""
    near = (queries @ gallery.T).topk(min(NEIGHBOURS, len(gallery)), dim=1)
    cast = votes[near.indices]
    # Similarities sum to less than the number of neighbours, so they only break ties.
    similar = (cast * (near.values[..., None] + 1)).sum(dim=1) / (4 * NEIGHBOURS)
    return (cast.sum(dim=1) + similar).argmax(dim=1)


def looks_of(rows: TrainingRows, *, every: int, patience: int, seed: int) -> Looks:
    """Choose what is looked at.

    Parameters
    ----------
    rows
        The pairs; validation pairs of tasks without training pairs are not asked.
    every, patience
        See :class:`Looks`.
    seed
        Training seed; chooses 2,000 queries and a gallery of 2,000 where there are more.

    Returns
    -------
    Looks
        The sample.

    Raises
    ------
    DataError
        If there is no validation pair.
    """
    task, dataset = rows.bank.strings("task"), rows.bank.strings("dataset")
    known = rows.val[np.isin(task[rows.val], list(set(task[rows.train])))]
    if not len(known):
        raise DataError(
            "`patience` looks at validation groups, and there is no pair of any",
            "set `patience: 0` of this encoder, or raise the share `splits: {val: ...}`",
        )
    queries = _some(known, QUERIES, generator(seed, "look queries"))
    gallery = _some(rows.train, GALLERY, generator(seed, "look gallery"))
    names, codes = np.unique(task[np.concatenate([queries, gallery])], return_inverse=True)
    _, dataset_codes = np.unique(dataset[queries], return_inverse=True)
    asked = codes[: len(queries)]
    return Looks(
        rows.bank,
        queries,
        gallery,
        dataset_codes * len(names) + asked,
        asked,
        codes[len(queries) :],
        every,
        patience,
    )


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the rows, in their order."""
    if len(rows) <= count:
        return rows
    return np.sort(rng.choice(rows, count, replace=False))
