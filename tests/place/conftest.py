"""A small run with all that `place` reads, and folders of pairs of its tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from generated import SPLITS, make_pairs, write_dataset
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.encoders.embed import embed
from medtaskatlas.figures.interactive.page import interactive_atlas
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.learning.checkpoint import save_tensors
from medtaskatlas.networks.unet import UNet
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.transfer.describe import describe

TASKS = ("segmentation", "denoising_gaussian", "denoising_poisson", "deblurring", "inversion",
         "brightness", "rotation")  # fmt: skip
HELDOUT_TASK = "rotation"
DATASETS = ("one", "two", "three")
NEW = "three"  # kept out of training
SIDE = 32


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """results/small with one baseline, maps of all tasks, measured gains and its page."""
    bank, folder = load_bank(), tmp_path_factory.mktemp("place") / "results" / "small"
    images, pairs = {}, {}
    for seed, name in enumerate(DATASETS):
        images[name] = write_dataset(
            folder / "images" / f"{name}.arrow", n=24, side=SIDE, groups=12, seed=seed
        )
        for task in TASKS:
            pairs[task, name] = folder / "pairs" / "main" / task / f"{name}.arrow"
            make_pairs(
                images[name], bank[task], pairs[task, name],
                pairs_per_cell=30, splits=SPLITS, seed=0,
            )  # fmt: skip
    known = [task for task in TASKS if task != HELDOUT_TASK]
    embedding = folder / "embeddings" / "pixels" / "seed0.parquet"
    embed(
        list(pairs.values()), list(images.values()), embedding,
        encoder={"kind": "pixels"}, model=None, heldout_datasets=[NEW],
        heldout_tasks=[HELDOUT_TASK], threads=1,
        meta={"run": "small", "encoder": "pixels", "seed": 0, "trained_tasks": known,
              "trained_datasets": ["one", "two"]},
    )  # fmt: skip
    for name in DATASETS:
        describe(
            [pairs[task, name] for task in TASKS], images[name],
            folder / "transfer" / "kernel" / f"{name}.safetensors",
            run="small", fitted_pairs=20, asked_pairs=10, seed=0, threads=1,
        )  # fmt: skip
    source = folder / "transfer" / "sources" / "denoising_gaussian" / "seed0.safetensors"
    save_tensors(source, UNet(4).state_dict(), {"width": 4})
    config = {"run": "small", "seed": 0, "image_size": SIDE, "torch_threads": 1,
              "encoders": {"pixels": {"kind": "pixels", "seeds": None}}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    write_gains(folder)
    distances = folder / "tables" / "task_distances.parquet"
    task_distances([embedding], distances, run="small", n_draws=20)
    predict(embedding, folder / "predictions" / "pixels" / "seed0.parquet", k=5)
    interactive_atlas(
        [embedding], [folder / "predictions" / "pixels" / "seed0.parquet"],
        list(pairs.values()), list(images.values()), distances, folder / "atlas.html",
        run="small", heldout_datasets=[NEW], seed=0,
    )  # fmt: skip
    return folder


def write_gains(folder: Path) -> None:
    """Gains that fall with the distance of functions, with noise."""
    from medtaskatlas.place.functions import Functions

    every = [(s, t, d) for s in TASKS for t in TASKS for d in DATASETS]
    wanted = pd.DataFrame(every, columns=["source", "target", "dataset"])
    cells = Functions(folder, "small").distances_of(wanted)
    rng = np.random.default_rng(0)
    gain = np.clip(0.8 - 0.2 * cells["distance"] + rng.normal(0, 0.05, len(cells)), -1, 1)
    rows = [
        {
            "run": "small", "protocol": "warm", "source": cell.source, "target": cell.target,
            "source_role": "itself" if cell.source == cell.target else "task",
            "source_family": "generative", "target_family": "generative", "dataset": cell.dataset,
            "dataset_trained": True, "estimate": value, "error": 0.1, "scratch_error": 0.1,
            "error_before": 0.1, "n_learned": 12, "n_pairs": 10, "n_images": 5, "n_groups": 5,
            "n_subjects": 5, "n_datasets": 1,
            "note": "no interval: made up",
        }
        for cell, value in zip(cells.itertuples(), gain, strict=True)
    ]  # fmt: skip
    meta = {"run": "small", "seed": 0, "n_draws": 0}
    write_table("transfer_gains", rows, folder / "tables" / "transfer_gains.parquet", meta)


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to take something from."""
    folder = tmp_path / "results" / "small"
    shutil.copytree(run, folder)
    return folder


@pytest.fixture
def mine(run, tmp_path):
    """Makes FOLDER/input and FOLDER/output of pairs of a task, or of given arrays."""

    def make(task="denoising_gaussian", dataset=NEW, n=24, change=lambda before, after: None):
        pairs = PairSet(
            run / "pairs" / "main" / task / f"{dataset}.arrow",
            ImageSet(run / "images" / f"{dataset}.arrow"),
        )
        for row in range(min(n, len(pairs))):
            sides = pairs.side("input", row).copy(), pairs.side("output", row).copy()
            before, after = change(*sides) or sides
            for side, pixels in (("input", before), ("output", after)):
                write_png(tmp_path / "mine" / side / f"pair{row:02d}.png", pixels)
        return tmp_path / "mine"

    return make


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """A PNG of 8 or 16 bits, grey or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return path


@pytest.fixture
def place(run, tmp_path):
    """Place a folder in a run: what place.json holds, its folder, and what was said."""

    def answer(folder, in_run=run, outputs=None, **options):
        from medtaskatlas.place.place import place

        said: list[str] = []
        sides = (folder / "input", folder / "output") if outputs is None else (folder, outputs)
        out = tmp_path / "placed"
        found = place(*sides, in_run, out, overwrite=True, say=said.append, **options)
        return SimpleNamespace(**found, out=out, said=said)

    return answer
