"""The table `dataset_distances`: how far apart datasets lie, and whether modalities explain it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.centroids import (
    as_they_are,
    bootstrapped,
    dataset_cosines,
)
from medtaskatlas.atlas.clusters.statistics import anosim_r
from medtaskatlas.atlas.counts import counts, counts_of_two
from medtaskatlas.atlas.distances import DRAWS
from medtaskatlas.atlas.inference import (
    adjust,
    bootstrap_interval,
    no_interval,
    over_seeds,
    permutation_p,
)
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.sample_distances import dataset_energies, sampled_rows
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

MIN_PER_CELL = 4
SAMPLED_PAIRS = 4000
SAMPLED = f"from about {SAMPLED_PAIRS} pairs of all datasets at most"
FEW_ARRANGEMENTS = 40  # of modalities over datasets: p could hardly be small
UNDEFINED = {
    "centroid_cosine": "undefined: no common task, or the centroid of a dataset is zero",
    "energy": "undefined: no common task, a dataset of one pair, or no pair differs from another",
}
Rows = Iterator[dict[str, Any]]

SPEC = columns.TableSpec(
    "How far apart datasets lie, the tasks being the same; and are two datasets of one modality "
    "nearer than two of different ones?",
    ("run", "encoder", "split", "metric", "level", "dataset_a", "dataset_b"),
    (
        *columns.WHO,
        columns.text(
            "metric",
            "centroid_cosine: 1 - cosine of the centroids; energy: energy distance as a share of "
            "twice the mean distance between the datasets; both over the tasks that the two "
            "datasets have, each counting alike",
            "centroid_cosine",
            "energy",
        ),
        columns.text(
            "level",
            "pair: of two datasets; one_modality, two_modalities: mean over pairs of datasets of "
            "one modality, or of two; modality_difference: the second mean minus the first, with "
            "the p of modalities permuted over datasets; anosim: the same on ranks, -1 to 1 "
            "(Clarke, 1993)",
            "pair",
            "one_modality",
            "two_modalities",
            "modality_difference",
            "anosim",
        ),
        columns.text("dataset_a", "a dataset; null where the row is of many", nullable=True),
        columns.text("dataset_b", "another dataset, later in the alphabet", nullable=True),
        columns.text("modality_a", "modality of dataset_a", nullable=True),
        columns.text("modality_b", "modality of dataset_b", nullable=True),
        columns.count("n_tasks", "tasks that both datasets have; in rows of many, that any has"),
        columns.count("n_dataset_pairs", "pairs of datasets that the number is a mean of"),
        *columns.TESTED,
    ),
)


def dataset_distances(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
    n_permutations: int = 9999,
) -> None:
    """Write the table `dataset_distances`, over all seeds of each encoder.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/dataset_distances.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    n_permutations
        Permutations of the modalities over the datasets.
    """
    rows: list[dict[str, Any]] = []
    for queries in load_queries(embedding_paths):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        rows += [common | row for row in _rows(queries, seed, n_draws, n_permutations)]
        del queries  # before the next is read
    facts = {"run": run, "seed": seed, "n_draws": n_draws, "n_permutations": n_permutations}
    frame = adjust(pd.DataFrame(rows)) if rows else pd.DataFrame()
    write_table("dataset_distances", frame, out, facts)


def _rows(queries: EncoderQueries, seed: int, n_draws: int, n_permutations: int) -> Rows:
    """Rows of one encoder and query set."""
    design, frame = Design.of(queries.frame), queries.frame
    D = len(design.datasets)
    dataset = design.subject_dataset[design.subject]
    # Equally many of each cell as far as it reaches, the same for all encoders.
    order = generator(seed, "dataset energy", queries.query_set).permutation(len(frame))
    cell = dataset * len(design.tasks) + design.task
    most = max(MIN_PER_CELL, SAMPLED_PAIRS // len(np.unique(cell)))
    chosen = sampled_rows(order, cell, most)
    codes = (dataset[chosen], design.task[chosen])
    each = {
        "centroid_cosine": as_they_are(dataset_cosines, queries),
        "energy": np.stack([dataset_energies(v[chosen], *codes) for v in queries.vectors]),
    }
    boot = bootstrapped(dataset_cosines, queries, seed, n_draws, fixed_datasets=True)
    modality = frame.groupby("dataset")["modality"].first().to_numpy(dtype=object)
    has = np.zeros((D, len(design.tasks)), int)
    has[dataset, design.task] = 1
    n_of, subjects = counts_of_two(frame, dataset), np.bincount(design.subject_dataset)
    S = len(queries.seeds)
    for metric, matrices in each.items():
        for a, b in combinations(range(D), 2):
            values = matrices[:, a, b]
            row: dict[str, Any] = {
                "metric": metric,
                "level": "pair",
                "dataset_a": design.datasets[a],
                "dataset_b": design.datasets[b],
                "modality_a": modality[a],
                "modality_b": modality[b],
                "n_tasks": int(has[a] @ has[b]),
                "n_dataset_pairs": 1,
                "p": None,
                **n_of[a][b],
            }
            if not np.isfinite(values).all():
                yield row | {"note": UNDEFINED[metric]}
                continue
            interval = no_interval(f"no interval: {SAMPLED}")
            if metric == "centroid_cosine":
                fewest, mean = int(min(subjects[a], subjects[b])), float(values.mean())
                # The two datasets are kept, so that only subjects and seeds are drawn.
                interval = bootstrap_interval(
                    boot[:, a, b],
                    mean,
                    {"n_subjects": fewest, "n_datasets": 1},
                    n_seeds=S,
                    low=0.0,
                    centred=True,
                    side="a dataset",
                )
            yield row | over_seeds(values) | vars(interval)
        # The same permutations for all encoders: their p differ by their distances only.
        rng = generator(seed, "modalities", queries.query_set)
        draws = boot if metric == "centroid_cosine" else None
        few = int(subjects.min())
        for row in modality_rows(
            matrices, draws, modality, fewest=few, rng=rng, n_permutations=n_permutations
        ):
            yield {
                "metric": metric,
                "p": None,
                "p_family": f"dataset_distances, {row['level']}" if "p" in row else None,
                "n_tasks": len(design.tasks),
                **counts(frame),
                **row,
            }


def modality_rows(
    matrices: np.ndarray,
    boot: np.ndarray | None,
    modality: np.ndarray,
    *,
    fewest: int,
    rng: np.random.Generator,
    n_permutations: int,
) -> Rows:
    """Mean distance of datasets of one modality and of two, and the tests of their difference.

    ``matrices`` [S, D, D] are distances of each seed (NaN where one is unknown), ``boot`` [B, D, D]
    on bootstrap draws, ``modality`` [D] names, ``fewest`` the subjects of the dataset that
    has fewest.

    Modalities are permuted over the datasets, whose distances stay: a Mantel test with a matrix of
    likeness (Legendre and Legendre, Numerical Ecology, 2012, section 10.5), and ANOSIM (Clarke,
    1993).
    """
    D = len(modality)
    at = np.triu_indices(D, 1)
    values = matrices[:, at[0], at[1]]  # [S, pairs]
    known = np.isfinite(values).all(axis=0)
    _, code = np.unique(modality.astype(str), return_inverse=True)
    same = (code[at[0]] == code[at[1]]) & known
    other = (code[at[0]] != code[at[1]]) & known
    every = {"n_dataset_pairs": int(known.sum())}
    difference: dict[str, Any] = {"level": "modality_difference", **every}
    if not (same.any() and other.any()):
        note = "undefined: one dataset only"
        if D > 1:
            lack = "share a modality" if other.any() else "are of different modalities"
            note = f"undefined: no two datasets {lack}"
        yield difference | {"note": note}
        return
    sides = {"one_modality": same, "two_modalities": other}
    each = {level: values[:, rows].mean(axis=1) for level, rows in sides.items()}

    def interval(of: dict[str, float], estimate: float, floor: float) -> dict[str, Any]:
        if boot is None:
            return vars(no_interval(f"no interval: {SAMPLED}"))
        flat = boot[:, at[0], at[1]]
        draws = sum(sign * flat[:, sides[level]].mean(axis=1) for level, sign in of.items())
        n = {"n_subjects": fewest, "n_datasets": 1}
        made = bootstrap_interval(
            np.asarray(draws),
            estimate,
            n,
            n_seeds=len(matrices),
            low=floor,
            centred=True,
            side="a dataset",
        )
        return vars(made)

    for level, rows in sides.items():
        mean = float(each[level].mean())
        yield {
            "level": level,
            "n_dataset_pairs": int(rows.sum()),
            **over_seeds(each[level]),
            **interval({level: 1.0}, mean, 0.0),
        }
    orders = rng.permuted(np.tile(code, (n_permutations, 1)), axis=1)
    apart = values.mean(axis=0)
    null = _differences(apart, orders, at, known)
    gap = each["two_modalities"] - each["one_modality"]
    null = null[np.isfinite(null)]
    row = difference | over_seeds(gap) | {"p": permutation_p(float(gap.mean()), null)}
    row |= interval({"two_modalities": 1.0, "one_modality": -1.0}, float(gap.mean()), -np.inf)
    arrangements = len(np.unique(null.round(9)))
    if arrangements < FEW_ARRANGEMENTS:
        caution = f"p can be no less than about {1 / max(arrangements, 1):.2g}: few datasets"
        row["note"] = "; ".join(filter(None, [row["note"], caution]))
    yield row
    if known.all():
        square = np.zeros((D, D))
        square[at] = apart
        square += square.T
        R = float(anosim_r(square, code[None])[0])
        p = permutation_p(R, anosim_r(square, orders))
        note = "no interval: a test statistic"
        yield {"level": "anosim", **every, "estimate": R, "p": p, "note": note}


def _differences(
    apart: np.ndarray, codes: np.ndarray, at: tuple[np.ndarray, ...], known: np.ndarray
) -> np.ndarray:
    """Mean distance of unlike minus that of like, for many labellings [P, D]; NaN: none of one."""
    same = (codes[:, at[0]] == codes[:, at[1]])[:, known].astype(float)
    value = apart[known]
    like = same.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = same @ value
        return (value.sum() - inside) / (len(value) - like) - inside / like
