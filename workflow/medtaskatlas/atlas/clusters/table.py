"""The table `clusters`: whether tasks fall into the families that we assign, when nobody tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_samples

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.centroids import as_they_are, bootstrapped, centroid_cosines, subjects_of
from medtaskatlas.atlas.clusters.statistics import (
    Branch,
    agreement_test,
    best_cut,
    branch_support,
    branches,
    cohesion_test,
    family_ami,
)
from medtaskatlas.atlas.distances import DRAWS, distance_matrix, encoder_matrix
from medtaskatlas.atlas.inference import (
    MIN_SUBJECTS,
    adjust,
    against_baselines,
    bootstrap_interval,
    bootstrap_p,
)
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "Do the tasks fall into the families that we assign, when nobody tells?",
    ("run", "encoder", "other", "split", "metric", "level", "measure", "task", "members"),
    (
        *columns.WHO,
        columns.text("other", "of a gain: the baseline that is taken off", nullable=True),
        columns.text("metric", "metric of task_distances"),
        columns.text("linkage", "how clusters are joined", "average"),
        columns.text(
            "level",
            "partition: of all tasks; task: of one; branch: of an inner node of the tree "
            "(centroid_cosine only)",
            *("partition", "task", "branch"),
        ),
        columns.text(
            "measure",
            "ami, ari: agreement of the families with as many clusters, 0 at chance; ami_gain: ami "
            "minus that of a baseline; "
            "silhouette_best: mean silhouette of the tree cut where it is largest, families "
            "hidden; ami_label_free, ari_label_free: agreement of the families with that cut; "
            "permanova: pseudo-F of the families on the distances (Anderson, 2001); "
            "anosim: R of the families on ranked distances (Clarke, 1993); "
            "cophenetic: how well the tree keeps the distances; silhouette: of the task in "
            "its family; support: share of the bootstrap draws (dataset > subject > seed) whose "
            "tree has a branch of the same tasks",
            *("ami", "ari", "ami_gain", "silhouette_best", "ami_label_free", "ari_label_free"),
            *("permanova", "anosim", "cophenetic", "silhouette", "support"),
        ),
        columns.text("task", "the task; null for a partition or a branch", nullable=True),
        columns.text("family", "its family, or the one family of a branch", nullable=True),
        columns.text("members", "tasks of a branch, with commas between; else null", nullable=True),
        columns.number("height", "distance at which a branch is joined; else null", 0),
        columns.count("cluster", "number of the cluster that the task falls into", nullable=True),
        columns.count(
            "n_clusters", "clusters that the tree is cut into; null for a branch", nullable=True
        ),
        *columns.TESTED,
    ),
)
NO_INTERVAL = "no interval: tasks are a fixed set; see p"
FLAT = "undefined: all distances are the same"
GAIN_DRAWS = 300  # each takes a millisecond an encoder
Rows = Iterator[dict[str, Any]]


def clusters(
    task_distances_path: str | Path,
    out: str | Path,
    *,
    run: str,
    embedding_paths: Iterable[str | Path] = (),
    seed: int = 0,
    n_permutations: int = 9999,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `clusters`: average linkage on task distances, with families and without.

    Parameters
    ----------
    task_distances_path
        The table `task_distances`.
    out
        results/<run>/tables/clusters.parquet.
    run
        Name of the run.
    embedding_paths
        All embedding files of the run, for the support of branches; branches have none without.
    seed
        The run's seed.
    n_permutations
        Permutations of the families over the tasks.
    n_draws
        Bootstrap draws of the support.

    Raises
    ------
    DataError
        If the table is missing, damaged or of another run, if an embedding file is bad, or if the
        two are not of the same distances.
    """
    table = read_table(task_distances_path, "task_distances", run=run)
    totals, asked = (table.attrs["meta"][key] for key in ("counts", "tasks"))
    rows: list[dict[str, Any]] = []
    for (encoder, split, metric), chosen in table.groupby(["encoder", "split", "metric"]):
        common = _common(run, str(encoder), str(split), str(metric), totals[split])
        family = dict(zip(chosen["task_a"], chosen["family_a"], strict=True))
        family |= dict(zip(chosen["task_b"], chosen["family_b"], strict=True))
        # Held-out tasks are clustered among themselves: those of the gallery would outvote them.
        tasks = asked[split]
        matrix = distance_matrix(chosen).loc[tasks, tasks]
        # The same permutations for all encoders: their p differ by their distances only.
        rng = generator(seed, "clusters", str(split), str(metric))
        rows += [common | row for row in _rows(matrix, family, rng, n_permutations)]
        if metric == "centroid_cosine" and not embedding_paths:
            common |= {"note": "no support: made without embeddings"}
            rows += [common | _branch_row(b, matrix, family) for b in _branches(matrix)]
    recovered: list[_Recovered] = []
    for queries in load_queries(embedding_paths, every_task=True):
        name, split = queries.name, queries.query_set
        if name in set(table.loc[table["split"] == split, "encoder"]):
            matrix = encoder_matrix(table, name, split).loc[asked[split], asked[split]]
            _check_same(matrix, queries, task_distances_path)
            common = _common(run, name, split, "centroid_cosine", totals[split])
            draws = bootstrapped(centroid_cosines, queries, seed, n_draws, fixed_datasets=False)
            rows += [common | row for row in _support_rows(matrix, queries, draws)]
            recovered.append(_recovered(common, matrix, queries, draws))
            del draws
        del queries  # before the next is read
    rows += _gain_rows(recovered)
    frame = pd.DataFrame(rows)
    if len(frame):
        frame = adjust(frame)
        frame["p_family"] = frame["p_family"].where(frame["p"].notna())
    facts = {"run": run, "n_permutations": n_permutations, "n_draws": n_draws}
    write_table("clusters", frame, out, facts)


def _common(run: str, encoder: str, split: str, metric: str, n: dict[str, int]) -> dict[str, Any]:
    """Columns that all rows of an encoder, split and metric share."""
    common = {"run": run, "encoder": encoder, "split": split, "metric": metric}
    return common | {"linkage": "average", "p_family": f"clusters: {split}", "p": None, **n}


def _rows(
    matrix: pd.DataFrame, family_of: dict[str, str], rng: np.random.Generator, n_permutations: int
) -> Rows:
    """Rows of one tree: of partitions, then of each task."""
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
        yield partition | {"measure": "ami", "note": reason}
        return
    condensed = squareform(distance, checks=False)
    tree = linkage(condensed, "average")
    found = fcluster(tree, k, "maxclust")
    for measure, (estimate, p) in agreement_test(family, found, rng, n_permutations).items():
        yield partition | {"measure": measure, "estimate": estimate, "p": p}
    flat = np.ptp(condensed) == 0 or np.ptp(cophenet(tree)) == 0
    yield partition | {
        "measure": "cophenetic",
        "estimate": None if flat else float(cophenet(tree, condensed)[0]),
        "note": FLAT if flat else NO_INTERVAL,
    }
    for measure, (estimate, p) in cohesion_test(distance, family, rng, n_permutations).items():
        sound = np.isfinite(estimate)
        yield partition | {
            "measure": measure,
            "estimate": estimate if sound else None,
            "p": p if sound else None,
            "p_family": f"clusters, cohesion: {measure}",
            "note": NO_INTERVAL if sound else "undefined: no distance within families",
        }
    # The cut that the tree suggests by itself; families play a part only afterwards.
    best = best_cut(tree, distance)
    if best is None:
        yield partition | {"measure": "silhouette_best", "note": FLAT}
    else:
        note = "no interval: the largest of all cuts, so it leans high"
        free = {"n_clusters": len(set(best[0])), "p_family": "clusters, label-free"}
        free = partition | free
        yield free | {"measure": "silhouette_best", "estimate": best[1], "note": note}
        for measure, (estimate, p) in agreement_test(family, best[0], rng, n_permutations).items():
            yield free | {"measure": f"{measure}_label_free", "estimate": estimate, "p": p}
    each = silhouette_samples(distance, family, metric="precomputed")
    for task, own, cluster, estimate in zip(tasks, family, found, each, strict=True):
        yield {"level": "task", "measure": "silhouette", "n_clusters": k, "note": NO_INTERVAL} | {
            "task": task,
            "family": own,
            "cluster": int(cluster),
            "estimate": float(estimate),
        }


def _branches(matrix: pd.DataFrame) -> list[Branch]:
    """Branches of the tree of tasks; none where a distance is unknown."""
    distance = matrix.to_numpy()
    if len(distance) < 3 or not np.isfinite(distance).all():
        return []
    return branches(linkage(squareform(distance, checks=False), "average"))


def _branch_row(branch: Branch, matrix: pd.DataFrame, family: dict[str, str]) -> dict[str, Any]:
    """Row of a branch, without its support."""
    members = [matrix.index[i] for i in branch.members]
    families = {family[task] for task in members}
    return {
        "level": "branch",
        "measure": "support",
        "members": ",".join(members),
        "family": families.pop() if len(families) == 1 else None,
        "height": branch.height,
    }


def _support_rows(matrix: pd.DataFrame, queries: EncoderQueries, draws: np.ndarray) -> Rows:
    """Rows of the branches of one tree, with their support in draws of distances [B, T, T]."""
    found = _branches(matrix)
    if not found:
        return
    design = Design.of(queries.frame)
    own = np.flatnonzero(np.isin(design.tasks, queries.asked))
    n_draws = len(draws)
    share, judged = branch_support(found, draws[:, own[:, None], own])
    subjects = subjects_of(design)[own]
    family = dict(zip(queries.frame["task"], queries.frame["family"], strict=True))
    for branch, estimate, n in zip(found, share, judged, strict=True):
        row = _branch_row(branch, matrix, family)
        few = [str(matrix.index[i]) for i in branch.members if subjects[i] < MIN_SUBJECTS]
        if len(branch.members) == len(matrix):
            note = "no interval: the root, which holds all tasks in every draw"
        elif few:
            note = f"no support: under {MIN_SUBJECTS} subjects of {', '.join(few)}"
        elif n == 0:
            note = "no support: no draw holds all of its tasks"
        else:
            note = "no interval: a share of bootstrap draws"
            note += f"; {n} of {n_draws} hold all of its tasks" if n < n_draws else ""
        known = note.startswith("no interval") and n > 0
        yield row | {"estimate": float(estimate) if known else None, "note": note}


class _Recovered(NamedTuple):
    """How well the tree of an encoder agrees with the families, as it is and on draws [B]."""

    common: dict[str, Any]
    role: str
    estimate: float
    draws: np.ndarray
    n_seeds: int


def _recovered(
    common: dict[str, Any], matrix: pd.DataFrame, queries: EncoderQueries, draws: np.ndarray
) -> _Recovered:
    """Agreement of families and clusters of one encoder."""
    own = np.flatnonzero(np.isin(Design.of(queries.frame).tasks, queries.asked))
    families = dict(zip(queries.frame["task"], queries.frame["family"], strict=True))
    family = np.array([families[task] for task in matrix.index])
    each = [family_ami(one[np.ix_(own, own)], family) for one in draws[:GAIN_DRAWS]]
    estimate = family_ami(matrix.to_numpy(), family)
    return _Recovered(common, queries.role, estimate, np.array(each), len(queries.seeds))


def _gain_rows(recovered: list[_Recovered]) -> Rows:
    """Agreement of every trained encoder minus that of every baseline, draw by draw."""
    for one, other in against_baselines(recovered, lambda encoder: encoder.common["split"]):
        gain, drawn = one.estimate - other.estimate, one.draws - other.draws
        row = {"level": "partition", "measure": "ami_gain", "other": other.common["encoder"]}
        n = one.common
        made = bootstrap_interval(
            drawn, gain, n, n_seeds=max(one.n_seeds, other.n_seeds), low=-2.0, high=2.0
        )
        if not np.isfinite(gain):
            yield one.common | row | {"note": "undefined: a tree of equal distances"}
            continue
        p = None if made.ci_low is None else bootstrap_p(drawn, gain, n)
        family = f"clusters, gains: {one.common['split']}"
        yield one.common | row | {"estimate": gain, "p": p, "p_family": family} | vars(made)


def _check_same(matrix: pd.DataFrame, queries: EncoderQueries, path: str | Path) -> None:
    """Refuse embeddings that the table was not made from."""
    tasks = Design.of(queries.frame).tasks
    now = as_they_are(centroid_cosines, queries).mean(axis=0)
    np.fill_diagonal(now, 0)
    own = np.flatnonzero(np.isin(tasks, queries.asked))
    same = list(matrix.index) == queries.asked and np.allclose(
        matrix.to_numpy(), now[np.ix_(own, own)], atol=1e-5, equal_nan=True
    )
    if not same:
        raise DataError(
            f"{path} holds other distances than the embeddings of {queries.name} "
            f"({queries.query_set}) give",
            f"delete {path} and start the run again",
        )
