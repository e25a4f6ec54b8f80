"""Arrow files: zero-copy, whole or absent, damaged ones named."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generated import write_dataset
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.images import ImageSet, write_images
from medtaskatlas.formats.parquet import read_parquet, write_parquet


def test_a_read_only_disk_is_named_with_what_to_do(tmp_path, monkeypatch):
    """Removing the temporary file fails there too; root may write anywhere, so it is made up."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "part")

    for call in ("write_text", "unlink"):
        monkeypatch.setattr(f"pathlib.Path.{call}", refuse)
    with pytest.raises(DataError) as told, atomic_write(tmp_path / "dataset.yaml") as part:
        part.write_text("")
    assert told.value.problem == f"cannot write {tmp_path}/dataset.yaml: Read-only file system"
    assert "another disk" in told.value.remedy


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


def _flipped(path: Path, bit: int) -> Path:
    """A copy of a file with one bit flipped."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    other = path.with_name(f"flipped-{bit}{path.suffix}")
    other.write_bytes(data)
    return other


def _bits(path: Path) -> np.ndarray:
    """Seven hundred bits, evenly spread."""
    size = 8 * path.stat().st_size
    return np.unique(np.linspace(0, size - 1, 701).astype(int))


def test_a_flipped_bit_anywhere_in_an_arrow_file_is_an_error(tmp_path) -> None:
    path = write_dataset(tmp_path / "toy.arrow")
    for bit in _bits(path):
        with pytest.raises(DataError, match=r"flipped(.|\n)*remedy: delete"):
            ImageSet(_flipped(path, bit))


def test_a_flipped_bit_anywhere_in_a_parquet_file_is_an_error(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"x": np.random.default_rng(0).random(3000), "y": ["a", "b", "c"] * 1000})
    write_parquet(path, table, {"seed": 1})
    for bit in _bits(path):
        with pytest.raises(DataError, match=r"flipped(.|\n)*remedy: delete"):
            read_parquet(_flipped(path, bit))
    pq.read_table(path, page_checksum_verification=True)  # as other software reads it
    assert read_parquet(path)[0].equals(pq.read_table(path))


def test_pairs_are_verified_page_by_page(tmp_path) -> None:
    n, bad = 24, 12
    pixels = np.random.default_rng(0).integers(0, 255, (n, 128, 128, 3), np.uint8)
    write_arrow(tmp_path / "a.arrow", {"row": np.arange(n), "input": pixels}, {})
    bit = 8 * ((tmp_path / "a.arrow").read_bytes().index(pixels[bad].tobytes()) + 100)
    file = ArrowFile(_flipped(tmp_path / "a.arrow", bit))
    file.verify("input", 0)
    file.verify("input", np.array([1, 2]))
    for rows in (bad, bad - n, slice(8, None), np.array([0, bad])):
        with pytest.raises(DataError, match="not those written"):
            file.verify("input", rows)
    with pytest.raises(DataError, match="not those written"):
        file.numpy("input")


def test_files_without_checksums_are_of_an_older_version(tmp_path) -> None:
    write_parquet(tmp_path / "t.parquet", pa.table({"x": [1]}), {"seed": 1})
    pq.write_table(pq.read_table(tmp_path / "t.parquet"), tmp_path / "old.parquet")
    with pytest.raises(DataError, match=r"old.parquet is damaged, or of an older version"):
        read_parquet(tmp_path / "old.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    assert read_parquet(tmp_path / "foreign.parquet")[1] == {}
