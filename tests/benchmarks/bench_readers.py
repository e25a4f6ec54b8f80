"""Pairs a second that one thread reads at 224 px: the figures of docs/gpus.md.

``make bench``. Time is that of the thread, so that other work on the machine does not count. Best
of fifteen runs of each part, and of whole batches as training gets them; nothing is asserted.
"""

import time
from collections.abc import Callable

import numpy as np

from generated import SPLITS, write_dataset
from medtaskatlas.encoders.batches import _mirror
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank

SIDE, BATCH, RUNS = 224, 256, 15
TASKS = ("rotation", "inversion", "brightness", "denoising_gaussian")
TASKS += ("deblurring", "segmentation", "boundary", "scaling")


def rate(work: Callable[[], object]) -> float:
    """Pairs a second."""
    seconds = []
    for _ in range(RUNS):
        begin = time.thread_time()
        work()
        seconds.append(time.thread_time() - begin)
    return BATCH / min(seconds)


def test_readers(tmp_path) -> None:
    bank = load_bank()
    images = [write_dataset(tmp_path / f"{d}.arrow", n=40, side=SIDE, seed=d) for d in range(4)]
    paths = []
    for name in TASKS:
        for file in images:
            paths.append(tmp_path / "pairs" / name / file.name)
            make_pairs(file, bank[name], paths[-1], pairs_per_cell=60, splits=SPLITS, seed=0)
    pairs = PairBank(paths, images)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(pairs), BATCH)
    turned = rng.random((2, BATCH)) < 0.5
    pixels = pairs.gather(rows)
    print()
    print(f"gather         {rate(lambda: pairs.gather(rows)):8.0f} pairs/s")
    print(f"mirror         {rate(lambda: _mirror(pixels, turned)):8.0f} pairs/s")
    print(f"a batch whole  {rate(lambda: _mirror(pairs.gather(rows), turned)):8.0f} pairs/s")
