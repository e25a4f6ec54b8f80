"""The table `medformer_pretext_ranks`: whether distance tells which pretext helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medtaskatlas.atlas.columns import ESTIMATE, NOTE, RUN, P, TableSpec, count, text
from medtaskatlas.atlas.inference import adjust, bootstrap_interval, permutation_p
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.atlas.multitask.columns import COUNTS
from medtaskatlas.atlas.resampling import DRAWS
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.seeds import generator

PERMUTATIONS = 9999
ENOUGH = 10  # pretexts; a rank correlation of fewer says little
LEAST = 3

SPEC = TableSpec(
    "Does the atlas' distance between a pretext and a target say which pretext helps that target? "
    "Rank correlation over pretexts of distance and gain: negative where nearer ones help more. "
    "Of medformer_pretexts the primary score of each target, without the pretext that is the "
    "target itself, which lies at distance 0 in every space.",
    ("run", "set", "target", "labels", "reference", "predictor", "encoder"),
    (
        *(RUN, columns.SET, columns.TARGET, columns.LABELS, columns.SCORE),
        text("reference", "the arm from scratch that gains are measured against"),
        text(
            "predictor",
            "distance: in the space of the encoder; family: 0 where pretext and target are of one "
            "family, else 1",
            *("distance", "family"),
        ),
        text("encoder", "the encoder; null: none is needed", nullable=True),
        count("n_pretexts", "pretexts that the ranks are of; of `all`: of the target with most"),
        count("n_targets", "targets of sets; of `all`: that the mean is taken over"),
        *(*ESTIMATE, *P, *COUNTS, NOTE),
    ),
)


def medformer_pretext_ranks(
    pretexts_path: str | Path,
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_permutations: int = PERMUTATIONS,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `medformer_pretext_ranks`.

    Of every target of a set, and (both are ``all``) the mean of the correlations of all of them. p
    is two-sided and permutes pretexts, alike for all targets and encoders, since a pretext that
    helps one target may help them all. The interval draws pretexts.

    Parameters
    ----------
    pretexts_path
        Table `medformer_pretexts` of the run.
    out
        results/<run>/tables/medformer_pretext_ranks.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_permutations, n_draws
        Permutations, and bootstrap draws.
    """
    table = read_table(pretexts_path, "medformer_pretexts", run=run)
    itself = (table["pretext"] == table["task"]).fillna(False)
    table = table[table["primary"] & table["estimate"].notna() & ~itself]
    rng = generator(seed, "medformer pretexts")
    rows = [
        {"run": run, "labels": labels, "reference": reference, **row}
        for (labels, reference), part in table.groupby(["labels", "reference"], sort=True)
        for row in _rows(part, rng, n_permutations, n_draws)
    ]
    frame = pd.DataFrame(rows)
    frame = adjust(frame) if len(frame) else frame
    write_table("medformer_pretext_ranks", frame, out, {"run": run, "seed": seed})


class Ranks(NamedTuple):
    """A rank correlation, that of permuted pretexts [N], and that of drawn ones [B]."""

    estimate: float
    null: np.ndarray
    draws: np.ndarray


def ranks_of(x: np.ndarray, y: np.ndarray, orders: np.ndarray, drawn: np.ndarray) -> Ranks:
    """Ranks of numbers [n] of pretexts, for orders [N, n] and weights [B, n] of these."""
    unit = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    one, other = (v / np.linalg.norm(v) for v in unit)
    return Ranks(float(one @ other), other[orders] @ one, weighted_spearman(x, y, drawn))


def weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman correlations [B] of numbers [n] of which each is there weights [B, n] times."""
    # Nothing is defined where pretexts are drawn that are all alike.
    with np.errstate(invalid="ignore"):
        centred = []
        for v in (x, y):
            # How many are below, those that are equal by half.
            ranks = weights @ ((v[:, None] < v) + 0.5 * (v[:, None] == v))
            mean = (weights * ranks).sum(axis=1) / weights.sum(axis=1)
            centred.append(ranks - mean[:, None])
        one, other = centred
        length = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
        return np.asarray((weights * one * other).sum(axis=1) / length)


def restricted(orders: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Permutations of the kept ones [N, n] of those of all [N, P]; ``kept`` is bool [P].

    Who would take the place of one that is left out takes the place that this one would: so all
    permutations stay as likely, and as much alike for different ``kept`` as can be.
    """
    for gone in np.flatnonzero(~kept):
        orders = np.where(orders == gone, orders[:, [gone]], orders)
    return (np.cumsum(kept) - 1)[orders[:, kept]]


def _rows(
    table: pd.DataFrame, rng: np.random.Generator, n_permutations: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of the arms that share a reference."""
    names = sorted(set(table["pretext"]))
    P = len(names)
    orders = rng.permuted(np.tile(np.arange(P), (n_permutations, 1)), axis=1)
    drawn = rng.multinomial(P, np.full(P, 1 / P), n_draws)
    for predictor, encoder, rows in _predictors(table):
        about = {"predictor": predictor, "encoder": encoder, "p": None, "p_family": None}
        found: list[tuple[dict[str, Any], Ranks]] = []
        for (one, target), cell in rows.groupby(["set", "target"], sort=True):
            values = cell.groupby("pretext")[["distance", "estimate"]].mean().reindex(names)
            kept = values.notna().all(axis=1).to_numpy()
            x, y = values[kept].to_numpy(float).T
            row = about | {"set": one, "target": target, "score": cell["score"].iloc[0]}
            row |= {column.name: int(cell[column.name].max()) for column in COUNTS}
            row |= {"n_pretexts": len(x), "n_targets": 1}
            if len(x) < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
                why = f"{len(x)} pretexts" if len(x) < LEAST else "all are alike"
                yield row | {"note": f"undefined: {why}"}
                continue
            ranks = ranks_of(x, y, restricted(orders, kept), drawn[:, kept])
            found.append((row, ranks))
            yield row | _measured(ranks, len(x), "each target")
        if len(found) > 1:
            told, ranks_of_each = zip(*found, strict=True)
            mean = Ranks(*(np.mean(part, axis=0) for part in zip(*ranks_of_each, strict=True)))
            n = _together(told)
            row = about | {"set": ALL, "target": ALL, "score": ALL} | n
            yield row | _measured(mean, n["n_pretexts"], "mean over targets")


def _predictors(table: pd.DataFrame) -> Iterator[tuple[str, str | None, pd.DataFrame]]:
    """Name and encoder of what may tell how much a pretext gains, as ``distance``."""
    known = table[table["distance"].notna()]
    for encoder, rows in known.groupby("encoder", sort=True):
        yield "distance", str(encoder), rows
    once = table[table["same_family"].notna()].drop_duplicates(["set", "target", "arm"])
    yield "family", None, once.assign(distance=1.0 - once["same_family"].astype(float))


def _together(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts of several targets: those of their sets, which are other images each."""
    frame = pd.DataFrame(rows)
    names = [column.name for column in COUNTS]
    of_sets = frame.groupby("set")[names].max().sum()
    return {
        "n_pretexts": int(frame["n_pretexts"].max()),
        "n_targets": len(frame),
        **{name: int(of_sets[name]) for name in names},
    }


def _measured(ranks: Ranks, n_pretexts: int, family: str) -> dict[str, Any]:
    """Columns of a rank correlation: estimate, interval, test and note."""
    interval = bootstrap_interval(
        ranks.draws,
        float(ranks.estimate),
        {"n_subjects": n_pretexts, "n_datasets": 1},
        n_seeds=1,
        low=-1.0,
        high=1.0,
        unit="pretext",
    )
    few = f"only {n_pretexts} pretexts: a rank correlation of under {ENOUGH} says little"
    notes = [interval.note, few if n_pretexts < ENOUGH else None]
    return {
        "estimate": float(ranks.estimate),
        **vars(interval),
        "p": permutation_p(abs(ranks.estimate), np.abs(ranks.null)),
        "p_family": f"medformer_pretext_ranks, {family}",
        "note": "; ".join(filter(None, notes)) or None,
    }
