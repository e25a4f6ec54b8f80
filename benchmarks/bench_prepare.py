"""Preparing a folder of pictures with masks, beside MONAI: the same files, one thread, one run.

``make bench`` or ``pytest -s benchmarks/bench_prepare.py``. Both read picture and mask, crop
nothing, and end with 224 x 224 pixels: area averages for pictures, nearest for masks.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pytest
import yaml

from generated import smooth_image
from medtaskatlas.datasets.folder.read import read
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.datasets.sources.folder import load_folder_dataset

SIZE = 224
ROUNDS = 5
KINDS = {"jpeg 1024": (".jpg", 1024, 40), "png 512": (".png", 512, 80)}


def make_folder(folder: Path, suffix: str, side: int, n: int) -> Path:
    """A folder dataset of square colour pictures with masks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(n):
        image = smooth_image(np.random.default_rng(i), side, side, colour=True)
        cv2.imwrite(str(folder / "images" / f"{i:03d}{suffix}"), image)
        mask = cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), 90 + i, 1, -1)
        cv2.imwrite(str(folder / "masks" / f"{i:03d}.png"), mask)
    about = {
        "name": "bench",
        "title": "t",
        "modality": "DERMOSCOPY",
        "body_part": "skin",
        "licence": "CC0-1.0",
        "source": "made up",
        "citation": "none",
        "images": "images",
        "masks": "masks",
        "classes": {1: "disc"},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about))
    return folder


def ours(folder: Path) -> int:
    """Pictures read and resized."""
    dataset = load_folder_dataset(folder)
    return sum(
        shape(frame, SIZE).image.shape == (SIZE, SIZE, 3)
        for frame in read(dataset.description, folder, print)
    )


def monai(folder: Path) -> int:
    """The same with MONAI's transforms."""
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized

    keys = ("image", "mask")
    transform = Compose(
        [
            LoadImaged(keys, image_only=True),
            EnsureChannelFirstd(keys),
            Resized(keys, (SIZE, SIZE), mode=("area", "nearest")),
        ]
    )
    images = sorted((folder / "images").iterdir())
    pairs = [{"image": p, "mask": folder / "masks" / f"{p.stem}.png"} for p in images]
    return sum(transform(pair)["image"].shape == (3, SIZE, SIZE) for pair in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_prepare(kind: str, tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    suffix, side, n = KINDS[kind]
    folder = make_folder(tmp_path / "bench", suffix, side, n)
    rates: dict[str, list[float]] = {"ours": [], "monai": []}
    for _ in range(ROUNDS):  # alternating, so that both see the same machine
        for name, prepare in (("ours", ours), ("monai", monai)):
            start = time.perf_counter()
            assert prepare(folder) == n
            rates[name].append(n / (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(rates["ours"], rates["monai"], strict=True)]
    print(
        f"\n{kind}: ours {median(rates['ours']):.0f} images/s, MONAI {median(rates['monai']):.0f}; "
        f"ratio, median of {ROUNDS}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
