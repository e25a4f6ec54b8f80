"""Fixtures that every test can use; what they are made with is in generated.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from generated import SPLITS, make_sample, write_dataset
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.pairs.sets import make_pairs
from medtaskatlas.tasks.bank import load_bank


@pytest.fixture
def sample() -> Sample:
    return make_sample()


@pytest.fixture(scope="session")
def pair_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """Pairs of four tasks on two generated datasets, and the images files."""
    root = tmp_path_factory.mktemp("pairs")
    images = [
        write_dataset(root / "images" / f"{name}.arrow", seed=i) for i, name in enumerate("ab")
    ]
    bank = load_bank()
    paths = []
    for name in ("segmentation", "denoising_gaussian", "rotation", "inversion"):
        for file in images:
            out = root / "pairs" / name / file.name
            make_pairs(file, bank[name], out, pairs_per_cell=20, splits=SPLITS, seed=0)
            paths.append(out)
    return paths, images


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return ImageSet(write_dataset(tmp_path / "toy.arrow"))
