"""Fixtures that every test can use; what they are made with is in generated.py."""

from __future__ import annotations

import os

# Tests run beside each other: threads that wait for each other would take twenty times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generated import SPLITS, make_pairs, make_sample, write_dataset
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import REGISTRY


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


@pytest.fixture(scope="session")
def failure_files(
    pair_files: tuple[list[Path], list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Failures of two of the tasks of `pair_files`."""
    root = tmp_path_factory.mktemp("failures")
    paths = []
    for name in ("rotation", "inversion"):
        for file in pair_files[1]:
            paths.append(root / name / file.name)
            amounts, outs = Amounts(20, failures=10), {"failure": paths[-1]}
            make_sets(file, load_bank()[name], outs, amounts=amounts, splits=SPLITS, seed=0)
    return paths


@pytest.fixture
def registry() -> Iterator[None]:
    """Tasks that a test registers are forgotten after it."""
    before = set(REGISTRY)
    yield
    for name in set(REGISTRY) - before:
        del REGISTRY[name]


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return ImageSet(write_dataset(tmp_path / "toy.arrow"))


@pytest.fixture(scope="session")
def set_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small run with trajectories and failures, of set_synthetic.py."""
    from set_synthetic import make_set_run

    return make_set_run(tmp_path_factory.mktemp("set_run"))
