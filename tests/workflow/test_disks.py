"""Disks that are full or read-only, and times of files that make no sense."""

import os
import random
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_taco import TINY, same, train_tiny

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.learning.checkpoint import load_tensors
from runs import snakemake

pytestmark = pytest.mark.system

DAY = 86400


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def change(self, options: str) -> None:
        assert self.mount(f"remount,{options}")


@contextmanager
def disk(folder: Path, options: str):
    """Mount one, where that is allowed."""
    folder.mkdir(parents=True)
    if shutil.which("mount") is None or not Disk(folder).mount(options):
        pytest.skip("a disk can be mounted by root only, and not in every container")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(smoke, tmp_path) -> None:
    image = "results/smoke/images/us_stills.arrow"
    pairs = "results/smoke/pairs/main/rotation/us_stills.arrow"
    shutil.copytree(smoke / "data", tmp_path / "data")
    # There is room for the images, but not for the pairs.
    room = (smoke / image).stat().st_size + (smoke / pairs).stat().st_size
    with disk(tmp_path / "results", f"size={room}") as small:
        (tmp_path / image).parent.mkdir(parents=True)
        shutil.copy2(smoke / image, tmp_path / image)
        done = snakemake(tmp_path, "--cores", "1", pairs, check=False)
        text = done.stdout + done.stderr
        assert done.returncode == 1
        assert "the disk is full: could not write results/smoke/pairs/" in text
        assert "remedy: free some space" in text
        assert (tmp_path / image).read_bytes() == (smoke / image).read_bytes()
        assert not list(small.folder.rglob("*.tmp"))
        assert not list(small.folder.rglob("pairs/**/*.arrow"))
        small.change("size=20m")
        done = snakemake(tmp_path, "--cores", "1", pairs)
        assert "prepare us_stills" not in done.stdout + done.stderr, "nothing is made twice"
        assert (tmp_path / pairs).read_bytes() == (smoke / pairs).read_bytes()


def test_results_that_are_read_only_are_named_before_the_first_job(smoke, tmp_path) -> None:
    shutil.copytree(smoke / "data", tmp_path / "data")
    with disk(tmp_path / "results", "size=1m") as locked:
        (locked.folder / "smoke").mkdir()
        locked.change("ro")
        done = snakemake(
            tmp_path, "--cores", "1", "results/smoke/images/us_stills.arrow", check=False
        )
        text = done.stdout + done.stderr
        assert done.returncode == 1
        assert f"cannot write {tmp_path / 'results/smoke'}: Read-only file system" in text
        assert "remedy: check who owns the folder" in text
        assert "Traceback" not in text
        assert "prepare us_stills" not in text


def test_a_checkpoint_that_finds_no_room_costs_nothing_that_was_saved(pair_files, tmp_path) -> None:
    encoder = encoder_of(TINY | {"checkpoint_seconds": 1e-9}).options()
    whole, _ = train_tiny(pair_files, tmp_path / "whole", encoder)
    with disk(tmp_path / "small", "size=20m") as small:
        state = small.folder / "state"
        # As much room as one checkpoint takes, and half of it more: the second one fails.
        (small.folder / "ballast").write_bytes(bytes(20 * 2**20 - 3 * size_of(encoder) // 2))
        with pytest.raises(DataError, match=rf"the disk is full: could not write {state}"):
            train_tiny(pair_files, tmp_path / "cut", encoder, checkpoint=state)
        tensors, _ = load_tensors(state)
        assert len(tensors["history.losses"]) == 1
        assert not list(small.folder.glob(".*"))
        (small.folder / "ballast").unlink()
        resumed, _ = train_tiny(pair_files, tmp_path / "cut", encoder, checkpoint=state)
    assert same(whole, resumed)


def size_of(encoder: dict) -> int:
    """Bytes of a checkpoint: weights and two moments of each."""
    network = encoder_of(encoder).network(0)
    return 3 * sum(p.numel() * p.element_size() for p in network.parameters())


@pytest.mark.parametrize("metadata", [True, False])
def test_times_of_files_after_a_pull_make_nothing_due(smoke, tmp_path, metadata) -> None:
    """Clocks of other machines, in the past and in the future; with and without .snakemake."""
    shutil.copytree(smoke / "data", tmp_path / "data")
    shutil.copytree(smoke / "results", tmp_path / "results")
    if metadata:
        shutil.copytree(smoke / ".snakemake" / "metadata", tmp_path / ".snakemake" / "metadata")
    rng = random.Random(0)
    for path in sorted(tmp_path.glob("data/**/*")) + sorted(tmp_path.glob("results/**/*")):
        when = path.stat().st_mtime + rng.uniform(-DAY, DAY)
        os.utime(path, (when, when))
    # What `make touch` does. Snakemake alone would stop at a file from the future, and delete what
    # was made of it.
    now = tmp_path / "now"
    now.touch()
    touch = ["find", "data", "results", "-newer", str(now), "-exec", "touch", "{}", "+"]
    subprocess.run(touch, cwd=tmp_path, check=True)
    snakemake(tmp_path, "--cores", "1", "--touch", "tables")
    done = snakemake(tmp_path, "--dry-run", "tables")
    assert "Nothing to be done" in done.stdout + done.stderr
