"""What a Mantel test of thirty tasks takes, beside scikit-bio's.

``pytest -s benchmarks/bench_mantel.py``. Seconds of 9,999 permutations on 30 x 30 distances,
the least of five runs each, are printed, never asserted.
"""

from timeit import repeat

import numpy as np
from scipy.spatial.distance import pdist, squareform
from skbio.stats.distance import DistanceMatrix
from skbio.stats.distance import mantel as skbio_mantel

from medtaskatlas.atlas.comparisons.mantel import mantel

TASKS, PERMUTATIONS, RUNS = 30, 9999, 5


def test_mantel() -> None:
    points = np.random.default_rng(0).normal(size=(2, TASKS, 3))
    one, two = (squareform(pdist(p)) for p in points)
    theirs = DistanceMatrix(one), DistanceMatrix(two)

    def ours() -> None:
        mantel(one, two, np.random.default_rng(0), PERMUTATIONS)

    def peer() -> None:
        skbio_mantel(*theirs, method="spearman", alternative="greater", permutations=PERMUTATIONS)

    least = [min(repeat(work, number=1, repeat=RUNS)) for work in (ours, peer)]
    print(f"\n{least[0]:.3f} s, scikit-bio {least[1]:.3f} s")
