"""Predictions of trained networks for files of images: masks and pictures, and a table."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas import __version__
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.files import atomic_write, sha256, write_json
from medtaskatlas.datasets.folder.description import DESCRIPTION
from medtaskatlas.datasets.folder.files import VOLUMES, Item
from medtaskatlas.datasets.io.frame import Excluded
from medtaskatlas.datasets.io.volume import grey_range
from medtaskatlas.problems.ensemble import MODEL, Ensemble
from medtaskatlas.problems.files import NPZ, described, packed_size, survey_images
from medtaskatlas.problems.native import Reader, Seen
from medtaskatlas.problems.targets.picture import Picture
from medtaskatlas.problems.targets.target import Target

TABLE, ABOUT = "predictions.csv", "predictions.json"
Row = dict[str, Any]
# Rows of the table for one picture or volume: what was said of it, and the files written.
Rows = Callable[[Ensemble, Seen, dict[str, np.ndarray], dict[str, str]], list[Row]]


def predict_files(
    ensemble: Ensemble,
    path: Path,
    out: Path,
    *,
    told: str,
    code: str,
    rows_of: Rows,
    axis: str | None = None,
    modality: str | None = None,
    body_part: str | None = None,
    window: tuple[float, float] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> bool:
    """Predict all targets of all images of a folder, or of one file.

    Parameters
    ----------
    ensemble
        The networks.
    path
        File, or folder of pictures and volumes, in sub-folders or not; a DICOM series has a folder
        of its own.
    out
        Folder that is made: one folder a target of pixels, predictions.csv and predictions.json.
    told
        What is applied, in words.
    code
        Hash of the code, for predictions.json.
    rows_of
        Makes the rows of the table.
    axis, modality, body_part, window
        Plane of slices, modality, body part and window (centre, width) where those of the training
        images are not known or not wanted.
    overwrite
        Replace predictions that are there.
    say
        Hears a line about each image that was left out or put right, and what was used.

    Returns
    -------
    bool
        Whether no image was left out.

    Raises
    ------
    ConfigError, DataError
        If the path or an option cannot be used; an image that cannot be read is left out instead.
    """
    from tqdm import tqdm

    found, others = survey_images(path, volumes=len(ensemble.size) == 3)
    keys = _preparation(
        ensemble, found.items, axis=axis, modality=modality, body_part=body_part, window=window
    )
    _make_room(out, path, list(ensemble.targets), overwrite=overwrite)
    for line in told, *(f"{name}: {why}" for name, why in others.items()):
        say(line)
    reader = Reader(described(found, keys), ensemble.size, ensemble.channels, "axis" in keys)
    # First, so that what an interruption leaves can be told from other things and replaced.
    write_json(out / ABOUT, _about(ensemble, code, keys, {}, {}))
    rows: list[Row] = []
    hashes: dict[str, str] = {}
    left: dict[str, str] = {}
    parts = {item.name: _parts(found.path(item)) for item in found.items}
    with tqdm(total=sum(parts.values()), desc="predict", disable=None) as bar:
        for item in found.items:
            done = 0
            for seen in _read(reader, item, left, say):
                rows += _predict(ensemble, seen, out, rows_of)
                if item.name not in hashes:
                    hashes[item.name] = _sha256(found.folder, item)
                if done + 1 < parts[item.name]:
                    done += 1
                    bar.update()
            bar.update(parts[item.name] - done)
    _write_table(out / TABLE, rows)
    write_json(out / ABOUT, _about(ensemble, code, keys, hashes, left))
    say(f"{out}: predictions of {len(hashes)} of {len(found.items)} images")
    return not left


def _parts(path: Path) -> int:
    """Images of a file, for the progress."""
    if path.suffix.lower() == NPZ:
        with suppress(DataError):
            return max(1, *packed_size(path)[:1])
    return 1


def _read(
    reader: Reader, item: Item, left: dict[str, str], say: Callable[[str], None]
) -> Iterator[Seen]:
    """What can be read of an item; why the rest is left out is said and kept."""
    try:
        for seen in reader.read(item, lambda finding: say(str(finding))):
            if isinstance(seen, Excluded):
                left[seen.image_id] = seen.reason
                say(f"{seen.image_id} is left out: {seen.reason}")
            else:
                yield seen
    except DataError as error:
        left[item.name] = error.problem
        # Files of a dataset are excluded in its description, and here there is none.
        said = error.problem if DESCRIPTION in error.remedy else error
        say(f"{item.name} is left out: {said}")
    except OSError as error:
        left[item.name] = error.strerror or str(error)
        say(f"{item.name} is left out: {left[item.name]}")


def _preparation(
    ensemble: Ensemble,
    items: Sequence[Item],
    *,
    axis: str | None,
    modality: str | None,
    body_part: str | None,
    window: tuple[float, float] | None,
) -> dict[str, Any]:
    """Keys of a dataset.yaml that make grey levels and slices as those of the training images."""
    trained, option = ensemble.preparation, "--window CENTRE WIDTH"
    if window is not None and window[1] <= 0:
        raise ConfigError(f"--window: the width is {window[1]:g}", "give one above 0")
    named = modality or _only(trained["modality"], "--modality")
    keys = {"window": window} if window else _only(trained["windowing"], option)
    parts = [body_part] if body_part else trained["body_part"]
    # Windows of CT go by the body part; air tells the rule that values are HU.
    ranges = {grey_range(np.array([-1000.0]), named, part) for part in parts}
    if not keys and len(ranges) > 1:
        _only(parts, option)
    keys = {**keys, "modality": named, "body_part": parts[0]}
    volumes = [item for item in items if item.kind in VOLUMES]
    if len(ensemble.size) == 2 and volumes:
        if axis is not None or trained["axes"]:
            keys["axis"] = axis or _only(trained["axes"], "--axis")
        elif len(volumes) == len(items):
            raise ConfigError(
                "the model was trained on pictures, so the plane of slices is not known",
                "give --axis axial, coronal, sagittal or thickest",
            )
    return keys


def _only(values: Sequence[Any], option: str) -> Any:
    """The value that all training images had."""
    if len(values) != 1:
        shown = ", ".join(str(value) or "none" for value in values)
        raise ConfigError(f"training images differ: {shown}", f"say which one is meant: {option}")
    return values[0]


def _make_room(out: Path, path: Path, targets: list[str], *, overwrite: bool) -> None:
    """Refuse a folder with other things in it; take away predictions that are to be replaced."""
    if out.resolve().is_relative_to(path.resolve()):
        raise ConfigError(
            f"{out} lies within {path}, so predictions would be taken for images",
            "give another --out",
        )
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / ABOUT).is_file():
        raise DataError(f"{out} holds other things than predictions", "give another --out")
    if not overwrite:
        raise DataError(f"{out} holds predictions", "give --overwrite, or another --out")
    # Other files beside them stay.
    written = json.loads((out / ABOUT).read_text(encoding="utf-8"))["targets"]
    for name in {*targets, *(n for n in written if Path(n).name == n != "..")}:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (TABLE, ABOUT):
        (out / name).unlink(missing_ok=True)


def _predict(ensemble: Ensemble, seen: Seen, out: Path, rows_of: Rows) -> list[Row]:
    """Predict and write one picture or volume; rows of the table."""
    n, at_once = len(seen.pixels), 32 if len(ensemble.size) == 2 else 1
    parts = [ensemble.predict(seen.pixels[i : i + at_once]) for i in range(0, n, at_once)]
    said = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    files = {
        name: str(
            _write(out / name / seen.name, seen.native(said[name]), target, seen.affine)
            .relative_to(out)
            .as_posix()
        )
        for name, target in ensemble.targets.items()
        if target.layout == "pixels"
    }
    return rows_of(ensemble, seen, said, files)


def _write(path: Path, values: np.ndarray, target: Target, affine: np.ndarray | None) -> Path:
    """Write a mask, map or picture, with the suffix of its kind."""
    if isinstance(target, Picture):
        values = np.rint(np.nan_to_num(values) * 255).astype(np.uint8)
    if affine is not None:
        import nibabel

        image = nibabel.Nifti1Image(values, affine, dtype=values.dtype)
        image.header.set_xyzt_units("mm")
        # nibabel tells formats by their suffixes, which a temporary file has not.
        suffix, data = ".nii.gz", _gzipped(image.to_bytes())
    else:
        import cv2

        suffix = ".tif" if values.dtype.kind == "f" else ".png"
        pixels = values[..., ::-1] if values.ndim == 3 else values
        done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels))
        if not done:
            raise DataError(f"{path}{suffix} cannot be encoded", "report it as a bug")
        data = encoded.tobytes()
    file = path.with_name(path.name + suffix)
    with atomic_write(file) as part:
        part.write_bytes(data)
    return file


def _gzipped(data: bytes) -> bytes:
    """Compressed without a time, so that equal predictions are equal files."""
    import gzip

    return gzip.compress(data, 6, mtime=0)


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    """Rows, numbers with six digits."""
    columns = list(dict.fromkeys(column for row in rows for column in row)) or ["image", "slice"]
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, columns)
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def _about(
    ensemble: Ensemble,
    code: str,
    keys: dict[str, Any],
    hashes: dict[str, str],
    left: dict[str, str],
) -> dict[str, Any]:
    """Where predictions come from."""
    return {
        "package": __version__,
        "code": code,
        "models": {str(f): sha256(f / MODEL) for f in ensemble.folders},
        **ensemble.facts,
        "seeds": ensemble.seeds,
        "folds": ensemble.folds,
        "networks": len(ensemble.members),
        "preparation": keys,
        "targets": {
            name: {"kind": t.kind, "unit": t.unit, "classes": getattr(t, "classes", ())}
            for name, t in ensemble.targets.items()
        },
        "images": hashes,
        "left_out": left,
    }


def _sha256(folder: Path, item: Item) -> str:
    """SHA-256 of a file; of a series that of its files' hashes."""
    found = [sha256(folder / file) for file in item.files]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()
