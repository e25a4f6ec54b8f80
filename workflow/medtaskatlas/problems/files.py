"""Files of images that a network is applied to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import existing_folder
from medtaskatlas.datasets.dataset import Content
from medtaskatlas.datasets.folder.description import DESCRIPTION, Description
from medtaskatlas.datasets.folder.files import VOLUMES, Item, list_files, suffix, to_items, within
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.folder.survey import survey
from medtaskatlas.datasets.io.npz import ORDER
from medtaskatlas.datasets.io.npz_stream import NpzStream

_ALL = 10**9  # slices of a volume
NPZ = ".npz"  # of pictures or volumes, as MedMNIST has them


def survey_images(path: Path, *, volumes: bool = False) -> tuple[Survey, dict[str, str]]:
    """Images of a folder, or one file, and why other files are none.

    Its description is still to be told what decides grey levels and planes: see :func:`described`.

    Parameters
    ----------
    path
        File or folder.
    volumes
        DICOM files that lie loose in the folder are one series, for a network of volumes.

    Raises
    ------
    DataError
        If it is a folder dataset, two have one name, or there is none.
    """
    if not path.exists():
        raise DataError(
            f"there is no file or folder {path}", f"check the path; you are in {Path.cwd()}"
        )
    folder = path.parent if path.is_file() else existing_folder(path)
    if folder == path and (folder / DESCRIPTION).is_file():
        raise DataError(
            f"{folder} is a folder dataset, with annotation beside its images",
            "give the folder of the images alone",
        )
    stand_in = {"name": "images", "modality": "PHOTO", "body_part": "unknown"}
    every = {"slices": _ALL, "content": Content()}
    description = Description.model_validate({**stand_in, "images": ".", **every})
    if folder == path:
        found, names = survey(folder, description), within(list_files(folder), ".")
    else:
        found, names = Survey(folder, description), [path.name]
    for finding in found.findings:
        if finding.severity == "error":
            raise replace(finding, remedy="rename one of them").error(folder)
    items, others = to_items(folder, names)
    packed = [
        name
        for name in others
        if suffix(name) == NPZ and (folder != path or _may_be_packed(folder / name))
    ]
    items += [Item(name, name[: -len(NPZ)], "flat", (name,)) for name in packed]
    loose = [item for item in items if item.kind == "dicom" and item.name in names]
    if volumes and len(loose) > 1:
        name = folder.resolve().name
        files = tuple(file for item in loose for file in item.files)
        items = [item for item in items if item not in loose]
        if any(item.stem.casefold() == name.casefold() for item in items):
            raise DataError(
                f"{folder}: its loose DICOM files and {name} in it have one name",
                "give the series a folder of its own",
            )
        items.append(Item(name, name, "series", files))
    if not items:
        raise DataError(
            f"{path} holds no image" if folder == path else f"{path} is {others[path.name]}",
            "give PNG, JPEG, BMP, TIFF, DICOM, NIfTI or NRRD files, or .npz as MedMNIST has them",
        )
    found.items = sorted(items, key=lambda item: item.name)
    return found, {name: why for name, why in others.items() if name not in packed}


def are_volumes(path: Path) -> bool | None:
    """Whether a file is a volume or holds such, or all of a folder are; None where it has both.

    None too where none can be told of. DICOM files that lie loose are pictures or a volume.
    """
    found = survey_images(path)[0]
    kinds: set[bool | None] = set()
    for item in found.items:
        if is_packed(item):
            with suppress(DataError):
                kinds.add(len(packed_size(found.path(item))) == 4)
        else:
            loose = item.kind == "dicom" and len(found.items) > 1
            kinds.add(None if loose else item.kind in VOLUMES)
    return kinds.pop() if len(kinds) == 1 else None


def is_packed(item: Item) -> bool:
    """Whether an item is an .npz file of many."""
    return suffix(item.name) == NPZ


def _may_be_packed(path: Path) -> bool:
    """Whether a file is an .npz of images, or none that can be read: that is told when it is."""
    try:
        return bool(packed_size(path))
    except DataError:
        return True


def packed_size(path: Path) -> tuple[int, ...]:
    """Rows of an .npz file and their pixels, four numbers of volumes; none without images."""
    with NpzStream(path) as stream:
        shapes = [stream.shape(f"{s}_images") for s in ORDER if f"{s}_images" in stream]
    if not shapes:
        return ()
    pixels = shapes[0][1:]
    # As the reader tells them: the last axis of a picture is its colour.
    pixels = pixels[:2] if pixels[2:] in ((1,), (3,)) else pixels
    return (sum(shape[0] for shape in shapes), *pixels)


def described(found: Survey, keys: Mapping[str, Any]) -> Survey:
    """A survey with keys of a dataset.yaml, such as ``modality``, ``window`` and ``axis``."""
    known = {key: getattr(found.description, key) for key in found.description.model_fields_set}
    return replace(found, description=Description.model_validate({**known, **keys}))
