"""Intervals and tests that respect how the data hang together.

Pairs of one subject are not independent, even where they are of several groups (blocks of slices of
one brain, regions of one picture), nor are subjects of one dataset, nor is one training seed all
seeds. So the bootstrap is hierarchical: datasets are drawn with replacement, then subjects within
each drawn dataset, then seeds (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.8; Saravanan, Berman and Sober, 2020). Draws are multinomial weights, so that a statistic
over all draws is a matrix product of sums over subjects. Two encoders that share the draws of
datasets and subjects are compared in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

DRAWS = 2000


@dataclass(frozen=True)
class Design:
    """Which pair belongs to which subject and task, and which subject to which dataset."""

    datasets: list[str]  # names, sorted
    tasks: list[str]
    subject_dataset: np.ndarray  # int [G], dataset of each subject
    subject: np.ndarray  # int [N], subject of each pair
    task: np.ndarray  # int [N], task of each pair

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Design:
        """Design of pairs by ``dataset``, ``subject_id`` and ``task``.

        A subject in two datasets is drawn in each for itself.
        """
        dataset, datasets = pd.factorize(frame["dataset"], sort=True)
        local, _ = pd.factorize(frame["subject_id"], sort=True)
        joint = dataset.astype(np.int64) * (len(frame) + 1) + local
        _, first, subject = np.unique(joint, return_index=True, return_inverse=True)
        task, tasks = pd.factorize(frame["task"], sort=True)
        return cls(list(datasets), list(tasks), dataset[first], subject, task)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of subjects and of tasks."""
        return len(self.subject_dataset), len(self.tasks)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums [..., G, T] of values [..., N] over the pairs of each subject and task."""
        subjects, tasks = self.shape
        at = self.subject * tasks + self.task
        flat = np.asarray(values, float).reshape(-1, len(at))
        out = np.stack([np.bincount(at, row, minlength=subjects * tasks) for row in flat])
        return out.reshape(*np.shape(values)[:-1], subjects, tasks)

    def sums_of_rows(self, vectors: np.ndarray) -> np.ndarray:
        """Sums [G, T, F] of vectors [N, F], as :meth:`sums` for many values a pair."""
        from scipy.sparse import csr_array

        (subjects, tasks), N = self.shape, len(self.task)
        at = self.subject * tasks + self.task
        into = csr_array((np.ones(N), (at, np.arange(N))), shape=(subjects * tasks, N))
        return np.asarray(into @ vectors).reshape(subjects, tasks, -1)


@dataclass(frozen=True)
class Draws:
    """Weights of B bootstrap draws."""

    dataset: np.ndarray  # float [B, D], how often each dataset was drawn
    subject: np.ndarray  # float [B, G], how often each subject was drawn


def draw(
    design: Design, rng: np.random.Generator, n: int = DRAWS, *, fixed_datasets: bool = False
) -> Draws:
    """Draw datasets and, in each, subjects; of one drawn twice, twice as many subjects.

    ``fixed_datasets`` keeps every dataset once: for statements about these datasets and no others.
    """
    D = len(design.datasets)
    dataset = np.ones((n, D), int) if fixed_datasets else rng.multinomial(D, np.full(D, 1 / D), n)
    subject = np.zeros((n, len(design.subject_dataset)))
    for d in range(D):
        members = np.flatnonzero(design.subject_dataset == d)
        size = len(members)
        subject[:, members] = rng.multinomial(dataset[:, d] * size, np.full(size, 1 / size))
    return Draws(dataset.astype(float), subject)


def no_draws(design: Design) -> Draws:
    """Weights of the data as they are: the estimate itself, in the shape of one draw."""
    return Draws(np.ones((1, len(design.datasets))), np.ones((1, len(design.subject_dataset))))


def draw_seeds(rng: np.random.Generator, n_seeds: int, n: int = DRAWS) -> np.ndarray:
    """Draw training seeds: weights [n, n_seeds] whose rows sum to 1."""
    return rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n) / n_seeds


def cell_means(design: Design, values: np.ndarray, draws: Draws, seeds: np.ndarray) -> np.ndarray:
    """Mean [B, D, T] of a value in every (dataset, task) cell, for every draw.

    ``values`` [S, N] are of a pair and seed, for example 1 where the task was named right;
    ``seeds`` [B, S] are the weights of the seeds. NaN where a draw has no pair of the cell.
    """
    sums = design.sums(values)
    pairs = design.sums(np.ones(len(design.task)))
    out = np.full((len(draws.subject), len(design.datasets), len(design.tasks)), np.nan)
    for d in range(len(design.datasets)):
        members = design.subject_dataset == d
        weight = draws.subject[:, members]
        total = weight @ pairs[members]
        top = sum(seeds[:, [s]] * (weight @ sums[s][members]) for s in range(len(sums)))
        np.divide(top, total, out=out[:, d], where=total > 0)
    return out


def balanced_mean(
    design: Design, values: np.ndarray, draws: Draws, seeds: np.ndarray
) -> np.ndarray:
    """Mean [B] of a value over all cells, each counting alike; see :func:`cell_means`."""
    everything = np.ones((1, len(design.datasets), len(design.tasks)), bool)
    return average_cells(cell_means(design, values, draws, seeds), draws.dataset, everything)[:, 0]


def average_cells(cells: np.ndarray, dataset_weight: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Balanced means [B, K] over cells of masks [K, D, T]: each counts alike, whatever its pairs.

    ``cells`` [B, D, T] are of :func:`cell_means`, ``dataset_weight`` [B, D] says how often each
    dataset was drawn. NaN where a draw has none of the cells.
    """
    there = np.isfinite(cells) * dataset_weight[:, :, None]
    chosen = masks.reshape(len(masks), -1).T.astype(float)
    top = (np.nan_to_num(cells) * there).reshape(len(cells), -1) @ chosen
    weight = there.reshape(len(cells), -1) @ chosen
    return np.divide(top, weight, out=np.full_like(top, np.nan), where=weight > 0)
