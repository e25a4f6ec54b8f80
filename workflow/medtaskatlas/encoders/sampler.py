"""Batches in which content gives nothing away.

A batch crosses tasks with images: positives share the task and differ in image, and in dataset
where there are enough; negatives share the image. Every batch is a pure function of the seed and
its step, so training can go on from any step.
"""

from __future__ import annotations

import numpy as np

from medtaskatlas.errors import ConfigError
from medtaskatlas.seeds import generator


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

    Attributes
    ----------
    tasks
        Sorted names of the tasks.

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
    ) -> None:
        self.tasks, self.codes = np.unique(task, return_inverse=True)
        self.n_tasks = min(n_tasks, len(self.tasks))
        self.n_images = n_images
        self.seed = seed
        few = [str(t) for t, n in zip(self.tasks, np.bincount(self.codes), strict=True) if n < 2]
        if few or len(self.tasks) < 2:
            raise ConfigError(
                f"contrast needs two tasks with two training pairs each; too few of: {few}",
                "raise `pairs_per_cell`, or leave the task out with `tasks:`",
            )
        _, dataset_code = np.unique(dataset, return_inverse=True)
        # Images of one dataset are contiguous numbers, and so are the datasets themselves.
        keys = np.array([f"{d:06d}/{i}" for d, i in zip(dataset_code, image, strict=True)])
        _, first, image_code = np.unique(keys, return_index=True, return_inverse=True)
        image_dataset = dataset_code[first]
        self._images_of = [np.flatnonzero(image_dataset == d) for d in range(image_dataset[-1] + 1)]
        # rows of (task t, image i): self._rows[bounds[t, i] : bounds[t, i + 1]]
        n = len(first)
        cell = self.codes * n + image_code
        self._rows = np.argsort(cell, kind="stable")
        counts = np.bincount(cell, minlength=len(self.tasks) * n)
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
            Number of the optimiser step.

        Returns
        -------
        rows
            int64 [n_tasks * n_images] rows of the pairs.
        labels
            int64, codes into :attr:`tasks`.
        """
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
