"""Small folder datasets made on the spot."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import nibabel
import numpy as np
import yaml

from medfiles import write_dicom
from medtaskatlas.datasets.folder.read import read
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.sources.folder import FolderDataset, load_folder_dataset

KEYS = {
    "name": "mine",
    "title": "My pictures",
    "modality": "US",
    "body_part": "breast",
    "licence": "CC0-1.0",
    "source": "https://example.org",
    "citation": "nobody",
    "images": "images",
}


def picture(seed: int = 0, size: tuple[int, ...] = (24, 32)) -> np.ndarray:
    """A smooth random picture, uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, size).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(smooth, None, 10, 240, cv2.NORM_MINMAX).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    """A picture in the format of its suffix; RGB order, names of any letters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, data = cv2.imencode(path.suffix.lower(), pixels)
    assert done
    path.write_bytes(data.tobytes())
    return path


def describe(root: Path, **keys: object) -> Path:
    """dataset.yaml with the usual keys and some more; None leaves one out."""
    root.mkdir(parents=True, exist_ok=True)
    values = {key: value for key, value in {**KEYS, **keys}.items() if value is not None}
    (root / "dataset.yaml").write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
    return root


def flat(root: Path, n: int = 4, masks: bool = False, **keys: object) -> Path:
    """A dataset of n PNG pictures a0.png, a1.png, ..., with masks of class 1 if wanted."""
    for i in range(n):
        write(root / "images" / f"a{i}.png", picture(i))
        if masks:
            write(root / "masks" / f"a{i}.png", (picture(i) > 125).astype(np.uint8))
    if masks:
        keys = {"masks": "masks", "classes": {1: "lesion"}, **keys}
    return describe(root, **keys)


def table(root: Path, name: str, *lines: str) -> Path:
    """A CSV file."""
    (root / name).write_text("\n".join(lines) + "\n")
    return root


def load(root: Path) -> FolderDataset:
    """The dataset."""
    return load_folder_dataset(root)


def read_all(root: Path, note=lambda finding: None) -> tuple[list[Frame], list[Excluded]]:
    """All frames and all that is left out."""
    found = list(read(load(root).description, root, note))
    return (
        [f for f in found if isinstance(f, Frame)],
        [f for f in found if isinstance(f, Excluded)],
    )


def head(shape: tuple[int, int, int] = (24, 28, 20)) -> np.ndarray:
    """A volume [X, Y, Z] in RAS+ that looks different from every side, int16."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    ball = (x**2 + y**2 + z**2 < 0.9).astype(np.float64)
    values = ball * (500 + 200 * x + 120 * y + 60 * z)
    values[int(shape[0] * 0.7), int(shape[1] * 0.6), :] = 900
    return values.astype(np.int16)


def write_nifti(
    path: Path,
    values: np.ndarray,
    mm: tuple[float, ...] = (1, 1, 1),
    codes: str = "RAS",
) -> Path:
    """A NIfTI file of values in RAS+, stored in any orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([*mm, 1.0]))
    wanted = nibabel.orientations.axcodes2ornt(codes)
    start = nibabel.orientations.io_orientation(image.affine)
    image = image.as_reoriented(nibabel.orientations.ornt_transform(start, wanted))
    nibabel.save(image, path)
    return path


def write_nrrd(
    path: Path,
    values: np.ndarray,
    mm: tuple[float, ...] = (1, 1, 1),
    *,
    space: str = "left-posterior-superior",
    encoding: str = "gzip",
    endian: str = "little",
    detached: str | None = None,
    fields: tuple[str, ...] = (),
    cut: int = 0,
) -> Path:
    """A NRRD file of values in RAS+, stored with its axes along a space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flips = {"left-posterior-superior": (0, 1), "LPS": (0, 1), "RAS": (), "LAS": (0,)}[space]
    for axis in flips:
        values = np.flip(values, axis)
    kinds = {"i2": "short", "u1": "uchar", "f4": "float", "u2": "ushort"}
    vectors = " ".join(
        f"({','.join(str(m * (i == j)) for j in range(3))})" for i, m in enumerate(mm)
    )
    lines = [
        "NRRD0004",
        "# made by a test",
        f"type: {kinds[values.dtype.str[1:]]}",
        f"dimension: {values.ndim}",
        f"space: {space}",
        "sizes: " + " ".join(str(n) for n in values.shape),
        "space directions: " + vectors,
        f"endian: {endian}",
        f"encoding: {encoding}",
        "space origin: (0,0,0)",
        "a key:=a value",
        *fields,
        *([f"data file: {detached}"] if detached else []),
    ]
    order = ">" if endian == "big" else "<"
    data = values.T.astype(values.dtype.newbyteorder(order)).tobytes()
    data = gzip.compress(data) if encoding == "gzip" else data
    data = data[: len(data) - cut]
    header = ("\n".join(lines) + "\n\n").encode()
    if detached:
        (path.parent / detached).write_bytes(data)
        path.write_bytes(header)
    else:
        path.write_bytes(header + data)
    return path


def write_series(
    folder: Path, values: np.ndarray, mm: tuple[float, ...] = (1, 1, 1), **tags
) -> None:
    """A DICOM series, axial, of int16 values in RAS+; file names are in no order of position."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = tags.pop("SeriesInstanceUID", "1.2.3")
    count = values.shape[2]
    for z in range(count):
        write_dicom(
            folder / f"{(z * 7) % count:03d}.dcm",
            np.ascontiguousarray(values[::-1, ::-1, z].T),  # columns to the left, rows to the back
            ImagePositionPatient=[0, 0, z * mm[2]],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[mm[1], mm[0]],
            SeriesInstanceUID=uid,
            InstanceNumber=count - z,
            **tags,
        )
