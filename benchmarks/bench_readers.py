"""Pairs a second that one thread reads at 224 px: the figures of docs/gpus.md.

``make bench``. Time is that of the thread, so that other work on the machine does not count. Best
of fifteen runs of each part, and of whole batches as training gets them; nothing is asserted.
"""

import time
from collections.abc import Callable
from timeit import repeat

import numpy as np

from benchmarks.bank_pairs import bank_pairs
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.taco.batches import mirror

SIDE, BATCH, RUNS = 224, 256, 15
TASKS = ("rotation", "inversion", "brightness", "denoising_gaussian")
TASKS += ("deblurring", "segmentation", "boundary", "scaling")


def rate(work: Callable[[], object]) -> float:
    """Pairs a second."""
    return BATCH / min(repeat(work, timer=time.thread_time, number=1, repeat=RUNS))


def test_readers(tmp_path) -> None:
    paths, images = bank_pairs(tmp_path, datasets=4, n=40, side=SIDE, tasks=TASKS)
    pairs = PairBank(paths, images)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(pairs), BATCH)
    turned = rng.random((2, BATCH)) < 0.5
    pixels = pairs.gather(rows)
    print()
    print(f"gather         {rate(lambda: pairs.gather(rows)):8.0f} pairs/s")
    print(f"mirror         {rate(lambda: mirror(pixels, turned)):8.0f} pairs/s")
    print(f"a batch whole  {rate(lambda: mirror(pairs.gather(rows), turned)):8.0f} pairs/s")
