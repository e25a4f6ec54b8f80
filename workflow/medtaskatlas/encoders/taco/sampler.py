"""Batches in which content gives nothing away.

A batch crosses tasks with images: positives share the task and differ in image, and in dataset
where there are enough; negatives share the image. Every batch is a pure function of the seed and
its step, so training can go on from any step.
"""

from __future__ import annotations

import numpy as np

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.seeds import generator

Names = tuple[np.ndarray, np.ndarray, np.ndarray]  # task, dataset and image of each pair


class CrossedSampler:
    """Balanced batches of ``n_tasks`` tasks crossed with ``n_images`` images each."""

    def __init__(self, names: Names, *, n_tasks: int, n_images: int, seed: int) -> None:
        task, dataset, image = names
        self.tasks, self.codes = tasks_of(task)
        self.n_tasks, self.n_images, self.seed = min(n_tasks, len(self.tasks)), n_images, seed
        _, dataset_code = np.unique(dataset, return_inverse=True)
        # Images of one dataset are contiguous numbers, and so are the datasets themselves.
        keys = np.array([f"{d:06d}/{i}" for d, i in zip(dataset_code, image, strict=True)])
        _, first, image_code = np.unique(keys, return_index=True, return_inverse=True)
        image_dataset = dataset_code[first]
        self._images_of = [np.flatnonzero(image_dataset == d) for d in range(image_dataset[-1] + 1)]
        # Rows of (task t, image i): _count[t, i] of them, from _begin[t * images + i] in _rows.
        n = len(first)
        cells = self.codes * n + image_code
        self._rows = np.argsort(cells, kind="stable")
        counts = np.bincount(cells, minlength=len(self.tasks) * n)
        self._begin = np.concatenate([[0], np.cumsum(counts)])
        self._count = counts.reshape(len(self.tasks), n)
        # For each task, its images by dataset: what stands in where the batch's image has no pair.
        usable = [[i[c[i] > 0] for i in self._images_of] for c in self._count]
        self._usable = [[u for u in per_task if len(u)] for per_task in usable]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [n_tasks * n_images] of the pairs of a step, and their codes of tasks."""
        rng = generator(self.seed, "batch", step)
        tasks = rng.permutation(len(self.tasks))[: self.n_tasks]
        # One image from each dataset in turn, so that positives differ in dataset too.
        order = np.resize(rng.permutation(len(self._images_of)), self.n_images)
        images = [int(rng.choice(self._images_of[d])) for d in order]
        rows = [self._pick(int(t), image, rng) for t in tasks for image in images]
        return np.array(rows), np.repeat(tasks, self.n_images)

    def _pick(self, task: int, image: int, rng: np.random.Generator) -> int:
        """A pair of the task on the image, or else on another image that the task can use."""
        if not self._count[task, image]:
            choices = self._usable[task]
            image = int(rng.choice(choices[rng.integers(len(choices))]))
        begin = self._begin[task * self._count.shape[1] + image]
        return int(self._rows[begin + rng.integers(self._count[task, image])])


class PlainSampler:
    """Batches of ``size`` pairs drawn at random from all: the ablation."""

    def __init__(self, task: np.ndarray, *, size: int, seed: int) -> None:
        self.tasks, self.codes = tasks_of(task)
        self.size, self.seed = min(size, len(task)), seed
        self._rows_of = [np.flatnonzero(self.codes == t) for t in range(len(self.tasks))]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [size] of the pairs of a step, none of them twice, and their codes of tasks.

        Of each two tasks that came up with a single pair, one gives its place to the other, so that
        there are positives; at most one task is left alone.
        """
        rng = generator(self.seed, "plain batch", step)
        rows = rng.choice(len(self.codes), self.size, replace=False)
        drawn = self.codes[rows]
        lone = np.flatnonzero(np.bincount(drawn, minlength=len(self.tasks))[drawn] == 1)
        for kept, given in zip(lone[: len(lone) // 2], lone[len(lone) // 2 :], strict=False):
            others = self._rows_of[drawn[kept]]
            rows[given] = rng.choice(others[others != rows[kept]])
        return rows, self.codes[rows]


def tasks_of(task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted names of the tasks and the code of each pair, int64 [N]."""
    tasks, codes = np.unique(task, return_inverse=True)
    few = [str(t) for t, n in zip(tasks, np.bincount(codes), strict=True) if n < 2]
    if few or len(tasks) < 2:
        raise ConfigError(
            f"contrast needs two tasks with two training pairs each; too few of: {few}",
            "raise `pairs_per_cell`, or leave the task out with `tasks:`",
        )
    return tasks, codes


class FailureSampler:
    """Failures for a batch, a ``share`` of it: the wrong way of its tasks on its images."""

    def __init__(self, names: Names, *, share: float, seed: int) -> None:
        if not len(names[0]):
            raise DataError(
                f"`failures: {share:g}` needs failure pairs of training groups, and there is none",
                "make some with `failures_per_cell`, or set `failures: 0` of this encoder",
            )
        self.share, self.seed = share, seed
        self._n = len(names[0])
        self._of_cell = _rows_by(list(zip(*names, strict=True)))
        self._of_task = _rows_by(list(names[0]))

    def batch(self, names: Names, step: int) -> np.ndarray:
        """Rows int64 [B * share / (1 - share), rounded] for a batch of right pairs [B].

        Each is of the task and on the image of a right pair, else of its task, else any.
        """
        rng = generator(self.seed, "failures", step)
        size = len(names[0])
        count = max(1, round(size * self.share / (1 - self.share)))
        models = np.resize(rng.permutation(size), count)
        drawn = []
        for task, dataset, image in zip(*(column[models] for column in names), strict=True):
            rows = self._of_cell.get((task, dataset, image), self._of_task.get(task))
            drawn.append(int(rng.integers(self._n)) if rows is None else int(rng.choice(rows)))
        return np.array(drawn)


def _rows_by(keys: list) -> dict:
    """Rows of each key."""
    found: dict = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}
