"""The table `clusters`: whether tasks fall into the families that we assign, when nobody tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_samples

from medtaskatlas.atlas.distances import distance_matrix
from medtaskatlas.atlas.inference import adjust
from medtaskatlas.atlas.partitions import agreement_test
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.seeds import generator

NO_INTERVAL = "no interval: tasks are a fixed set; see p"


def clusters(
    task_distances_path: str | Path,
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_permutations: int = 9999,
) -> None:
    """Write the table `clusters`: average linkage on task distances, cut into as many as families.

    Parameters
    ----------
    task_distances_path
        The table `task_distances`.
    out
        results/<run>/tables/clusters.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_permutations
        Permutations of the families over the tasks.
    """
    table = read_table(task_distances_path, "task_distances", run=run)
    totals = table.attrs["meta"]["counts"]
    rows: list[dict[str, Any]] = []
    for (encoder, split, metric), chosen in table.groupby(["encoder", "split", "metric"]):
        common = {"run": run, "encoder": encoder, "split": split, "metric": metric}
        common |= {"linkage": "average", "p_family": f"clusters: {split}", **totals[split]}
        family = dict(zip(chosen["task_a"], chosen["family_a"], strict=True))
        family |= dict(zip(chosen["task_b"], chosen["family_b"], strict=True))
        matrix = distance_matrix(table, str(encoder), str(split), str(metric))
        # The same permutations for all encoders: their p differ by their distances only.
        rng = generator(seed, "clusters", str(split), str(metric))
        rows += [common | row for row in _rows(matrix, family, rng, n_permutations)]
    frame = pd.DataFrame(rows)
    if len(frame):
        frame = adjust(frame)
        frame["p_family"] = frame["p_family"].where(frame["p"].notna())
    write_table("clusters", frame, out, {"run": run, "n_permutations": n_permutations})


def _rows(
    matrix: pd.DataFrame, family_of: dict[str, str], rng: np.random.Generator, n_permutations: int
) -> Iterator[dict[str, Any]]:
    """Rows of one tree: of the partition, then of each task."""
    tasks = list(matrix.index)
    family = np.array([family_of[t] for t in tasks])
    k = len(set(family))
    partition = {"level": "partition", "n_clusters": k, "note": NO_INTERVAL}
    distance = matrix.to_numpy()
    reason = None
    if not np.isfinite(distance).all():
        reason = "undefined: some distances between tasks are unknown"
    elif len(tasks) < 3 or not 1 < k < len(tasks):
        reason = "undefined: needs two families at least and more tasks than families"
    if reason:
        yield partition | {"measure": "ami", "p": None, "note": reason}
        return
    condensed = squareform(distance, checks=False)
    tree = linkage(condensed, "average")
    found = fcluster(tree, k, "maxclust")
    flat = np.ptp(condensed) == 0 or np.ptp(cophenet(tree)) == 0
    kept = np.nan if flat else cophenet(tree, condensed)[0]
    for measure, (estimate, p) in agreement_test(family, found, rng, n_permutations).items():
        yield partition | {"measure": measure, "estimate": estimate, "p": p}
    yield partition | {
        "measure": "cophenetic",
        "estimate": None if flat else float(kept),
        "p": None,
        "note": "undefined: all distances are the same" if flat else NO_INTERVAL,
    }
    place = silhouette_samples(distance, family, metric="precomputed")
    for i, task in enumerate(tasks):
        yield {
            "level": "task",
            "measure": "silhouette",
            "task": task,
            "family": family[i],
            "cluster": int(found[i]),
            "n_clusters": k,
            "estimate": float(place[i]),
            "p": None,
            "note": NO_INTERVAL,
        }
