"""The table `transfer_predictors`: what may say, before any training, which source gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.embeddings import load_embeddings
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.atlas.transfer.cells import ALL, Cells, read_cells
from medtaskatlas.core.seeds import generator
from medtaskatlas.pairs.roles import MISMATCHED

# Mean square difference of rounding to 256 grey levels: less is not told from none.
ROUNDING = 1 / (12 * 255**2)
PENALTIES = np.logspace(-2, 4, 13)

OURS, BAR, RIVAL, CONTROL = "ours", "bar", "rival", "control"
ENCODER = "encoder"
# Predictors, whose they are, and what their values are: larger where more gain is expected.
PREDICTORS: dict[str, tuple[str, str]] = {
    "kernel": (OURS, "-estimate of functional_distance"),
    "kernel_symmetric": (OURS, "-log of its apart"),
    "graded": (OURS, "-estimate of graded_distance: the error by the source's graded code"),
    "graded_unseen": (OURS, "the same by encoders that were not trained on the target"),
    "learned": (OURS, "ridge over all that need no gain and know every cell"),
    "output_mse": (BAR, "-mean square difference of the outputs"),
    "output_mse_log": (BAR, "-its log"),
    "output_ssim": (BAR, "structural similarity of the outputs"),
    ENCODER: (RIVAL, "-cosine distance of the tasks' centroids on the dataset"),
    "family": (RIVAL, "1 of one family, else 0"),
    "static_ranker": (RIVAL, "mean gain of the source for other targets"),
    "dataset_size": (RIVAL, "log of the images that the source learned from"),
    "modality": (RIVAL, "share of its datasets that have the modality of the target's"),
    "shuffled_distances": (CONTROL, "the kernel of other tasks, drawn once"),
}
# The same for every target, so that nothing is left of them within sources.
OF_SOURCES = ("static_ranker", "dataset_size", "modality")

SPEC = columns.TableSpec(
    "What says, before any training on the two, how much a target gains from a source? Every "
    "predictor of `transfer_prediction`, cell by cell, next to the gain that was measured.",
    ("run", "protocol", "predictor", "encoder", "dataset", "source", "target"),
    (
        columns.RUN,
        columns.text("protocol", "how gains were measured, see transfer_gains"),
        columns.text(
            "predictor",
            "; ".join(f"{name}: {told}" for name, (_, told) in PREDICTORS.items()),
            *PREDICTORS,
        ),
        columns.text("encoder", "encoder of the space; null of others", nullable=True),
        columns.text(
            "predictor_role",
            "ours: distances that are meant to predict, and spaces of models; bar: the plain "
            "difference of outputs; rival; control",
            *(OURS, BAR, RIVAL, CONTROL),
        ),
        columns.text("dataset", "dataset of the target"),
        columns.text("source", "task that was learned before"),
        columns.text("target", "another task"),
        columns.text("source_family", "family of the source"),
        columns.text("target_family", "family of the target"),
        columns.yes("dataset_trained", "whether sources were trained on the dataset"),
        columns.number("predicted", "larger: more gain is expected; no unit", nullable=False),
        columns.number("gain", "gain that was measured, over all seeds", nullable=False),
    ),
)


@dataclass(frozen=True)
class Predictor:
    """What is predicted of every cell: float [D, K, K], NaN where it says nothing."""

    name: str
    values: np.ndarray
    encoder: str | None = None
    role: str | None = None  # null: that of PREDICTORS


def transfer_predictors(
    functional_path: str | Path,
    datasets_path: str | Path,
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    training_datasets: Mapping[str, list[str]],
    gains_path: str | Path | None = None,
    affinity_path: str | Path | None = None,
    graded_path: str | Path | None = None,
    seed: int = 0,
) -> None:
    """Write the table `transfer_predictors`.

    Parameters
    ----------
    functional_path, datasets_path
        Tables `functional_distance` and `datasets` of the run.
    embedding_paths
        All embedding files of the run; there may be none.
    out
        results/<run>/tables/transfer_predictors.parquet.
    run
        Name of the run.
    training_datasets
        Datasets that a source learned from, of every task.
    gains_path, affinity_path
        Tables of measured gains: `transfer_gains`, and `task_affinity`; one of them at least.
    graded_path
        Table `graded_distance`, of a run that has graded encoders.
    seed
        The run's seed.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another run.
    """
    functional = read_table(functional_path, "functional_distance", run=run)
    datasets = read_table(datasets_path, "datasets", run=run).set_index("dataset")
    graded = read_table(graded_path, "graded_distance", run=run) if graded_path else None
    spaces = list(_distances(embedding_paths, run))
    rows = []
    for cells in read_cells(gains_path, affinity_path, run=run):
        found = [
            *_of_functions(cells, functional),
            *(_of_codes(cells, graded) if graded is not None else ()),
            *(
                Predictor(
                    ENCODER, -cells.at(own, "distance"), name, OURS if role == "model" else RIVAL
                )
                for name, role, own in spaces
            ),
            *_of_sources(cells, datasets, training_datasets),
        ]
        found += [
            Predictor("learned", learned(cells, [one.values for one in found])),
            Predictor("static_ranker", static_ranker(cells)),
            Predictor("shuffled_distances", _shuffled(found[0].values, seed)),
        ]
        for predictor in found:
            rows += [{"run": run, **row} for row in _rows(cells, predictor)]
    write_table("transfer_predictors", rows, out, {"run": run, "seed": seed})


def _rows(cells: Cells, predictor: Predictor) -> Iterator[dict[str, Any]]:
    """Rows of every cell where the gain and the prediction are known."""
    known = np.isfinite(predictor.values) & np.isfinite(cells.gain)
    for d, s, t in np.argwhere(known).tolist():
        yield {
            "protocol": cells.protocol,
            "predictor": predictor.name,
            "encoder": predictor.encoder,
            "predictor_role": predictor.role or PREDICTORS[predictor.name][0],
            "dataset": cells.datasets[d],
            "source": cells.tasks[s],
            "target": cells.tasks[t],
            "source_family": cells.families[s],
            "target_family": cells.families[t],
            "dataset_trained": bool(cells.trained[d]),
            "predicted": float(predictor.values[d, s, t]),
            "gain": float(cells.gain[d, s, t]),
        }


def _of_functions(cells: Cells, table: pd.DataFrame) -> Iterator[Predictor]:
    """What the table `functional_distance` says of the target's dataset."""
    rows = table[table["dataset"] != ALL]
    yield Predictor("kernel", -cells.at(rows, "estimate"))
    yield Predictor("kernel_symmetric", -_log(cells.at(rows, "apart")))
    yield Predictor("output_mse", -cells.at(rows, "output_mse"))
    yield Predictor("output_mse_log", -_log(cells.at(rows, "output_mse")))
    yield Predictor("output_ssim", cells.at(rows, "output_ssim"))


def _of_codes(cells: Cells, table: pd.DataFrame) -> Iterator[Predictor]:
    """What graded codes say, of encoders that were trained on the target or were not."""
    rows = table[table["dataset"] != ALL]
    for (encoder, seen), own in rows.groupby(["encoder", "target_trained"], sort=True):
        name = "graded" if seen else "graded_unseen"
        yield Predictor(name, -cells.at(own, "estimate"), str(encoder))


def _log(values: np.ndarray) -> np.ndarray:
    """Log of square differences."""
    return np.asarray(np.log(np.maximum(values, ROUNDING)))


def _distances(paths: Iterable[str | Path], run: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, role and cosine distances of the tasks of each dataset, in the space of each encoder.

    Of centroids of training pairs, which no gain is scored on; mean over seeds.
    """
    found: dict[tuple[str, str], list[pd.DataFrame]] = {}

    def training(frame: pd.DataFrame) -> np.ndarray:
        return np.flatnonzero((frame["split"] == "train") & (frame["role"] != MISMATCHED))

    for one in load_embeddings(paths, run=run, wanted=training):
        key = one.name, str(one.facts["role"])
        of, names = one.frame["dataset"].to_numpy(str), one.frame["task"].to_numpy(str)
        for dataset in sorted(set(of)):
            at = np.flatnonzero(of == dataset)
            tasks, code = np.unique(names[at], return_inverse=True)
            sums = np.zeros((len(tasks), one.vectors.shape[1]))
            np.add.at(sums, code, one.vectors[at])
            length = np.linalg.norm(sums, axis=1, keepdims=True)
            unit = np.divide(sums, length, out=np.full_like(sums, np.nan), where=length > 0)
            distance = pd.DataFrame(1 - unit @ unit.T, tasks, tasks).rename_axis("source")
            long = distance.melt(var_name="target", value_name="distance", ignore_index=False)
            found.setdefault(key, []).append(long.reset_index().assign(dataset=dataset))
    for (name, role), frames in sorted(found.items()):
        keys = ["dataset", "source", "target"]
        yield name, role, pd.concat(frames).groupby(keys)["distance"].mean().reset_index()


def _of_sources(
    cells: Cells, datasets: pd.DataFrame, trained_on: Mapping[str, list[str]]
) -> Iterator[Predictor]:
    """Trivial rules: the family, how much a source learned from, and of which modality."""
    D, K = len(cells.datasets), len(cells.tasks)
    yield Predictor("family", np.tile(cells.same_family.astype(float), (D, 1, 1)))
    sizes = [datasets["n_train"].reindex(trained_on.get(t, [])).sum() for t in cells.tasks]
    size = np.array([np.log(n) if n > 0 else np.nan for n in sizes])
    yield Predictor("dataset_size", np.tile(size[None, :, None], (D, 1, K)))
    share = np.full((D, K), np.nan)
    for d, name in enumerate(cells.datasets):
        for s, task in enumerate(cells.tasks):
            own = datasets["modality"].reindex(trained_on.get(task, []))
            if len(own):
                share[d, s] = (own == datasets["modality"].get(name)).mean()
    yield Predictor("modality", np.repeat(share[:, :, None], K, axis=2))


def static_ranker(cells: Cells) -> np.ndarray:
    """Mean gain of a source for all other targets, on all datasets; float [D, K, K]."""
    known = np.isfinite(cells.gain)
    # Summed without the target: what was added and taken off again would leave its rounding.
    without = 1.0 - np.eye(len(cells.tasks))
    total, n = (v.sum(axis=0) @ without for v in (np.nan_to_num(cells.gain), known))
    mean = np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
    return np.tile(mean, (len(cells.datasets), 1, 1))


def learned(cells: Cells, features: Sequence[np.ndarray]) -> np.ndarray:
    """Gains that ridge regression predicts from features [D, K, K] that know every cell.

    For a target on a dataset it is fitted to cells in which the task is neither source nor target,
    of other datasets where there are some. Features are standardised and gains centred within
    each target and dataset, so that it ranks sources and says nothing of how high gains are. The
    penalty is the best in the fitted cells.
    """
    from sklearn.linear_model import RidgeCV

    known = np.isfinite(cells.gain) & np.isfinite(features[0])
    whole = [one for one in features if np.isfinite(one[known]).all()]
    x = np.stack([_within_targets(one, known, scaled=True) for one in whole], axis=-1)
    out = np.full(cells.gain.shape, np.nan)
    for d, t in np.argwhere(known.any(axis=1)):
        fitted = known.copy()
        fitted[:, t, :] = fitted[:, :, t] = False
        if len(cells.datasets) > 1:
            fitted[d] = False
        if fitted.sum() > 1:
            # Centred only now: means over sources would hold gains of the task as a source.
            y = _within_targets(cells.gain, fitted, scaled=False)[fitted]
            ridge = RidgeCV(alphas=PENALTIES, fit_intercept=False).fit(x[fitted], y)
            out[d, known[d, :, t], t] = ridge.predict(x[d, known[d, :, t], t])
    return out


def _within_targets(values: np.ndarray, known: np.ndarray, *, scaled: bool) -> np.ndarray:
    """Values less the mean of their target and dataset, over the standard deviation if scaled."""
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    rest = np.where(known, values, 0.0)
    rest = np.where(known, rest - rest.sum(axis=1, keepdims=True) / n, 0.0)
    if not scaled:
        return rest
    spread = np.sqrt((rest**2).sum(axis=1, keepdims=True) / n)
    return np.divide(rest, spread, out=np.zeros_like(rest), where=spread > 1e-12)


def _shuffled(values: np.ndarray, seed: int) -> np.ndarray:
    """Predictions with tasks in another order, as sources and as targets."""
    order = generator(seed, "transfer shuffled distances").permutation(values.shape[1])
    return values[:, order][:, :, order]
