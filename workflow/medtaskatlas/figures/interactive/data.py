"""What the interactive atlas shows: pairs, their pictures, and what encoders make of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import Embedding, load_embeddings
from medtaskatlas.atlas.predictions import EncoderPredictions, load_predictions
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.figures.frames import (
    WHERE,
    by_family,
    family_order,
    modality_name,
    plain,
    read_frame,
)
from medtaskatlas.figures.interactive.distances import around, directed, matrices, places
from medtaskatlas.figures.interactive.encoding import VERDICTS, packed, styles_of
from medtaskatlas.figures.interactive.sprites import ACROSS, TILE, Sheets, collect, sheets_of
from medtaskatlas.figures.projection import balanced, medoid, project
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.pairs.roles import QUERY_SETS

MAX_PAIRS = 3000
FEWEST = 10  # pairs, below which a projection has no meaning
# What dots can be filtered and coloured by beside what the neighbours said: one and many.
DIMENSIONS = {
    "family": ("Family", "families"),
    "task": ("Task", "tasks"),
    "dataset": ("Dataset", "datasets"),
    "modality": ("Modality", "modalities"),
    "split": ("Held-out set", "held-out sets"),
}
_COLUMN = {"split": "query_set"}


@dataclass(frozen=True)
class Content:
    """All that the page holds."""

    payload: dict[str, Any]  # JSON-able; read by static/data.js
    sheets: Sheets
    datasets: list[dict[str, Any]]  # facts of the images files, with `shown` pairs and `heldout`
    n_shown: int  # pairs on the page
    n_heldout: int  # held-out pairs of the run


def gather(
    embedding_paths: Sequence[str | Path],
    prediction_paths: Sequence[str | Path],
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    task_distances_path: str | Path,
    *,
    functional_distance_path: str | Path | None = None,
    graded_distance_path: str | Path | None = None,
    heldout_datasets: Collection[str],
    seed: int,
    max_pairs: int = MAX_PAIRS,
) -> Content:
    """Choose pairs, read their pictures, and lay every space out in the plane.

    Spaces are those of encoders, by which tasks are named apart, and those of tables of transfer,
    in which near tasks work alike.
    """
    predictions = load_predictions(prediction_paths)
    said = {encoder.name: encoder for encoder in predictions.encoders}
    rows = balanced(predictions.frame, max_pairs, seed)
    # Dots are drawn in this order; a mixed one lets no task cover another.
    rows = generator(seed, "interactive atlas").permutation(rows)
    frame = predictions.frame.iloc[rows].reset_index(drop=True)
    images = {image.dataset: image for image in map(ImageSet, image_paths)}
    pictures, tiles = collect(frame, pair_paths, images)
    table = read_frame(task_distances_path)
    functional, graded = (
        None if path is None else read_frame(path)
        for path in (functional_distance_path, graded_distance_path)
    )
    family_of = _family_of(frame, predictions.encoders, table, functional, graded)
    names = _names(frame, family_of)
    heldout = set(predictions.frame.loc[predictions.frame["query_set"] == "tasks", "task"])
    encoders, alike = [], []
    codes = set() if graded is None else set(graded["encoder"])
    shown = frame["pair_id"]
    for embedding in _first_seeds(embedding_paths, shown):
        if embedding.name not in said:
            raise DataError(
                f"there are embeddings of {embedding.name} but no predictions",
                "give the predictions of every encoder to the interactive atlas",
            )
        space = _space(_spots(embedding, shown, seed), frame["task"].to_numpy(), names["task"])
        if graded is not None and embedding.name in codes:
            own = graded[graded["encoder"] == embedding.name]
            made = {"name": f"codes of {embedding.name}", "sense": "codes"}
            alike.append(made | space | {"distances": directed(own, names["task"])})
        own = table[table["encoder"] == embedding.name]
        told = _told(said[embedding.name], embedding.seed, rows, names["task"])
        encoders.append(told | space | {"distances": matrices(own, names["task"], heldout)})
    if functional is not None:
        alike.append(_functional(functional, frame["task"].to_numpy(), names["task"]))
    # What is made to work alike names tasks where nothing else does.
    encoders = [one for one in encoders if one["name"] not in codes] or encoders
    payload = {
        "dimensions": _dimensions(names),
        "task_family": [names["family"].index(family_of[task]) for task in names["task"]],
        "codes": {name: _codes(frame[_COLUMN.get(name, name)], names[name]) for name in DIMENSIONS},
        "pair_id": frame["pair_id"].tolist(),
        "image_id": frame["image_id"].tolist(),
        "severity": packed(pictures["severity"].to_numpy(np.float32)),
        "input": packed(pictures["input"].to_numpy(np.uint32)),
        "output": packed(pictures["output"].to_numpy(np.uint32)),
        "tile": TILE,
        "across": ACROSS,
        "encoders": encoders,
        "alike": alike,
        "viridis": _viridis(),
    }
    facts = _facts(images, frame, heldout_datasets)
    return Content(payload, sheets_of(tiles), facts, len(frame), len(predictions.frame))


def _first_seeds(paths: Sequence[str | Path], shown: pd.Series) -> Iterable[Embedding]:
    """Of each encoder's first seed the pairs that are shown, encoders in the order given."""
    first: dict[str, tuple[int, str | Path]] = {}
    for path in paths:
        name, number = _encoder_and_seed(path)
        if name not in first or number < first[name][0]:
            first[name] = (number, path)
    return load_embeddings(
        [path for _, path in first.values()],
        wanted=lambda pairs: np.flatnonzero(pairs["pair_id"].isin(shown)),
    )


def _encoder_and_seed(path: str | Path) -> tuple[str, int]:
    """What an embeddings file is of, by its place: <encoder>/seed<k>.parquet."""
    path = Path(path)
    number = path.stem.removeprefix("seed")
    if not number.isdigit():
        raise DataError(
            f"{path} is not named seed<k>.parquet", "give files of the run's embeddings"
        )
    return path.parent.name, int(number)


def _family_of(
    frame: pd.DataFrame,
    encoders: Iterable[EncoderPredictions],
    table: pd.DataFrame,
    *transfer: pd.DataFrame | None,
) -> dict[str, str]:
    """Family of every task that is shown, named by an encoder, or measured."""
    found = dict(zip(frame["task"], frame["family"], strict=True))
    for encoder in encoders:
        knn = encoder.methods["knn"]
        found |= dict(zip(knn.predicted.flat, knn.predicted_family.flat, strict=True))
    for side in "ab":
        found |= dict(zip(table[f"task_{side}"], table[f"family_{side}"], strict=True))
    for one in transfer:
        if one is not None:
            found |= dict(zip(one["target"], one["target_family"], strict=True))
    return found


def _names(frame: pd.DataFrame, family_of: dict[str, str]) -> dict[str, list[str]]:
    """Values of every dimension in the order of the page."""
    return {
        "family": family_order(family_of.values()),
        "task": by_family(family_of),
        "dataset": sorted(set(frame["dataset"])),
        "modality": sorted(set(frame["modality"])),
        "split": [name for name in QUERY_SETS if (frame["query_set"] == name).any()],
    }


def _dimensions(names: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Dimensions with the words and looks of their values."""
    words = {"modality": modality_name, "split": WHERE.__getitem__}
    found = [
        {
            "name": dimension,
            "label": DIMENSIONS[dimension][0],
            "plural": DIMENSIONS[dimension][1],
            "values": [words.get(dimension, plain)(name) for name in values],
            "looks": styles_of(dimension, values),
        }
        for dimension, values in names.items()
    ]
    verdict = {"name": "verdict", "label": "Named by kNN", "plural": "verdicts"}
    looks = styles_of("verdict", VERDICTS)
    return [*found, verdict | {"values": list(VERDICTS), "looks": looks}]


def _codes(values: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """Place of every value among the names, packed."""
    place = {name: k for k, name in enumerate(names)}
    return packed(np.array([place[value] for value in values], np.uint16))


def _told(
    encoder: EncoderPredictions, seed: int, rows: np.ndarray, tasks: Sequence[str]
) -> dict[str, Any]:
    """What the neighbours of one encoder said of the chosen pairs."""
    if seed not in encoder.seeds:
        raise DataError(
            f"there are no predictions of {encoder.name}, seed {seed}",
            "give the predictions of every encoder and seed to the interactive atlas",
        )
    knn, at = encoder.methods["knn"], encoder.seeds.index(seed)
    right, family_right = knn.values["correct"] > 0.5, knn.values["family_correct"] > 0.5
    verdict = np.where(right[at], 0, np.where(family_right[at], 1, 2))
    return {
        "name": encoder.name,
        "seed": seed,
        "n_seeds": len(encoder.seeds),
        "predicted": _codes(knn.predicted[at, rows], tasks),
        "verdict": packed(verdict[rows].astype(np.uint16)),
        "n_right": packed(right[:, rows].sum(axis=0).astype(np.uint16)),
    }


def _space(spots: np.ndarray, task: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Places of pairs [N, 2] for the page, and where names are written."""
    return _scaled(spots) | {"middles": _middles(spots, task, names)}


def _functional(rows: pd.DataFrame, task: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The space of linear maps: tasks are placed, and their pairs strewn around them."""
    distances = directed(rows, names)
    spots = around(places(rows, names)[[names.index(one) for one in task]], task)
    made = {"name": "linear maps", "sense": "maps", "distances": distances}
    return made | _space(spots, task, names)


def _spots(embedding: Embedding, pairs: pd.Series, seed: int) -> np.ndarray:
    """Places of the chosen pairs in the plane, [N, 2]."""
    from threadpoolctl import threadpool_limits

    known = embedding.frame["pair_id"].to_numpy(dtype=str)
    wanted = pairs.to_numpy(dtype=str)
    if not np.array_equal(known, np.sort(wanted)):
        raise DataError(
            f"embeddings of {embedding.name} lack pairs that its predictions have",
            "delete the predictions folder and start the run again",
        )
    if len(wanted) < FEWEST:
        turn = 2 * np.pi * np.arange(len(wanted)) / len(wanted)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1)
    with threadpool_limits(1):  # sums in another order would give another picture
        return project(embedding.vectors[np.searchsorted(known, wanted)], seed)


def _scaled(spots: np.ndarray) -> dict[str, Any]:
    """Coordinates in 0..1, both on one scale, packed."""
    low, extent = spots.min(axis=0), np.ptp(spots, axis=0)
    scale = max(float(extent.max()), 1e-9)
    place = (spots - low) / scale + (1 - extent / scale) / 2
    return {axis: packed(place[:, k].astype(np.float32)) for k, axis in enumerate("xy")}


def _middles(spots: np.ndarray, task: np.ndarray, names: Sequence[str]) -> list[list[int]]:
    """[task, pair in its middle] where its name is written, the task with most pairs first."""
    middles = []
    for code, name in enumerate(names):
        own = np.flatnonzero(task == name)
        if len(own):
            middles.append((-len(own), code, int(own[medoid(spots[own])])))
    return [[code, middle] for _, code, middle in sorted(middles)]


def _facts(
    images: dict[str, ImageSet], frame: pd.DataFrame, heldout: Collection[str]
) -> list[dict[str, Any]]:
    """Facts of the datasets that are shown."""
    shown = frame["dataset"].value_counts()
    return [
        {**images[name].meta, "shown": int(shown[name]), "heldout": name in heldout}
        for name in sorted(shown.index)
    ]


def _viridis() -> list[str]:
    """The colour map of the heatmaps from near to far, 256 hexadecimal colours."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps["viridis_r"](np.arange(256))]
