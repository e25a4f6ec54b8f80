"""The table `comparisons`: encoders against each other, on the same pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.comparisons.cka import DRAWS as CKA_DRAWS
from medtaskatlas.atlas.comparisons.cka import cka_rows
from medtaskatlas.atlas.comparisons.mantel import (
    PERMUTATIONS,
    both,
    mantel_rows,
    noise_ceiling_rows,
)
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.identification import MEASURES, METHODS
from medtaskatlas.atlas.inference import (
    adjust,
    bootstrap_interval,
    bootstrap_p,
    difference_sd,
    sign_flip_p,
)
from medtaskatlas.atlas.predictions import Predictions, load_predictions
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    balanced_mean,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "Is one encoder better than another, and do two arrange the tasks alike? Differences and "
    "agreement on the same pairs, draw by draw.",
    ("run", "contrast", "encoder", "method", "other", "other_method", "split", "measure"),
    (
        columns.RUN,
        columns.text(
            "contrast",
            "pair: two encoders, both kNN; best_baseline: against the baseline "
            "with the best kNN estimate; best_probe: against the best baseline with any "
            "method, supervised probes included; geometry: how alike two embeddings are, or one is "
            "to itself (`other` is the same encoder)",
            *("pair", "best_baseline", "best_probe", "geometry"),
        ),
        columns.ENCODER,
        columns.text("kind", "kind of the encoder"),
        columns.text(
            "method",
            "method of the encoder; for geometry what is compared: embedding (pairs), "
            "centroid_cosine (task distances), seeds or groups (what the noise ceiling is over)",
        ),
        columns.text("other", "the encoder it is compared with"),
        columns.text("other_kind", "its kind"),
        columns.text("other_method", "its method"),
        columns.SEED,
        columns.SPLIT,
        columns.number(
            "p_sign_flip",
            "of a difference: exact p of flipping the signs of the datasets' differences, which "
            "assumes nothing of few datasets; at least 2 / 2^n_datasets; null of one dataset",
            0,
            1,
        ),
        columns.text(
            "measure",
            "differences of balanced_accuracy, family_balanced_accuracy or map_at_r; "
            "mantel_spearman: correlation of the task distances of two encoders, p by relabelling "
            "tasks, one-sided; cka_debiased: debiased linear CKA of unit vectors, of an encoder "
            "with itself between its seeds; noise_ceiling_low, noise_ceiling_high: Spearman "
            "correlation that anything could reach with the task distances of the encoder, given "
            "its seeds or its subjects",
            *("balanced_accuracy", "family_balanced_accuracy", "map_at_r"),
            *("mantel_spearman", "cka_debiased", "noise_ceiling_low", "noise_ceiling_high"),
        ),
        *columns.TESTED,
    ),
)
PICKED = "the baseline was picked as the best on these same pairs, which favours it"
REMEDY = "delete the predictions folder of the run and start the run again"


def comparisons(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
    embedding_paths: Iterable[str | Path] = (),
    task_distances_path: str | Path | None = None,
    n_permutations: int = PERMUTATIONS,
) -> None:
    """Write the table `comparisons`.

    Every encoder with every other (kNN); every trained encoder with the best baseline by kNN, and
    with the best baseline by any method. Datasets and groups are drawn together for both sides,
    seeds apart. Then geometry: whether two encoders put the same tasks far apart (Mantel test) and
    the same pairs (CKA), and how well anything could agree with an encoder (noise ceiling).

    Parameters
    ----------
    prediction_paths
        All prediction files of the run.
    out
        results/<run>/tables/comparisons.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    embedding_paths
        All embedding files of the run; without them there are no rows of CKA and noise ceiling.
    task_distances_path
        The table `task_distances`; without it there are no rows of the Mantel test.
    n_permutations
        Of the Mantel test.

    Raises
    ------
    DataError
        If a file is damaged, of another run, or of other pairs, encoders or seeds than the rest.
    """
    predictions = load_predictions(prediction_paths)
    rows = [
        {"run": run, "split": query_set, **row}
        for query_set in predictions.query_sets
        for row in _rows(predictions.only(query_set), query_set, seed, n_draws)
    ]
    paths = list(embedding_paths)
    if task_distances_path is not None:
        table = read_table(task_distances_path, "task_distances", run=run)
        for query_set in predictions.query_sets:
            frame = predictions.only(query_set).frame
            about = {"run": run, "split": query_set, **counts(frame)}
            # Held-out tasks are compared with tasks of the gallery too, and those not in turn.
            tasks = set(frame["task"])
            own = table[table["task_a"].isin(tasks) & table["task_b"].isin(tasks)]
            found = mantel_rows(own, predictions.encoders, query_set, seed, n_permutations)
            rows += [about | row for row in found]
    for query_set in predictions.query_sets if paths else ():
        encoders = load_queries(paths, run=run, query_sets=(query_set,))
        chosen = predictions.only(query_set)
        about = {"run": run, "split": query_set, **counts(chosen.frame)}
        found = _geometry_rows(chosen, encoders, query_set, seed, n_draws)
        rows += [about | row for row in found]
    # One encoder alone has no tests.
    none: dict[str, Any] = {"p": None, "p_family": None}
    frame = pd.DataFrame([none | row for row in rows])
    if len(frame):
        frame = adjust(frame)
    write_table("comparisons", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _geometry_rows(
    chosen: Predictions, encoders: Iterable[EncoderQueries], query_set: str, seed: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of CKA, then of noise ceilings: of embeddings that are read one by one."""
    ceilings: list[dict[str, Any]] = []

    def checked() -> Iterator[EncoderQueries]:
        shown: dict[str, list[int]] = {}
        for queries in encoders:
            _check_pairs(chosen, queries)
            shown[queries.name] = queries.seeds
            ceilings.extend(noise_ceiling_rows(queries, seed))
            yield queries
            del queries  # before the next is read
        _check_seeds(chosen, shown, query_set)

    yield from cka_rows(checked(), counts(chosen.frame), seed, min(n_draws, CKA_DRAWS))
    yield from ceilings


def _check_seeds(chosen: Predictions, shown: dict[str, list[int]], query_set: str) -> None:
    """Refuse embeddings of other encoders or seeds than the predictions."""
    said = {encoder.name: encoder.seeds for encoder in chosen.encoders}
    for name in sorted(said.keys() | shown.keys()):
        if said.get(name) != shown.get(name):
            raise DataError(
                f"encoder {name}, query set {query_set}: predictions are of seeds "
                f"{said.get(name, [])}, embeddings of seeds {shown.get(name, [])}",
                REMEDY,
            )


def _check_pairs(chosen: Predictions, queries: EncoderQueries) -> None:
    """Refuse embeddings of other pairs than the predictions."""
    one, other = (f["pair_id"].to_numpy(dtype=str) for f in (queries.frame, chosen.frame))
    if not np.array_equal(one, other):
        raise DataError(
            f"encoder {queries.name}, query set {queries.query_set}: embeddings are of other pairs "
            "than the predictions",
            REMEDY,
        )


def _rows(chosen: Predictions, query_set: str, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Rows of one query set."""
    n, design = counts(chosen.frame), Design.of(chosen.frame)
    as_is, fixed = no_draws(design), len(design.datasets) == 1
    draws = draw(design, generator(seed, "bootstrap", query_set), n_draws, fixed_datasets=fixed)

    @cache
    def found(name: str, method: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Estimate of each seed [S], and draws [B]."""
        values = encoders[name].methods[method].values[MEASURES[measure]]
        S = len(encoders[name].seeds)
        each = [balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)]
        weights = draw_seeds(generator(seed, "bootstrap seeds", query_set, name), S, n_draws)
        return np.array(each), balanced_mean(design, values, draws, weights)

    @cache
    def of_datasets(name: str, method: str, measure: str) -> np.ndarray:
        """Mean over the tasks of each dataset, over seeds, [D]."""
        values = encoders[name].methods[method].values[MEASURES[measure]]
        seeds = np.full((1, len(values)), 1 / len(values))
        return np.asarray(np.nanmean(cell_means(design, values, as_is, seeds)[0], axis=1))

    encoders = {e.name: e for e in chosen.encoders}
    baselines = [e for e in chosen.encoders if e.is_baseline]
    trained = [e for e in chosen.encoders if not e.is_baseline]
    for measure in ["family_balanced_accuracy"] if query_set == "tasks" else MEASURES:
        contrasts: list[tuple[str, Any, Any, str]] = [
            ("pair", b, a, "knn") if a.is_baseline and not b.is_baseline else ("pair", a, b, "knn")
            for a, b in combinations(chosen.encoders, 2)
        ]
        for contrast, methods in (("best_baseline", ("knn",)), ("best_probe", METHODS)):
            if contrast == "best_probe" and measure == "map_at_r":
                continue
            options = [(b, m) for b in baselines for m in methods if m in b.methods]
            if options:
                best, how = max(options, key=lambda o: found(o[0].name, o[1], measure)[0].mean())
                contrasts += [(contrast, e, best, how) for e in trained]
        for contrast, one, other, how in contrasts:
            each, boot = found(one.name, "knn", measure)
            other_each, other_boot = found(other.name, how, measure)
            gain, drawn = float(each.mean() - other_each.mean()), boot - other_boot
            interval = bootstrap_interval(drawn, gain, n, n_seeds=max(len(each), len(other_each)))
            row = {
                "contrast": contrast,
                **both(one, other, "knn"),
                "other_method": how,
                "measure": measure,
                "estimate": gain,
                "seed_sd": difference_sd(each, other_each),
                **vars(interval),
                # Without an interval there is no test either.
                "p": None if interval.ci_low is None else bootstrap_p(drawn, gain, n),
                "p_sign_flip": sign_flip_p(
                    of_datasets(one.name, "knn", measure) - of_datasets(other.name, how, measure),
                    generator(seed, "sign flips", query_set),
                ),
                "p_family": f"comparisons, {contrast}: {query_set}",
                **n,
            }
            if contrast != "pair":
                caution = other.cautions.get(how)
                row["note"] = "; ".join(filter(None, [row["note"], PICKED, caution]))
            yield row
