"""What a Mantel test of thirty tasks takes, beside scikit-bio's.

``pytest -s tests/benchmarks/bench_mantel.py``. Seconds of 9,999 permutations on 30 x 30 distances,
the least of five runs each, are printed, never asserted.
"""

import time
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import pdist, squareform
from skbio.stats.distance import DistanceMatrix
from skbio.stats.distance import mantel as skbio_mantel

from medtaskatlas.atlas.comparisons.mantel import mantel

TASKS, PERMUTATIONS, RUNS = 30, 9999, 5


def seconds(work: Callable[[], object]) -> float:
    """Least of some runs."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_mantel() -> None:
    points = np.random.default_rng(0).normal(size=(2, TASKS, 3))
    one, two = (squareform(pdist(p)) for p in points)
    theirs = DistanceMatrix(one), DistanceMatrix(two)
    for method in ("pearson", "spearman"):
        ours = seconds(
            lambda method=method: mantel(
                one, two, np.random.default_rng(0), method=method, n_permutations=PERMUTATIONS
            )
        )
        peer = seconds(
            lambda method=method: skbio_mantel(*theirs, method=method, permutations=PERMUTATIONS)
        )
        print(f"\n{method}: {ours:.3f} s, scikit-bio {peer:.3f} s")
