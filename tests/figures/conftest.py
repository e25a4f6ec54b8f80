"""Synthetic tables of a run: what the figures read, with known content."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtaskatlas.formats.images import ImageSet, write_images
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank

TASKS = {
    "segmentation": "semantic",
    "boundary": "semantic",
    "denoising_gaussian": "generative",
    "deblurring": "generative",
    "rotation": "transformation",
    "inversion": "transformation",
}
DATASETS = {"ct_a": "CT", "mr_b": "MR", "us_c": "US", "cells_d": "MICROSCOPY"}
HELDOUT = ["cells_d"]


def make_embedding_frame(tasks=TASKS, datasets=DATASETS, heldout=HELDOUT, per_cell=20, dim=16):
    """Pairs whose vectors are a direction of the task, one of the dataset, and noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "pair_id": f"main/{task}/{dataset}/{i}",
            "dataset": dataset,
            "modality": modality,
            "image_id": f"i{i}",
            "group_id": f"g{i % 5}",
            "split": "test" if dataset in heldout or i % 5 == 4 else "train",
            "task": task,
            "family": family,
            "failure_of": None,
        }
        for task, family in tasks.items()
        for dataset, modality in datasets.items()
        for i in range(per_cell)
    ]
    frame = pd.DataFrame(rows)
    vectors = 0.5 * rng.normal(size=(len(frame), dim))
    for column in ("task", "family", "dataset"):
        codes, names = pd.factorize(frame[column])
        vectors += rng.normal(size=(len(names), dim))[codes]
    return frame, vectors.astype(np.float32)


def write_embeddings(path, frame, vectors):
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.Table.from_pandas(frame, preserve_index=False).append_column("embedding", values)
    table = table.replace_schema_metadata({b"medtaskatlas": json.dumps({"kind": "taco"}).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def make_tables(folder, tasks=TASKS, datasets=DATASETS, heldout=HELDOUT):
    """Write all tables that figures read; returns name to path."""
    rng = np.random.default_rng(1)
    names = list(tasks)
    n = {"n_pairs": 120, "n_images": 60, "n_groups": 9, "n_datasets": 3}
    common = {"run": "synthetic", "seed": pd.NA, "seed_sd": 0.01, "ci_method": "bootstrap"}
    frames = {}
    frames["tasks"] = [
        {"run": "synthetic", "task": t, "family": f, "description": f"does {t}", "heldout": False}
        for t, f in tasks.items()
    ]
    frames["datasets"] = [
        {
            "run": "synthetic", "dataset": d, "title": f"Set <{d}>", "source": "embedded",
            "modality": m, "body_part": "brain & more", "licence": "CC0-1.0",
            "annotation": ["derived", "ground_truth", "none"][i % 3], "annotation_note": "Otsu",
            "citation": "Somebody", "group_note": "A group is a patient.", "heldout": d in heldout,
            "n_images": 50, "n_groups": 5, "groups_train": 3, "groups_val": 1, "groups_test": 1,
        }
        for i, (d, m) in enumerate(datasets.items())
    ]  # fmt: skip
    frames["task_grid"] = [
        {"run": "synthetic", "task": t, "family": f, "dataset": d, "modality": m,
         "applicable": f != "semantic" or m in ("CT", "MR"),
         "n_pairs": 100 if f != "semantic" or m in ("CT", "MR") else 0, "n_groups": 5}
        for t, f in tasks.items() for d, m in datasets.items()
    ]  # fmt: skip
    level = {"taco": 0.7, "pixels": 0.45, "random": 0.2}
    rows = []
    for split, less in (("groups", 0.0), ("datasets", 0.15)):
        for encoder, base in level.items():
            for method in ("knn", "linear", "boosted"):
                for measure, more in (("balanced_accuracy", 0), ("family_balanced_accuracy", 0.2)):
                    x = base - less + more + 0.03 * rng.normal()
                    rows.append(
                        {"encoder": encoder, "kind": encoder, "split": split, "method": method,
                         "task_subset": "all", "measure": measure, "level": "overall",
                         "name": "all", "estimate": x, "ci_low": x - 0.06, "ci_high": x + 0.05,
                         "chance": 1 / 3 if more else 1 / len(tasks), "note": None, **n}
                    )  # fmt: skip
            for t in names:
                x = float(np.clip(base - less + 0.25 * rng.normal(), 0, 1))
                rows.append(
                    {"encoder": encoder, "kind": encoder, "split": split, "method": "knn",
                     "task_subset": "all", "measure": "balanced_accuracy", "level": "task",
                     "name": t, "estimate": x, "ci_low": max(0, x - 0.1), "chance": None,
                     "ci_high": min(1, x + 0.1), "note": None, **n}
                )  # fmt: skip
    frames["identification"] = [common | row for row in rows]
    rates = rng.dirichlet(np.full(len(names), 0.15), size=len(names)) * 0.5
    rates += 0.5 * np.eye(len(names))
    frames["confusion"] = [
        common
        | {"encoder": "taco", "split": split, "method": "knn", "true_task": a,
           "true_family": tasks[a], "predicted_task": b, "predicted_family": tasks[b],
           "count": 20.0, "estimate": rates[i, j], **n}
        for split in ("groups", "datasets")
        for i, a in enumerate(names) for j, b in enumerate(names)
    ]  # fmt: skip
    ordered = sorted(names)
    frames["task_distances"] = [
        common
        | {"encoder": "taco", "split": split, "metric": metric, "task_a": a, "task_b": b,
           "family_a": tasks[a], "family_b": tasks[b], "note": None, **n,
           "estimate": abs((0.4 if tasks[a] == tasks[b] else 1.0) + 0.1 * rng.normal())}
        for split in ("groups", "datasets")
        for metric in ("centroid_cosine", "energy")
        for i, a in enumerate(ordered) for b in ordered[i + 1 :]
    ]  # fmt: skip
    frames["summary"] = [
        common
        | {"finding": "identification", "encoder": "taco", "split": "groups",
           "sentence": "The task is named right in 70 % of pairs, <b>well</b> above chance.",
           "supported": True, "control": "shuffled_labels", "control_passed": True,
           "estimate": 0.7, "ci_low": 0.64, "ci_high": 0.75, "p": 0.001, "p_adjusted": 0.002,
           "note": None, **n},
        common
        | {"finding": "family_structure", "encoder": "taco", "split": "datasets",
           "sentence": "The families are found again by clustering.", "supported": False,
           "control": None, "control_passed": None, "estimate": 0.1, "ci_low": None,
           "ci_high": None, "p": None, "p_adjusted": None, "note": "too few groups", **n},
    ]  # fmt: skip
    frames["controls"] = [
        common
        | {"encoder": "taco", "split": "groups", "control": name, "estimate": 0.17,
           "expectation": "kNN with shuffled labels is at chance & no better", "ci_low": 0.1,
           "ci_high": 0.2, "reference": 0.16, "passed": passed, "note": note, **n}
        for name, passed, note in (
            ("shuffled_gallery", True, None),
            ("duplicated_task", False, "apart"),
            ("shuffled_training", None, "not run"),
        )
    ]  # fmt: skip
    paths = {}
    for name, records in frames.items():
        frame = pd.DataFrame(records)
        if "seed" in frame:
            frame["seed"] = frame["seed"].astype("Int64")
        for column in ("passed", "control_passed"):
            if column in frame:
                frame[column] = frame[column].astype("boolean")
        for column in ("ci_low", "ci_high", "chance", "p", "p_adjusted"):
            if column in frame:
                frame[column] = frame[column].astype("float64")
        paths[name] = folder / "tables" / f"{name}.parquet"
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(paths[name])
    return paths


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="session")
def embeddings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    return write_embeddings(folder / "taco" / "seed0.parquet", *make_embedding_frame())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Images and pairs of two datasets: (images paths, pair paths)."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(2)
    images, pairs = [], []
    for dataset, modality, annotation in (("ct_a", "CT", "derived"), ("us_c", "US", "none")):
        yy, xx = np.mgrid[:24, :24]
        planes = [((xx - 12) ** 2 + (yy - 12) ** 2 < r**2) for r in range(3, 11)]
        image = np.stack([np.repeat((60 + 150 * p)[..., None], 3, axis=-1) for p in planes])
        image = np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
        columns = {
            "image_id": [f"i{i}" for i in range(8)],
            "group_id": [f"g{i // 2}" for i in range(8)],
            "group_source": ["pattern"] * 8,
            "split": ["train"] * 4 + ["val"] * 2 + ["test"] * 2,
            "image": image,
        }
        if annotation != "none":
            columns["mask"] = np.stack(planes).astype(np.uint8)
            columns["instances"] = np.stack(planes).astype(np.uint16)
        meta = {
            "dataset": dataset, "source": "x", "modality": modality, "body_part": "brain",
            "licence": "CC0-1.0", "classes": ["disc"] if annotation != "none" else [],
            "annotation": annotation, "annotation_note": "by threshold", "manifest_sha256": "0",
        }  # fmt: skip
        path = folder / "images" / f"{dataset}.arrow"
        write_images(path, columns, meta)
        images.append(path)
        bank = load_bank()
        for task in ("segmentation", "denoising_gaussian", "rotation"):
            if task == "segmentation" and ImageSet(path).masks is None:
                continue
            out = folder / "pairs" / "main" / task / f"{dataset}.arrow"
            splits = {"train": 0.6, "val": 0.2, "test": 0.2}
            make_pairs(path, bank[task], out, pairs_per_cell=6, splits=splits, seed=0)
            pairs.append(out)
    return images, pairs
