"""Validation of TaCo: how well neighbours name tasks on groups that are not trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.pairbank import TrainingRows

QUERIES, GALLERY, NEIGHBOURS, BATCH = 2000, 2000, 20, 256


class Validation:
    """A fixed sample of validation pairs as queries and of training pairs as gallery."""

    def __init__(self, rows: TrainingRows, seed: int) -> None:
        self.bank = rows.bank
        task, dataset = rows.bank.strings("task"), rows.bank.strings("dataset")
        known = rows.val[np.isin(task[rows.val], list(set(task[rows.train])))]
        if not len(known):
            raise DataError(
                "`patience` looks at validation groups, and there is no pair of any",
                "set `patience: 0` of this encoder, or raise the share `splits: {val: ...}`",
            )
        self.queries = _some(known, QUERIES, generator(seed, "look queries"))
        self.gallery = _some(rows.train, GALLERY, generator(seed, "look gallery"))
        both = task[np.concatenate([self.queries, self.gallery])]
        names, codes = np.unique(both, return_inverse=True)
        self.query_tasks, self.gallery_tasks = np.split(codes, [len(self.queries)])
        _, dataset_codes = np.unique(dataset[self.queries], return_inverse=True)
        # Codes of (dataset, task), over which accuracy is balanced.
        self.query_cells = dataset_codes * len(names) + self.query_tasks

    def accuracy(self, network: nn.Module) -> float:
        """Balanced accuracy over (dataset, task) of the vote of the nearest neighbours."""
        gallery, queries = (self._embed(network, rows) for rows in (self.gallery, self.queries))
        labels = torch.from_numpy(self.gallery_tasks).to(gallery.device)
        votes = nn.functional.one_hot(labels, int(labels.max()) + 1).to(gallery.dtype)
        named = [vote(part, gallery, votes) for part in queries.split(BATCH)]
        right = torch.cat(named).cpu().numpy() == self.query_tasks
        _, cell = np.unique(self.query_cells, return_inverse=True)
        return float(np.mean(np.bincount(cell, right) / np.bincount(cell)))

    def _embed(self, network: nn.Module, rows: np.ndarray) -> torch.Tensor:
        device = next(network.parameters()).device
        parts = [
            network(to_input(self.bank.gather(rows[i : i + BATCH]), device)).float()
            for i in range(0, len(rows), BATCH)
        ]
        return nn.functional.normalize(torch.cat(parts), dim=1)


def vote(queries: torch.Tensor, gallery: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """Task of each query, int64 [Q]; `votes` is one-hot [G, T]."""
    near = (queries @ gallery.T).topk(min(NEIGHBOURS, len(gallery)), dim=1)
    cast = votes[near.indices]
    # Similarities sum to less than the number of neighbours, so they only break ties.
    similar = (cast * (near.values[..., None] + 1)).sum(dim=1) / (4 * NEIGHBOURS)
    return (cast.sum(dim=1) + similar).argmax(dim=1)


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the rows, in their order."""
    if len(rows) <= count:
        return rows
    return np.sort(rng.choice(rows, count, replace=False))
