"""Batches in which content gives nothing away.

A batch crosses tasks with images: positives share the task and differ in image, and in dataset
where there are enough; negatives share the image. Every batch is a pure function of the seed and
its step, so training can go on from any step.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.seeds import generator


class CrossedSampler:
    """Balanced batches of tasks crossed with images.

    Parameters
    ----------
    task, dataset, image
        Arrays [N] that name the task, the dataset and the image (unique within its dataset) of
        every pair.
    n_tasks
        Tasks in a batch; all of them where there are fewer.
    n_images
        Pairs of each task in a batch.
    seed
        Training seed.
    n_draws
        Pairs of each task on each image: ``n_images // n_draws`` images, at least one, are drawn.
        An image with fewer pairs of the task gives some more than once; they are mirrored anew.

    Attributes
    ----------
    tasks
        Sorted names of the tasks.
    codes
        int64 [N] codes into :attr:`tasks`.
    cells
        int64 [N] codes of (task, image).

    Raises
    ------
    ConfigError
        If a task has a single pair, so that it has no positive.
    """

    def __init__(
        self,
        task: np.ndarray,
        dataset: np.ndarray,
        image: np.ndarray,
        *,
        n_tasks: int,
        n_images: int,
        seed: int,
        n_draws: int = 1,
    ) -> None:
        self.tasks, self.codes = tasks_of(task)
        self.n_tasks = min(n_tasks, len(self.tasks))
        self.n_draws = n_draws
        self.n_images = max(1, n_images // n_draws)
        self.seed = seed
        _, dataset_code = np.unique(dataset, return_inverse=True)
        # Images of one dataset are contiguous numbers, and so are the datasets themselves.
        keys = np.array([f"{d:06d}/{i}" for d, i in zip(dataset_code, image, strict=True)])
        _, first, image_code = np.unique(keys, return_index=True, return_inverse=True)
        image_dataset = dataset_code[first]
        self._images_of = [np.flatnonzero(image_dataset == d) for d in range(image_dataset[-1] + 1)]
        # rows of (task t, image i): self._rows[bounds[t, i] : bounds[t, i + 1]]
        n = len(first)
        self.cells = self.codes * n + image_code
        self._rows = np.argsort(self.cells, kind="stable")
        counts = np.bincount(self.cells, minlength=len(self.tasks) * n)
        self._begin = np.concatenate([[0], np.cumsum(counts)])
        self._count = counts.reshape(len(self.tasks), n)
        # For each task, its images by dataset: what stands in where the batch's image has no pair.
        self._usable = [
            [images[self._count[t, images] > 0] for images in self._images_of]
            for t in range(len(self.tasks))
        ]
        self._usable = [[u for u in per_task if len(u)] for per_task in self._usable]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and task codes of the batch of a step.

        Parameters
        ----------
        step
            Number of the batch.

        Returns
        -------
        rows
            int64 [n_tasks * images * n_draws] rows of the pairs.
        labels
            int64, codes into :attr:`tasks`.
        """
        rng = generator(self.seed, "batch", step)
        tasks = rng.permutation(len(self.tasks))[: self.n_tasks]
        # One image from each dataset in turn, so that positives differ in dataset too.
        order = np.resize(rng.permutation(len(self._images_of)), self.n_images)
        images = [int(rng.choice(self._images_of[d])) for d in order]
        rows = [row for t in tasks for image in images for row in self._pick(int(t), image, rng)]
        return np.array(rows), np.repeat(tasks, self.n_images * self.n_draws)

    def _pick(self, task: int, image: int, rng: np.random.Generator) -> Iterable[int]:
        """Pairs of the task on the image, or else on another image that the task can use."""
        if not self._count[task, image]:
            choices = self._usable[task]
            image = int(rng.choice(choices[rng.integers(len(choices))]))
        begin = self._begin[task * self._count.shape[1] + image]
        count = self._count[task, image]
        if self.n_draws == 1:
            return [int(self._rows[begin + rng.integers(count)])]
        drawn = np.resize(rng.permutation(count), self.n_draws)
        return self._rows[begin + drawn].tolist()


class PlainSampler:
    """Batches of pairs drawn at random from all: the ablation.

    Parameters
    ----------
    task
        Array [N] that names the task of every pair.
    size
        Pairs in a batch; all of them where there are fewer.
    seed
        Training seed.

    Attributes
    ----------
    tasks, codes, cells
        As of :class:`CrossedSampler`; every row is a cell of its own.

    Raises
    ------
    ConfigError
        If a task has a single pair, so that it has no positive.
    """

    def __init__(self, task: np.ndarray, *, size: int, seed: int) -> None:
        self.tasks, self.codes = tasks_of(task)
        self.size = min(size, len(task))
        self.seed = seed
        self.cells = np.arange(len(task))
        self._rows_of = [np.flatnonzero(self.codes == t) for t in range(len(self.tasks))]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and task codes of a batch.

        Parameters
        ----------
        step
            Number of the batch.

        Returns
        -------
        rows
            int64 [size] rows of the pairs, none of them twice. Of each two tasks that came up with
            a single pair, one gives its place to the other, so that there are positives; at most
            one task is left alone.
        labels
            int64 [size], codes into :attr:`tasks`.
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
    """Names of the tasks and the code of each pair.

    Parameters
    ----------
    task
        Array [N] that names the task of every pair.

    Returns
    -------
    tasks
        Sorted names.
    codes
        int64 [N].

    Raises
    ------
    ConfigError
        If there are not two tasks with two pairs each, or a task has a single pair.
    """
    tasks, codes = np.unique(task, return_inverse=True)
    few = [str(t) for t, n in zip(tasks, np.bincount(codes), strict=True) if n < 2]
    if few or len(tasks) < 2:
        raise ConfigError(
            f"contrast needs two tasks with two training pairs each; too few of: {few}",
            "raise `pairs_per_cell`, or leave the task out with `tasks:`",
        )
    return tasks, codes
