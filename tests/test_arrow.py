"""Arrow files: zero-copy, whole or absent, damaged ones named."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from generated import write_dataset
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.images import ImageSet, write_images


def test_round_trip_is_a_view_of_the_file(tmp_path) -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    write_arrow(tmp_path / "a.arrow", {"name": ["x", "ü"], "pixels": pixels}, {"k": [1]})
    file = ArrowFile(tmp_path / "a.arrow")
    read = file.numpy("pixels")
    np.testing.assert_array_equal(read, pixels)
    assert not read.flags.writeable
    assert not read.flags.owndata
    assert file.meta == {"k": [1]}
    assert list(file.numpy("name")) == ["x", "ü"]
    with pytest.raises(DataError, match="no column 'mask'"):
        file.column("mask")


def test_empty_file_keeps_the_shape(tmp_path) -> None:
    write_arrow(tmp_path / "a.arrow", {"pixels": np.empty((0, 4, 4, 3), np.uint8)}, {})
    assert ArrowFile(tmp_path / "a.arrow").numpy("pixels").shape == (0, 4, 4, 3)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_named_with_the_remedy(tmp_path, keep) -> None:
    path = write_dataset(tmp_path / "toy.arrow")
    size = path.stat().st_size
    os.truncate(path, int(keep * size) if keep < 1 else keep)
    with pytest.raises(DataError, match=r"toy.arrow is damaged or truncated(.|\n)*remedy: delete"):
        ImageSet(path)


def test_missing_and_foreign_files(tmp_path) -> None:
    with pytest.raises(DataError, match="is missing"):
        ArrowFile(tmp_path / "none.arrow")
    (tmp_path / "page.arrow").write_text("<html>login</html>")
    with pytest.raises(DataError, match="damaged"):
        ArrowFile(tmp_path / "page.arrow")


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as part:
            part.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_so(tmp_path) -> None:

    def write() -> None:
        with atomic_write(tmp_path / "a.arrow") as part:
            part.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"disk is full: could not write .*a\.arrow"):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_really_full_disk(tmp_path) -> None:
    import subprocess

    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(DataError, match="disk is full"):
            write_arrow(tmp_path / "a.arrow", {"p": np.zeros((9, 64, 64, 3), np.uint8)}, {})
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_images_contract_is_held(tmp_path) -> None:
    good = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    columns = {n: good.numpy(n) for n in good.columns}
    for change, words in [
        ({"image": columns["image"][..., 0]}, "image must be"),
        ({"mask": columns["mask"][:, :4]}, "mask must be"),
        ({"extra": columns["mask"]}, "unknown"),
        ({"group_id": ["one"] * len(good)}, "group one is in two splits: "),
    ]:
        with pytest.raises(ValueError, match=words):
            write_images(tmp_path / "bad.arrow", {**columns, **change}, good.meta)
    sample = good.sample(0)
    assert sample.image.shape == (32, 32, 3)
    assert sample.n_classes == 2


def test_what_a_killed_job_left_is_swept_away_and_a_living_job_is_spared(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead, living = int(done.stdout), os.getppid()
    left = [tmp_path / f".a.arrow.{pid}.tmp" for pid in (dead, living)]
    other = tmp_path / f".b.arrow.{dead}.tmp"
    for file in (*left, other):
        file.write_text("half")
    with atomic_write(tmp_path / "a.arrow") as part:
        part.write_text("whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a.arrow", left[1].name, other.name}
