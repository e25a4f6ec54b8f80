"""The target `volumes`: volumes of datasets that have some, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import folders
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.volumes import VolumeSet
from runs import due_jobs, files, snakemake

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a dataset of three volumes."""
    root = tmp_path_factory.mktemp("mine")
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 300, (24, 28, 20)).astype(np.int16)
        folders.write_nifti(root / f"heads/images/p{i}.nii.gz", folders.head() + noise, (1, 1, 2))
    folders.describe(root / "heads", name="heads", modality="MR")
    return root


def test_a_volume_size_adds_nothing_to_all(tmp_path) -> None:
    def due(*changes: str) -> dict[str, int]:
        config = ("--config", *changes) if changes else ()
        return due_jobs(snakemake(tmp_path, "all", "--dry-run", *config).stdout)

    without = due()
    assert without["prepare"] == 4
    assert without == due("volume_size=28")


def test_a_run_without_volumes_says_why(tmp_path) -> None:
    done = snakemake(tmp_path, "volumes", "--dry-run", check=False)
    assert done.returncode
    assert "this run makes no volumes: `volume_size` is not set" in done.stdout + done.stderr


def test_volumes_are_made_and_made_again_by_another_size_alone(tmp_path, mine) -> None:
    def run(size: int, *more: str) -> str:
        settings = ("--config", f"datasets_dir={mine}", f"volume_size={size}")
        done = snakemake(tmp_path, "volumes", "--cores", "2", *more, *settings)
        return done.stdout + done.stderr

    run(16)
    results = tmp_path / "results" / "smoke"
    assert list(files(results, "volumes/*")) == ["volumes/heads.arrow"]
    volumes = VolumeSet(results / "volumes" / "heads.arrow")
    images = ImageSet(results / "images" / "heads.arrow")
    split = dict(
        zip(*(images.column(key).to_pylist() for key in ("volume_id", "split")), strict=True)
    )
    assert volumes.volumes.shape == (3, 16, 16, 16)
    assert volumes.column("split").to_pylist() == [split[f"p{i}"] for i in range(3)]
    assert not due_jobs(run(16, "--dry-run"))
    assert due_jobs(run(20, "--dry-run")) == {"prepare_volumes": 1, "volumes": 1}
