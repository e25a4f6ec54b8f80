"""A small run with trajectories and failures: real pairs, synthetic embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from atlas_synthetic import with_roles, write_embedding
from generated import write_dataset
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import COLUMNS, SETS, PairSet
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank

TASKS = ("rotation", "brightness", "noise_addition", "deblurring")
DATASETS = ("ct_a", "mr_b", "us_c", "xr_held")
HELDOUT = ["xr_held"]
DIM = 24


def make_pair_files(folder: Path, tasks=TASKS, datasets=DATASETS, heldout=HELDOUT, levels=11):
    """Images and pairs of all sets; returns image paths and set to pair paths."""
    bank = load_bank()
    cycle = {"groups": 20, "splits": "train test train test val"}
    images = [
        write_dataset(
            folder / "images" / f"{name}.arrow", n=20, side=24, seed=k, masks=False,
            modality=name[:2].upper(), **cycle,
        )
        for k, name in enumerate(datasets)
    ]  # fmt: skip
    paths: dict[str, list[Path]] = {name: [] for name in SETS}
    for task in tasks:
        for image in images:
            outs = {name: folder / "pairs" / name / task / image.name for name in SETS}
            make_sets(
                image,
                bank[task],
                outs,
                amounts=Amounts(pairs=30, failures=48, trajectories=8, levels=levels),
                splits={"train": 0.5, "val": 0.1, "test": 0.4},
                heldout=image.stem in heldout,
                seed=0,
            )
            for name, out in outs.items():
                paths[name].append(out)
    return images, paths


def read_pairs(images, paths) -> pd.DataFrame:
    """All columns but the pixels."""
    sets = {path.stem: ImageSet(path) for path in images}
    frames = []
    for path in paths:
        pairs = PairSet(path, sets[path.stem])
        frames.append(pd.DataFrame({name: pairs.numpy(name) for name in COLUMNS}))
    return pd.concat(frames, ignore_index=True)


def directions(names, dim=DIM) -> dict[str, np.ndarray]:
    """Orthogonal directions, the same in every encoder."""
    q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(dim, dim)))
    return dict(zip(sorted(names), q, strict=False))


def embed_synthetically(frame, seed=0, noise=0.05, knows=True) -> np.ndarray:
    """Right pairs lie at their task; a trajectory walks from "nothing" to its task at even speed.

    Failures lie at "wrong", but for `half_done`, which the encoder takes for right, and
    `untouched`, which lies where trajectories begin.
    """
    rng = np.random.default_rng(seed)
    at = directions(["nothing", "wrong", *TASKS])
    vectors = np.zeros((len(frame), DIM))
    for i, row in enumerate(frame.itertuples()):
        of = row.failure_of if isinstance(row.failure_of, str) else row.task
        if row.failure_kind == "untouched":
            vectors[i] = at["nothing"]
        elif isinstance(row.failure_kind, str) and row.failure_kind != "half_done":
            vectors[i] = at["wrong"]
        elif row.level == row.level and row.level is not None:
            angle = 0.5 * np.pi * row.severity
            vectors[i] = np.cos(angle) * at["nothing"] + np.sin(angle) * at[of]
        else:
            vectors[i] = at[of]
    if not knows:
        vectors[:] = at["wrong"]
    vectors += noise * rng.normal(size=vectors.shape) / np.sqrt(DIM)
    return vectors.astype(np.float32)


def make_set_run(folder: Path, **options):
    """Embeddings of a good `taco`, a noisy `pixels` that asks for scaling, and a `random`."""
    images, paths = make_pair_files(folder, **options)
    frames = {name: read_pairs(images, files) for name, files in paths.items()}
    # The encoder never saw noise_addition: only its trajectories are there.
    frames["main"] = frames["main"][frames["main"]["task"] != "noise_addition"]
    trained_on = {image.stem for image in images} - set(HELDOUT)
    frames = {name: with_roles(f, trained_on=trained_on) for name, f in frames.items()}
    run = {"images": images, "pairs": paths, "frames": frames, "folder": folder}
    run |= {"main": [], "failure": [], "trajectory": []}
    encoders = {
        "taco": ([0, 1], {"noise": 0.1}),
        "pixels": ([0], {"noise": 0.6}),
        "random": ([0, 1], {"noise": 0.3, "knows": False}),
    }
    for encoder, (seeds, how) in encoders.items():
        for seed in seeds:
            for k, name in enumerate(SETS):
                frame = frames[name].reset_index(drop=True)
                vectors = embed_synthetically(frame, seed=100 * seed + k, **how)
                if encoder == "pixels":
                    vectors = vectors * np.linspace(1, 50, DIM) + 7
                middle = "" if name == "main" else f".{name}"
                path = folder / "embeddings" / encoder / f"seed{seed}{middle}.parquet"
                scaled = {"standardise": encoder == "pixels"}
                write_embedding(path, frame, vectors, encoder, seed, encoder, **scaled)
                run[name].append(path)
    return run
