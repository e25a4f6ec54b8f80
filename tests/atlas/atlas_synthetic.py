"""Synthetic embeddings whose structure is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from medtaskatlas.formats.embeddings import write_embeddings
from medtaskatlas.pairs.roles import MISMATCHED, QUERY_SETS, roles

FAMILY_OF = {
    "segmentation": "semantic",
    "detection": "semantic",
    "boundary": "semantic",
    "denoising": "generative",
    "deblurring": "generative",
    "inpainting": "generative",
    "rotation": "transformation",
    "brightness": "transformation",
    "shear": "transformation",
}


def make_frame(n_datasets=6, groups=8, per_cell=16, tasks=FAMILY_OF, test_only=1) -> pd.DataFrame:
    """Pairs of every task on every dataset; the last `test_only` datasets have no training rows."""
    rows = []
    for d in range(n_datasets):
        for task in tasks:
            for i in range(per_cell):
                g = i % groups
                split = "test" if g % 2 else ("val" if g % 8 == 6 else "train")
                rows.append(
                    {
                        "pair_id": f"{task}/d{d}/{i:04d}",
                        "dataset": f"d{d}",
                        "modality": ["CT", "MR", "US"][d % 3],
                        "image_id": f"i{i}",
                        "image_row": i,
                        "subject_id": f"d{d}/g{g}",
                        "group_id": f"g{g}",
                        "split": "test" if d >= n_datasets - test_only else split,
                        "task": task,
                        "family": FAMILY_OF[task],
                        "severity": 0.5,
                        "level": None,
                        "draw": 0,
                        "params": "{}",
                        "failure_of": None,
                        "failure_kind": None,
                    }
                )
    return pd.DataFrame(rows)


def make_vectors(frame, seed=0, dim=32, task=1.0, family=1.0, dataset=0.5, noise=0.3, debris=0.0):
    """Sum of a random direction of the task, of the family, of the dataset, and noise.

    Of pairs with another image's output the task and the family are told by a share of `debris`.
    """
    fixed = np.random.default_rng(99)  # directions are the same for all seeds
    total = np.zeros((len(frame), dim))
    wrong = frame["role"] == MISMATCHED if "role" in frame else np.zeros(len(frame), bool)
    told = np.where(wrong, debris, 1.0)[:, None]
    for column, size in (("task", task), ("family", family), ("dataset", dataset)):
        names = sorted(set(frame[column]))
        directions = fixed.normal(size=(len(names), dim)) / np.sqrt(dim)
        part = size * directions[np.searchsorted(names, frame[column].to_numpy(dtype=str))]
        total += part if column == "dataset" else part * told
    total += noise * np.random.default_rng(seed).normal(size=total.shape) / np.sqrt(dim)
    return total.astype(np.float32)


def with_mismatched(frame, every=2) -> pd.DataFrame:
    """Pairs with roles, and every second query with the output of another image besides."""
    more = frame[frame["role"].isin(QUERY_SETS)].iloc[::every]
    names = more["pair_id"] + f"/{MISMATCHED}"
    return pd.concat([frame, more.assign(pair_id=names, role=MISMATCHED)], ignore_index=True)


def with_roles(frame, heldout_datasets=(), heldout_tasks=(), trained_on=None) -> pd.DataFrame:
    """Pairs with their roles; datasets with training pairs are trained on, or those given."""
    inside = set(frame.loc[frame["split"] == "train", "dataset"])
    main = frame["failure_of"].isna() & frame["level"].isna()
    role = roles(
        *(
            frame[name].to_numpy(dtype=object)
            for name in ("dataset", "split", "subject_id", "task")
        ),
        main.to_numpy(),
        trained_on=(inside if trained_on is None else trained_on) - set(heldout_datasets),
        heldout_tasks=heldout_tasks,
    )
    return frame.assign(role=role)


def write_embedding(path, frame, vectors, encoder="taco", seed=0, kind="taco", **facts) -> Path:
    """Write pairs with their roles, or as if nothing was kept out of training."""
    if "role" not in frame:
        frame = with_roles(frame)
    meta = {
        "encoder": encoder,
        "seed": seed,
        "kind": kind,
        "role": "model" if kind == "taco" else "baseline",
        "standardise": False,
        "run": "synthetic",
        "trained_tasks": [],
        "trained_datasets": [],
        **facts,
    }
    pairs = pa.Table.from_pandas(frame, preserve_index=False)
    write_embeddings(path, pairs, np.ascontiguousarray(vectors, np.float32), meta)
    return Path(path)
