"""Small files that would take much memory or time are refused, by name and with the way out."""

import os
import time
import zlib

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from folders import describe, flat, picture, read_all, write
from medfiles import write_dicom
from medtaskatlas.core import limits
from medtaskatlas.core.errors import AtlasError, ConfigError, DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.folder.check import check_folder
from medtaskatlas.datasets.folder.description import identifier, read_description
from medtaskatlas.datasets.io.dicom import read_dicom, read_header, read_series
from medtaskatlas.datasets.io.flat import read_flat, read_labels
from medtaskatlas.datasets.io.nifti import load_volume
from medtaskatlas.datasets.io.npz import read_arrays
from medtaskatlas.datasets.io.nrrd import read_nrrd


def refused(read, path, variable) -> None:
    """Reading is refused at once, and the message names file and variable."""
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        read(path)
    assert time.monotonic() - start < 5
    assert str(path) in caught.value.problem
    assert variable in caught.value.problem


@pytest.mark.parametrize("end", [".png", ".jpg", ".bmp", ".tif"])
def test_pixels_of_a_picture(tmp_path, monkeypatch, end) -> None:
    path = write(tmp_path / f"a{end}", picture(size=(40, 50)))
    monkeypatch.setenv("MEDTASKATLAS_MAX_PIXELS", "2000")
    read_flat(path)
    monkeypatch.setenv("MEDTASKATLAS_MAX_PIXELS", "1999")
    refused(read_flat, path, "MEDTASKATLAS_MAX_PIXELS")
    if end != ".jpg":
        refused(read_labels, path, "MEDTASKATLAS_MAX_PIXELS")


def test_a_png_bomb(tmp_path) -> None:
    side = 20_000
    head = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    chunks = (head, b"IDAT" + rows, b"IEND")
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            (len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks
        )
    )
    assert path.stat().st_size < 500_000
    refused(read_flat, path, "MEDTASKATLAS_MAX_PIXELS")


def test_pages_of_a_tiff_count_together(tmp_path, monkeypatch) -> None:
    import cv2

    path = tmp_path / "a.tif"
    cv2.imwritemulti(str(path), [picture(i) for i in range(60)])
    monkeypatch.setenv("MEDTASKATLAS_MAX_BYTES", str(60 * 24 * 32 - 1))
    refused(read_flat, path, "MEDTASKATLAS_MAX_BYTES")


@pytest.mark.parametrize("slope", [1, 2.5])
def test_a_nifti_bomb(tmp_path, slope) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    image.header.set_slope_inter(slope, 0)
    header = image.header.copy()
    header.set_data_shape((2000, 2000, 300 if slope > 1 else 600))
    path = tmp_path / "a.nii.gz"
    import gzip

    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    refused(load_volume, path, "MEDTASKATLAS_MAX_BYTES")


@pytest.mark.parametrize("mask", [False, True])
def test_voxels_that_are_too_oblong(tmp_path, mask) -> None:
    volume = np.random.default_rng(0).integers(0, 2000, (20, 20, 20)).astype(np.int16)
    affine = np.diag([1, 1, 1e6, 1])
    (tmp_path / "images").mkdir()
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "images" / "a.nii.gz")
    describe(tmp_path, modality="MR", axis="coronal")
    with pytest.raises(DataError, match=r"1,000,000 times(.|\n)*MEDTASKATLAS_MAX_STRETCH"):
        read_all(tmp_path)


def nrrd(path, *lines: str):
    """An NRRD file of three short rows."""
    head = ("NRRD0004", "type: uchar", "dimension: 3", "encoding: raw", *lines, "", "")
    path.write_bytes("\n".join(head).encode() + bytes(8))
    return path


def test_nrrd(tmp_path) -> None:
    bomb = nrrd(tmp_path / "a.nrrd", "sizes: 100000 100000 100000")
    refused(read_nrrd, bomb, "MEDTASKATLAS_MAX_BYTES")
    sparse = nrrd(tmp_path / "b.nrrd", "sizes: 2 2 2")
    os.truncate(sparse, 3 << 30)
    refused(read_nrrd, sparse, "MEDTASKATLAS_MAX_BYTES")
    detached = nrrd(tmp_path / "c.nhdr", "sizes: 2 2 2", "data file: c.raw")
    (tmp_path / "c.raw").touch()
    os.truncate(tmp_path / "c.raw", 3 << 30)
    with pytest.raises(DataError, match=r"c\.raw: (.|\n)*MEDTASKATLAS_MAX_BYTES"):
        read_nrrd(detached)


@pytest.mark.parametrize("lines", ["1000000000000000", "1" + "0" * 40])
def test_lines_of_an_nrrd_that_are_not_there(tmp_path, lines) -> None:
    path = nrrd(tmp_path / "a.nrrd", "sizes: 2 2 2", f"line skip: {lines}")
    with pytest.raises(DataError, match=r"a\.nrrd"):
        read_nrrd(path)
    good = nrrd(tmp_path / "b.nrrd", "sizes: 2 2 2", "line skip: 2")
    good.write_bytes(good.read_bytes()[:-8] + b"one\ntwo\n" + bytes(range(8)))
    assert read_nrrd(good)[0].ravel(order="F").tolist() == list(range(8))


def test_dicom(tmp_path, monkeypatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((20, 30), np.uint16))
    monkeypatch.setenv("MEDTASKATLAS_MAX_PIXELS", "599")
    refused(read_dicom, path, "MEDTASKATLAS_MAX_PIXELS")
    monkeypatch.delenv("MEDTASKATLAS_MAX_PIXELS")
    monkeypatch.setenv("MEDTASKATLAS_MAX_BYTES", "1199")
    refused(read_dicom, path, "MEDTASKATLAS_MAX_BYTES")


def test_slices_of_a_series_count_together(tmp_path, monkeypatch) -> None:
    paths = [write_dicom(tmp_path / f"{i}.dcm", np.zeros((20, 30), np.uint16)) for i in range(5)]
    monkeypatch.setenv("MEDTASKATLAS_MAX_BYTES", "5999")
    with pytest.raises(DataError, match="6,000 bytes are more than the 5,999 allowed"):
        read_series(paths, [read_header(path) for path in paths])


def test_a_deflated_dicom_is_measured_before_it_is_unpacked(tmp_path, monkeypatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((2000, 3000), np.uint8))
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(path)
    assert path.stat().st_size < 20_000
    assert read_dicom(path).values.shape == (1, 2000, 3000)
    monkeypatch.setenv("MEDTASKATLAS_MAX_BYTES", "5000000")
    refused(read_header, path, "MEDTASKATLAS_MAX_BYTES")
    refused(read_dicom, path, "MEDTASKATLAS_MAX_BYTES")


def test_npz(tmp_path, monkeypatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", train_images=np.zeros((2, 300, 300), np.uint8))
    monkeypatch.setenv("MEDTASKATLAS_MAX_BYTES", "89999")
    refused(lambda p: list(read_arrays(p)), tmp_path / "a.npz", "MEDTASKATLAS_MAX_BYTES")


def test_a_limit_that_is_no_number(monkeypatch) -> None:
    for text in ("many", "0", "nan"):
        monkeypatch.setenv("MEDTASKATLAS_MAX_SECONDS", text)
        with pytest.raises(ConfigError, match="MEDTASKATLAS_MAX_SECONDS is"):
            limits.SECONDS.check("a", 1)


def test_limits_are_documented() -> None:
    text = (REPOSITORY / "docs" / "your_own_data.md").read_text()
    for limit in limits.LIMITS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{limit.variable}`"))
        assert str(limit.default) in row
        assert limit.description in row


@pytest.mark.parametrize("key", ["group_pattern", "subject_pattern"])
def test_a_pattern_that_takes_for_ever(tmp_path, monkeypatch, key) -> None:
    monkeypatch.setenv("MEDTASKATLAS_MAX_SECONDS", "0.5")
    root = flat(tmp_path, **{key: r"^((a|aa)+)+$"})
    write(root / "images" / f"{'a' * 60}.png", picture())
    start = time.monotonic()
    said = [str(finding) for finding in check_folder(root)]
    assert time.monotonic() - start < 20
    assert any(key in text and "takes more than 0.5 seconds" in text for text in said)


def test_aliases_of_yaml_are_refused(tmp_path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    (tmp_path / "dataset.yaml").write_text("\n".join(lines))
    raw, findings = read_description(tmp_path)
    assert raw == {}
    assert "line 2, column 10: an alias (*a0) is not allowed" in str(findings[0])


def test_aliases_in_a_configuration_are_refused(tmp_path) -> None:
    from typer.testing import CliRunner

    from medtaskatlas.cli import app

    (tmp_path / "c.yaml").write_text("run: &a x\nmirror: *a\n")
    done = CliRunner().invoke(app, ["plan", "--configfile", str(tmp_path / "c.yaml")])
    assert done.exit_code
    assert "alias" in done.output + str(done.exception)


@pytest.mark.parametrize("place", ["images/pipe.png", "masks/b/pipe", "labels.csv"])
def test_pipes_are_refused(tmp_path, place) -> None:
    root = flat(tmp_path, masks=True)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / place)
    with pytest.raises(AtlasError, match=f"{place} is no regular file"):
        read_all(root)


def test_a_description_that_is_a_pipe(tmp_path) -> None:
    os.mkfifo(tmp_path / "dataset.yaml")
    assert "is no regular file" in str(read_description(tmp_path)[1][0])


def test_names_that_are_too_long_for_files(tmp_path) -> None:
    root = flat(tmp_path, name="a" * 300)
    with pytest.raises(ConfigError, match=r"name: .*at most 80 characters"):
        read_all(root)
    assert len(identifier(tmp_path / ("b" * 200))) == 80
