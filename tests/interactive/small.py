"""A small run with real pictures: what the interactive atlas reads."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.predict import predict
from medtaskatlas.formats.images import ImageSet, write_images
from medtaskatlas.formats.pairs import COLUMNS, PairSet
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & $run $payload"
TASKS = ("segmentation", "denoising_gaussian", "rotation")
DATASETS = {"ct_a": "CT", "us_b": "US", "mr_c": "MR"}
HELDOUT = ["mr_c"]
SPLITS = {"train": 0.6, "val": 0.2, "test": 0.2}


def write_image_file(path, dataset, modality, seed, side=24, title=EVIL):
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side]
    discs = np.stack([(xx - 12) ** 2 + (yy - 12) ** 2 < r**2 for r in range(3, 11)])
    image = np.repeat((60 + 150 * discs)[..., None], 3, axis=-1)
    columns = {
        "image_id": [f"i{i}<b>" for i in range(8)],
        "group_id": [f"g{i // 2}" for i in range(8)],
        "group_source": ["pattern"] * 8,
        "split": ["train"] * 4 + ["val"] * 2 + ["test"] * 2,
        "image": np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8),
        "mask": discs.astype(np.uint8),
    }
    meta = {
        "dataset": dataset, "source": "x", "modality": modality, "body_part": "brain",
        "licence": "CC0-1.0", "classes": ["disc"], "annotation": "derived", "title": title,
        "citation": "Somebody <a@b>", "manifest_sha256": "0",
    }  # fmt: skip
    write_images(path, columns, meta)
    return path


def write_embedding_file(path, frame, dim, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(frame), dim)) * 0.6
    codes, names = pd.factorize(frame["task"], sort=True)
    vectors += np.random.default_rng(7).normal(size=(len(names), dim))[codes]
    facts = {"encoder": path.parent.name, "seed": seed, "kind": "taco", "role": "model",
             "run": "small"}  # fmt: skip
    table = pa.Table.from_pandas(
        frame.assign(encoder=path.parent.name, seed=seed), preserve_index=False
    ).append_column(
        "embedding",
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), dim),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table.replace_schema_metadata({b"medtaskatlas": json.dumps(facts).encode()}), path
    )
    return path


def distance_rows(encoder):
    """Distances of all tasks but one pair of them."""
    family = {"segmentation": "semantic", "denoising_gaussian": "generative",
              "rotation": "transformation"}  # fmt: skip
    return [
        {"run": "small", "encoder": encoder, "seed": pd.NA, "split": split,
         "metric": "centroid_cosine", "task_a": a, "task_b": b, "family_a": family[a],
         "family_b": family[b], "estimate": value, "ci_low": value - 0.1 if value < 1 else np.nan,
         "ci_high": value + 0.1 if value < 1 else np.nan, "n_pairs": 40}
        for split in ("groups", "datasets")
        for a, b, value in (("denoising_gaussian", "rotation", 0.25),
                            ("denoising_gaussian", "segmentation", 1.25))
    ]  # fmt: skip


def make_run(folder, heldout_tasks=()):
    """Arguments of the maker, by name, and the pairs files by (task, dataset)."""
    bank, images, pairs, frames = load_bank(), [], {}, []
    for k, (dataset, modality) in enumerate(DATASETS.items()):
        path = write_image_file(folder / "images" / f"{dataset}.arrow", dataset, modality, k)
        images.append(path)
        for task in TASKS:
            out = folder / "pairs" / "main" / task / f"{dataset}.arrow"
            make_pairs(path, bank[task], out, pairs_per_cell=16, splits=SPLITS, seed=0)
            pairs[task, dataset] = out
            made = PairSet(out, ImageSet(path))
            frames.append(pd.DataFrame({c: made.column(c).to_pylist() for c in COLUMNS}))
    frame = pd.concat(frames, ignore_index=True)
    embeddings, predictions = [], []
    held = {"heldout_datasets": HELDOUT, "heldout_tasks": heldout_tasks}
    for encoder, dim, seed in (("taco", 8, 0), ("taco", 8, 1), ("pixels", 6, 0)):
        path = folder / "embeddings" / encoder / f"seed{seed}.parquet"
        embeddings.append(write_embedding_file(path, frame, dim, seed))
        predictions.append(folder / "predictions" / encoder / f"seed{seed}.parquet")
        predict(path, predictions[-1], k=5, **held)
    distances = folder / "tables" / "task_distances.parquet"
    distances.parent.mkdir()
    if heldout_tasks:
        task_distances(embeddings, distances, run="small", n_draws=100, **held)
    else:
        table = pd.DataFrame(distance_rows("taco") + distance_rows("pixels"))
        table.assign(seed=table["seed"].astype("Int64")).to_parquet(distances)
    arguments = {
        "embedding_paths": embeddings, "prediction_paths": predictions,
        "pair_paths": list(pairs.values()), "image_paths": images,
        "task_distances_path": distances, "seed": 0, **held,
    }  # fmt: skip
    return SimpleNamespace(arguments=arguments, pairs=pairs, images=images, folder=folder)
