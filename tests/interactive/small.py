"""A small run with real pictures: what the interactive atlas reads."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from atlas_synthetic import make_vectors, with_roles, write_embedding
from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.predict import predict
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import COLUMNS, PairSet
from medtaskatlas.tasks.bank import load_bank

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & $run $payload"
TASKS = ("segmentation", "denoising_gaussian", "rotation")
DATASETS = {"ct_a": "CT", "us_b": "US", "mr_c": "MR"}
HELDOUT = ["mr_c"]

FAMILY = {"segmentation": "semantic", "denoising_gaussian": "generative",
          "rotation": "transformation"}  # fmt: skip


def distance_rows(encoder):
    """Distances of all tasks but one pair of them."""
    return [
        {"run": "small", "encoder": encoder, "seed": pd.NA, "split": split,
         "metric": "centroid_cosine", "task_a": a, "task_b": b, "family_a": FAMILY[a],
         "family_b": FAMILY[b], "estimate": value, "ci_low": value - 0.1 if value < 1 else np.nan,
         "ci_high": value + 0.1 if value < 1 else np.nan, "n_pairs": 40}
        for split in ("groups", "datasets")
        for a, b, value in (("denoising_gaussian", "rotation", 0.25),
                            ("denoising_gaussian", "segmentation", 1.25))
    ]  # fmt: skip


def transfer_rows(datasets=("all", "ct_a"), **more):
    """What every task does for every other; rotation does less for segmentation than it gains."""
    place = {"segmentation": 0.0, "denoising_gaussian": 1.0, "rotation": 3.0}
    return [
        {"run": "small", "dataset": dataset, "source": s, "target": t, "source_family": FAMILY[s],
         "target_family": FAMILY[t], "estimate": abs(place[s] - place[t]) * (1.5 if s > t else 1.0),
         "ci_low": 0.0 if dataset == "all" else np.nan,
         "ci_high": 9.0 if dataset == "all" else np.nan, "n_pairs": 20, **more}
        for dataset in datasets for s in place for t in place
    ]  # fmt: skip


def make_run(folder, heldout_tasks=()):
    """Arguments of the maker, by name, and the pairs files by (task, dataset)."""
    bank, images, pairs, frames = load_bank(), [], {}, []
    for k, (dataset, modality) in enumerate(DATASETS.items()):
        path = write_dataset(
            folder / "images" / f"{dataset}.arrow", n=8, side=24, groups=4, seed=k,
            splits="train train val test", ids="i{}<b>", modality=modality, annotation="derived",
            title=EVIL, citation="Somebody <a@b>",
        )  # fmt: skip
        images.append(path)
        for task in TASKS:
            out = folder / "pairs" / "main" / task / f"{dataset}.arrow"
            make_pairs(path, bank[task], out, pairs_per_cell=16, splits=SPLITS, seed=0)
            pairs[task, dataset] = out
            made = PairSet(out, ImageSet(path))
            frames.append(pd.DataFrame({c: made.column(c).to_pylist() for c in COLUMNS}))
    frame = pd.concat(frames, ignore_index=True)
    embeddings, predictions = [], []
    frame = with_roles(frame, HELDOUT, heldout_tasks)
    for encoder, dim, seed in (("taco", 8, 0), ("taco", 8, 1), ("pixels", 6, 0)):
        path = folder / "embeddings" / encoder / f"seed{seed}.parquet"
        vectors = make_vectors(frame, seed, dim, family=0, dataset=0, noise=1.5)
        embeddings.append(write_embedding(path, frame, vectors, encoder, seed))
        predictions.append(folder / "predictions" / encoder / f"seed{seed}.parquet")
        predict(path, predictions[-1], k=5)
    distances = folder / "tables" / "task_distances.parquet"
    distances.parent.mkdir()
    if heldout_tasks:
        task_distances(embeddings, distances, run="small", n_draws=100)
    else:
        table = pd.DataFrame(distance_rows("taco") + distance_rows("pixels"))
        table.assign(seed=table["seed"].astype("Int64")).to_parquet(distances)
    functional = distances.with_name("functional_distance.parquet")
    pd.DataFrame(transfer_rows()).to_parquet(functional)
    arguments = {
        "embedding_paths": embeddings, "prediction_paths": predictions,
        "pair_paths": list(pairs.values()), "image_paths": images,
        "task_distances_path": distances, "functional_distance_path": functional, "seed": 0,
        "heldout_datasets": HELDOUT,
    }  # fmt: skip
    return SimpleNamespace(arguments=arguments, pairs=pairs, images=images, folder=folder)
