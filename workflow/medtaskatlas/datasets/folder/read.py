"""Pictures and slices of a folder dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medtaskatlas.core.errors import AtlasError, DataError, unreadable
from medtaskatlas.datasets.dataset import Content
from medtaskatlas.datasets.folder.description import Description
from medtaskatlas.datasets.folder.files import VOLUMES, Finding, Item
from medtaskatlas.datasets.folder.labels import (
    KINDS,
    flat_labels,
    load,
    remedy,
    volume_labels,
)
from medtaskatlas.datasets.folder.maps import flat_map, volume_map
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.folder.survey import survey
from medtaskatlas.datasets.folder.tables import outside
from medtaskatlas.datasets.io import volume, window
from medtaskatlas.datasets.io.frame import Cube, Excluded, Frame

Cut = Callable[[int], np.ndarray]
Note = Callable[[Finding], None]
T = TypeVar("T")
NO_PLACE = "its slices have no place in space, or its voxels no size"


def read(description: Description, folder: Path, note: Note) -> Iterator[Frame | Excluded]:
    """All pictures and slices, one image or volume in memory at a time; mistakes are errors."""
    if description.packed:
        yield from read_packed(description, folder)
        return
    found = _without_mistakes(folder, description)
    for name, reason in sorted(found.left.items()):
        yield Excluded(name, reason)
    for item in found.items:
        yield from read_item(found, item, note)


def _without_mistakes(folder: Path, description: Description) -> Survey:
    """The parts of a folder dataset; the first mistake is an error."""
    found = survey(folder, description)
    errors = [finding for finding in found.findings if finding.severity == "error"]
    if errors:
        first = errors[0].error(folder)
        more = f" (and {len(errors) - 1} more mistakes)" if len(errors) > 1 else ""
        raise DataError(
            first.problem + more,
            f"{first.remedy} (all mistakes: medtaskatlas datasets check {folder})",
        )
    return found


def read_packed(description: Description, folder: Path) -> Iterator[Frame | Excluded]:
    """Pictures of a dataset whose images are one .npz file, in its order."""
    from medtaskatlas.datasets.io.npz import read_arrays

    path, n_labels = folder / description.images, len(description.label_names)
    frames = read_arrays(path, label_kind="multi_class" if n_labels else "none")
    for frame in _named(path, "save the arrays anew with numpy.savez", frames):
        label = frame.label if isinstance(frame, Frame) else None
        if label is not None and not 0 <= label < n_labels:
            raise DataError(
                f"{path}: {frame.image_id} has the label {label}, which is not in `label_names`",
                "add it to `label_names` in dataset.yaml",
            )
        yield frame


def read_item(found: Survey, item: Item, note: Note) -> Iterator[Frame | Excluded]:
    """One picture, or the slices of a volume; `note` hears what was put right."""
    readers = {"flat": _flat, "dicom": _dicom}
    path = found.path(item)
    yield from _named(path, remedy(item), readers.get(item.kind, _volume)(found, item, note))


def _named(path: Path, remedy: str, read: Iterator[T]) -> Iterator[T]:
    """What a reader gives; whatever it raises names the file."""
    try:
        yield from read
    except AtlasError:
        raise
    except Exception as error:
        raise unreadable(path, error, remedy) from error


def is_volume(found: Survey, item: Item) -> bool:
    """Whether an item is a volume; a DICOM file is one if its frames are at different places."""
    if item.kind != "dicom":
        return item.kind in VOLUMES
    from medtaskatlas.datasets.io import dicom

    header = dicom.read_header(found.path(item))
    return dicom.no_image(header) is None and dicom.is_volume(header)


def _flat(found: Survey, item: Item, note: Note) -> Iterator[Frame | Excluded]:
    """A picture, or the pages of a TIFF."""
    from medtaskatlas.datasets.io.flat import read_flat

    path = found.path(item)
    pages = read_flat(path)
    if len(shapes := dict.fromkeys(page.shape for page in pages)) > 1:
        sizes = ", ".join(" x ".join(map(str, (w, h, *c))) for h, w, *c in shapes)
        raise DataError(
            f"{path}: its pages differ in size or colour ({sizes})",
            "save them as files of their own; reduced copies (a pyramid, a thumbnail) are known by "
            f"the tag NewSubfileType 1; or {remedy(item)}",
        )
    values = np.stack(pages) if len(pages) > 1 else pages[0][None]
    values = _finite(found, item, values, note)
    cut = _ramp(values, _grey_range(found, item, values, flat=True))
    yield from _pictures(found, item, cut, count=len(pages), facts={}, note=note)


def _dicom(found: Survey, item: Item, note: Note) -> Iterator[Frame | Excluded]:
    """A DICOM file: a picture, a cine, or a volume whose frames are at different places.

    The window of a picture's own file is taken unless units are known better.
    """
    from medtaskatlas.datasets.io import dicom

    path = found.path(item)
    header = dicom.read_header(path)
    if reason := dicom.no_image(header):
        left = Excluded(item.stem, reason)
        _warn_of_mosaics(found, item, [left], note)
        yield left
        return
    if dicom.is_volume(header):
        yield from _volume(found, item, note)
        return
    try:
        decoded = dicom.read_dicom(path)
    except DataError as error:  # part of its remedy is meant for files that can be fetched anew
        start, fetched, _ = error.remedy.partition(f"delete {path.parent}")
        raise DataError(error.problem, start + remedy(item) if fetched else error.remedy) from error
    d, inverted = found.description, dicom.inverted(header)
    values = dicom.without_padding(decoded.values, decoded.padding, inverted=inverted)
    measured = found.modality(item) in ("CT", "MR", "PET", "NM")

    def as_the_file_says(index: int) -> np.ndarray:
        return dicom.to_grey(decoded.headers[index], values[index])

    cut: Cut = as_the_file_says
    if values.ndim == 4:
        cut = values.__getitem__
    elif d.window or d.percentiles or measured or not all(map(dicom.has_window, decoded.headers)):
        cut = _ramp(values, _grey_range(found, item, values, flat=not measured))
    facts: dict[str, Any] = {"spacing_mm": decoded.spacing_mm}
    if group := dicom.group(header):
        facts |= {"group_id": group, "group_source": "derived", "subject": dicom.patient(header)}
    yield from _pictures(
        found,
        item,
        _bright(cut) if inverted else cut,
        count=len(values),
        facts=facts,
        note=note,
        sides=dicom.sides(decoded.headers[0]),
    )


def _warn_of_mosaics(found: Survey, item: Item, left: list[Excluded], note: Note) -> None:
    """Say that volumes were left out, which would be missed, unlike a mask or a dose."""
    from medtaskatlas.datasets.io.dicom import MOSAIC

    if count := sum(excluded.reason == MOSAIC for excluded in left):
        said, _, remedy = MOSAIC.partition("; ")
        file = f"{found.description.images}/{item.name}"
        note(Finding("warning", file, "ImageType", f"{said} (files: {count})", remedy))


def _bright(cut: Cut) -> Cut:
    """Bright where much was measured, of a picture in which large values are dark."""
    return lambda index: 255 - cut(index)


def _pictures(
    found: Survey,
    item: Item,
    cut: Cut,
    *,
    count: int,
    facts: dict[str, Any],
    note: Note,
    sides: tuple[float, float] | None = None,
) -> Iterator[Frame | Excluded]:
    """Frames of what has no place in space: a picture, pages, a cine.

    `sides` are the distances of its rows and of its columns, where they are known.
    """
    many = count > 1
    size = cut(0).shape[:2]
    labels = {KINDS[k][0]: flat_labels(found, item, k, count, size) for k in found.label_maps}
    maps = {q: flat_map(found, item, q, (count, *size)) for q in found.description.maps}
    if many:
        facts = {"group_id": item.stem, "group_source": "derived", **facts, "volume_id": item.stem}
    facts |= _known(found, item, facts)
    if many:
        _refuse_boxes(found, item)
    else:
        facts["boxes"] = _boxes(found, item, size, note)

    def frame(index: int, pixels: np.ndarray) -> dict[str, Any]:
        there = {name: pages[index] for name, pages in maps.items() if pages}
        planes = {name: planes[index] for name, planes in labels.items()}
        return facts | _square(pixels, planes, there, sides or (1, 1), facts.get("boxes"))

    yield from _frames(found, item, cut, frame, count=count, many=many)


def _square(
    pixels: np.ndarray,
    planes: dict[str, np.ndarray],
    maps: dict[str, tuple[np.ndarray, np.ndarray]],
    sides: tuple[float, float],
    boxes: np.ndarray | None = None,
) -> dict[str, Any]:
    """A picture with square pixels, and what is drawn on it; `sides` are those of a pixel."""
    now = volume.square(pixels, *sides)
    changed = now.shape != pixels.shape
    if changed and boxes is not None:
        (height, width), (tall, wide) = pixels.shape[:2], now.shape[:2]
        boxes = boxes * np.array([wide / width, tall / height] * 2, np.float32)
    return {
        "pixels": now,
        **{n: volume.square(p, *sides, labels=True) for n, p in planes.items()},
        "maps": {n: volume.square_map(*two, *sides) for n, two in maps.items()},
        "boxes": boxes,
        "stored_size": pixels.shape[:2] if changed else None,
    }


def _volume(found: Survey, item: Item, note: Note) -> Iterator[Frame | Excluded]:
    """Slices of a volume."""
    loaded = load(found, item)
    _warn_of_mosaics(found, item, loaded.left, note)
    yield from loaded.left
    if loaded.values is None:
        return
    values = _finite(found, item, loaded.values, note)
    facts: dict[str, Any] = {"group_id": loaded.group or item.stem, "group_source": "derived"}
    if loaded.group:
        facts["subject"] = loaded.subject
    if loaded.affine is None:  # slices without a place in space: as they are stored
        values = np.ascontiguousarray(values.transpose(2, 1, 0))
        cut = _ramp(values, _grey_range(found, item, values))
        yield from _pictures(
            found,
            item,
            _bright(cut) if loaded.inverted else cut,
            count=len(values),
            facts=facts,
            note=note,
            sides=loaded.sides,
        )
        return
    mm = volume.spacings(loaded.affine)
    axis = volume.plane_of(found.description.axis, mm, values.shape)
    # As volume.display() lays them out: the lower axis runs along the columns.
    columns_mm, rows_mm = (size for at, size in enumerate(mm) if at != volume.AXES[axis])
    black_white = _grey_range(found, item, values)
    grid = values.shape, loaded.affine
    tables = {k: volume_labels(found, item, k, *grid) for k in found.label_maps}
    maps = {q: volume_map(found, item, q, *grid) for q in found.description.maps}
    facts |= _known(found, item, facts)
    _refuse_boxes(found, item)
    facts |= {"axis": axis, "volume_id": item.stem, "spacing_mm": min(rows_mm, columns_mm)}

    def cut_slice(index: int) -> np.ndarray:
        return window.between(volume.display(values, axis, index), *black_white)

    def frame(index: int, pixels: np.ndarray) -> dict[str, Any]:
        planes = {
            KINDS[kind][0]: table[volume.display(labels, axis, index)]
            for kind, (labels, table) in tables.items()
        }
        there = {
            name: (volume.display(two[0], axis, index), volume.display(two[1], axis, index))
            for name, two in maps.items()
            if two
        }
        return facts | _square(pixels, planes, there, (rows_mm, columns_mm))

    count = values.shape[volume.AXES[axis]]
    cut = _bright(cut_slice) if loaded.inverted else cut_slice
    yield from _frames(found, item, cut, frame, count=count, many=True)


def _frames(
    found: Survey,
    item: Item,
    cut: Cut,
    frame: Callable[[int, np.ndarray], dict[str, Any]],
    *,
    count: int,
    many: bool,
) -> Iterator[Frame | Excluded]:
    """Slices that have content; `frame` gives all of a frame but its name and number."""
    content = found.description.content or (volume.CONTENT if many else Content())
    for index, pixels in volume.choose(count, cut, content, found.description.slices):
        name = f"{item.stem}-{index:03d}" if many else item.stem
        if isinstance(pixels, str):
            yield Excluded(name, pixels)
        else:
            place = index if many else None
            yield Frame(image_id=name, slice_index=place, **frame(index, pixels))


def _known(found: Survey, item: Item, facts: dict[str, Any]) -> dict[str, Any]:
    """What tables and patterns know of an image; it goes before what is derived."""
    name, split = item.name, found.splits.get(item.name)
    known: dict[str, Any] = {
        "label": found.labels.get(name),
        "labels": found.findings_of.get(name),
        "values": {q: numbers[name] for q, numbers in found.values.items() if name in numbers},
        "split": split,
    }
    if name in found.groups:
        known["group_id"], known["group_source"] = found.groups[name]
    elif "group_id" not in facts:
        known |= {"group_id": item.stem, "group_source": "unknown"}
    if name in found.subjects or name in found.groups:
        known["subject"] = found.subjects.get(name)
    elif (patient := facts.get("subject")) and found.splits:
        other = found.patients.setdefault(patient, str(split))
        if other != str(split):
            raise DataError(
                f"{found.path(item)}: its patient is in two splits: {other} and {split}",
                "put all images of a patient (PatientID) into one split",
            )
    return known


def _grey_range(
    found: Survey, item: Item, values: np.ndarray, flat: bool = False
) -> tuple[float, float]:
    """Values of an image that become black and white."""
    d = found.description
    coloured = values.ndim == 4 and values.dtype == np.uint8
    return volume.grey_range(
        values,
        found.modality(item),
        d.body_part,
        flat=flat,
        window=None if coloured else d.window,
        percentiles=None if coloured else d.percentiles,
    )


def _ramp(values: np.ndarray, black_white: tuple[float, float]) -> Cut:
    """Pages of a stack in 8 bits."""
    if values.dtype == np.uint8 and black_white == (0, 255):
        return values.__getitem__
    return lambda index: window.between(values[index], *black_white)


def _finite(found: Survey, item: Item, values: np.ndarray, note: Note) -> np.ndarray:
    """Values without NaN and infinity."""
    values, bad = volume.finite(values, found.path(item))
    if bad:
        file = f"{found.description.images}/{item.name}"
        said = f"{bad} values are NaN or infinite and are taken as the smallest value"
        note(Finding("warning", file, "", said, "mend the file if they matter"))
    return values


def _boxes(found: Survey, item: Item, size: tuple[int, ...], note: Note) -> np.ndarray | None:
    """Boxes of a picture, clipped to it."""
    if found.boxes is None:
        return None
    given = found.boxes.get(item.name, [])
    wholly, partly = outside(given, *size)
    file, at = str(found.description.boxes), f"{item.name} ({size[1]} x {size[0]} pixels)"
    if wholly:
        shown = ", ".join(f"{box} (line {line})" for line, box in wholly)
        said = f"lies outside of {at}: {shown}"
        raise Finding("error", file, f"line {wholly[0][0]}", said, "mend the line").error(
            found.folder
        )
    for line, box in partly:
        said = f"the box {box} reaches out of {at} and is clipped"
        note(Finding("warning", file, f"line {line}", said, "mend the line if it is a mistake"))
    boxes = np.array([box for _, box in given], np.float32).reshape(-1, 4)
    return np.clip(boxes, 0, np.array([size[1], size[0]] * 2, np.float32))


def _refuse_boxes(found: Survey, item: Item) -> None:
    """Boxes are of pictures: a box in a volume would need a slice."""
    if found.boxes and item.name in found.boxes:
        raise DataError(
            f"{found.folder / str(found.description.boxes)}: {item.name} is a volume or a stack",
            "boxes belong to pictures: save the slices as PNG, or remove these lines",
        )


def read_volumes(description: Description, folder: Path, note: Note) -> Iterator[Cube | Excluded]:
    """All volumes, one in memory at a time; pictures, pages and cines are none."""
    if description.packed:
        return
    found = _without_mistakes(folder, description)
    for name, reason in sorted(found.left.items()):
        yield Excluded(name, reason)
    for item in found.items:
        if is_volume(found, item):
            yield from _named(found.path(item), remedy(item), _cube(found, item, note))


def _cube(found: Survey, item: Item, note: Note) -> Iterator[Cube | Excluded]:
    """A volume: axial slices as :func:`~medtaskatlas.datasets.io.volume.display` shows them."""
    loaded = load(found, item)
    yield from (left for left in loaded.left if left.image_id not in item.files)
    if loaded.values is None or loaded.affine is None:
        yield Excluded(item.stem, loaded.left[0].reason if loaded.values is None else NO_PLACE)
        return
    values = _finite(found, item, loaded.values, note)
    x_mm, y_mm, z_mm = volume.spacings(loaded.affine)
    if not min(x_mm, y_mm, z_mm) > 0:
        yield Excluded(item.stem, NO_PLACE)
        return
    black_white = _grey_range(found, item, values)
    slices = range(values.shape[2])

    def axial(of: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.stack([change(volume.display(of, "axial", index)) for index in slices])

    mask = None
    if "masks" in found.label_maps:
        stored, table = volume_labels(found, item, "masks", values.shape, loaded.affine)
        mask = axial(stored, lambda plane: table[plane])
    voxels = axial(values, lambda plane: window.between(plane, *black_white))
    known = _known(found, item, {})
    yield Cube(
        voxels=255 - voxels if loaded.inverted else voxels,
        volume_id=item.stem,
        spacing_mm=(z_mm, y_mm, x_mm),
        mask=mask,
        **{name: known[name] for name in ("label", "labels", "values") if name in known},
    )
