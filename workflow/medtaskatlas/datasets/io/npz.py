"""Arrays of npz files as MedMNIST and MedSegBench have them, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import Content, GroupSource, LabelKind, MaskKind, Split
from medtaskatlas.datasets.io.frame import BEYOND, SMALLEST, Cube, Excluded, Frame
from medtaskatlas.datasets.io.npz_stream import NpzStream
from medtaskatlas.datasets.io.volume import lacking, spread

# In this order: where a published split repeats others, its copies are the ones that are dropped.
ORDER: tuple[Split, ...] = ("train", "test", "val")
SLICES = 4
CONTENT = Content(min_std=1)
UNTAKEN = f"a slice between the {SLICES} that are taken of a volume"


def read_arrays(
    path: Path,
    *,
    label_kind: LabelKind = "none",
    masks: MaskKind = "none",
    arrays: Mapping[Split, list[str]] | None = None,
    group_source: GroupSource = "unknown",
    limit: int | None = None,
) -> Iterator[Frame | Excluded]:
    """Pictures of ``{split}_images``; of a volume [D, H, W] four slices, spread evenly.

    Each picture or volume is a group. `arrays` names the annotation arrays of each split, by
    default ``{split}_labels`` or ``{split}_label``; at most `limit` pictures are taken, spread
    evenly over each split. Label kind ``multi_label`` gives all findings as `labels`, and label 0
    to an image without finding, 1, 2, ... to one with a single finding, None to one with several.
    """
    for item in _items(
        path,
        label_kind=label_kind,
        masks=masks,
        arrays=arrays,
        group_source=group_source,
        limit=limit,
    ):
        if isinstance(item, Excluded):
            yield item
        else:
            yield from _slices(item) if _is_volume(item.pixels.shape) else _whole(item)


def read_cubes(
    path: Path, *, label_kind: LabelKind, arrays: Mapping[Split, list[str]]
) -> Iterator[Cube]:
    """Volumes of ``{split}_images``, named as in the ``volume_id`` of their slices."""
    for item in _items(path, label_kind=label_kind, arrays=arrays):
        assert isinstance(item, Frame)  # without a limit, nothing is left out
        if not _is_volume(item.pixels.shape):
            raise DataError(
                f"{path}: {item.image_id} is {item.pixels.shape}, no volume", "give volumes in it"
            )
        yield Cube(item.pixels, item.image_id, label=item.label, labels=item.labels)


def _is_volume(shape: tuple[int, ...]) -> bool:
    """Whether a row is a volume, and no picture."""
    return len(shape) == 3 and shape[-1] not in (1, 3)


def _items(
    path: Path,
    *,
    label_kind: LabelKind,
    masks: MaskKind = "none",
    arrays: Mapping[Split, list[str]] | None,
    group_source: GroupSource = "unknown",
    limit: int | None = None,
) -> Iterator[Frame | Excluded]:
    """Pictures and whole volumes, as frames, and what is beyond the limit."""
    default = "{}_labels" if masks == "none" else "{}_label"
    with NpzStream(path) as stream:
        shapes = {s: stream.shape(f"{s}_images") for s in ORDER if f"{s}_images" in stream}
        if not shapes:
            raise DataError(
                f"{path} has no train_images, val_images or test_images",
                f"it has {', '.join(stream.names)}: rename its arrays",
            )
        total = sum(shape[0] for shape in shapes.values())
        for split, shape in shapes.items():
            volumes = _is_volume(shape[1:])
            each = min(SLICES, shape[1]) if volumes else 1
            share = 1.0 if limit is None else min(1.0, limit / max(total * each, 1))
            taken = _share(shape[0], share)
            names = arrays[split] if arrays else [default.format(split)]
            labels = findings = None
            if masks == "none" and label_kind != "none":
                labels, findings = _labels(stream, names[0], label_kind, shape[0])
            planes = names if masks != "none" else []
            for row, pixels, mask in _rows(stream, f"{split}_images", planes, masks):
                name = f"{split}-{row:06d}"
                if not taken[row]:
                    yield Excluded(name, BEYOND, shape[1] if volumes else 1)
                    continue
                yield Frame(
                    pixels=pixels,
                    image_id=name,
                    group_id=name,
                    group_source=group_source,
                    mask=mask,
                    label=None if labels is None else labels[row],
                    labels=None if findings is None else findings[row],
                    split=split,
                )


def _rows(
    stream: NpzStream, images: str, planes: list[str], kind: MaskKind
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Row number, pixels and mask of every row; images and masks are read side by side."""
    shape = stream.shape(images)
    for plane in planes:
        if stream.shape(plane)[:3] != shape[:3]:
            raise DataError(
                f"{stream.path}: {plane} is {stream.shape(plane)}, {images} is {shape}",
                "masks must have the number and size of the images",
            )
    at_once = max(1, (4 << 20) // max(int(np.prod(shape[1:])), 1))
    row = 0
    others = [stream.rows(plane, at_once) for plane in planes]
    for chunk in stream.rows(images, at_once):
        pixels = _eight_bits(stream.path, images, chunk)
        mask = _mask(stream.path, {p: next(o) for p, o in zip(planes, others, strict=True)}, kind)
        for i in range(len(pixels)):
            yield row, pixels[i], None if mask is None else mask[i]
            row += 1
    for other in others:
        next(other, None)  # reads to the end, where the checksum is


def _eight_bits(path: Path, name: str, chunk: np.ndarray) -> np.ndarray:
    """Pixels [n, H, W], [n, H, W, 3] or [n, D, H, W] of 8 bits."""
    if chunk.dtype != np.uint8:
        raise DataError(
            f"{path}: array {name!r} is {chunk.dtype}, not uint8",
            "scale the images to 0..255 and save them as uint8",
        )
    if chunk.ndim == 4 and chunk.shape[-1] == 1:
        chunk = chunk[..., 0]
    if chunk.ndim not in (3, 4):
        raise DataError(
            f"{path}: array {name!r} has {chunk.ndim} dimensions",
            "give [N, H, W], [N, H, W, 3] or [N, D, H, W]",
        )
    if chunk.ndim == 4 and chunk.shape[-1] != 3 and min(chunk.shape[1], chunk.shape[-1]) < SMALLEST:
        raise DataError(
            f"{path}: array {name!r} is [{', '.join(map(str, chunk.shape))}]: too thin for volumes "
            "[N, D, H, W], and no pictures [N, H, W, 3]",
            "save grey or RGB, with channels last (numpy.moveaxis)",
        )
    return chunk


def _mask(path: Path, planes: Mapping[str, np.ndarray], kind: MaskKind) -> np.ndarray | None:
    """Class ids uint8 [n, H, W] of arrays [n, H, W] or [n, H, W, C] with channels that agree."""
    if not planes:
        return None
    flat = []
    for name, plane in planes.items():
        if plane.ndim == 4 and (plane[..., 1:] != plane[..., :1]).any():
            raise DataError(
                f"{path}: the {plane.shape[-1]} channels of {name} differ",
                "where channels are classes, save numpy.argmax(masks, axis=-1)",
            )
        flat.append(plane[..., 0] if plane.ndim == 4 else plane)
        if kind == "values" and (flat[-1].astype(np.uint8) != flat[-1]).any():
            raise DataError(f"{path}: {name} holds ids that are not 0 to 255", "mend the masks")
    if kind == "values":
        return flat[0].astype(np.uint8)
    mask = np.zeros(flat[0].shape, np.uint8)
    for number in range(len(flat), 0, -1):  # small structures have low ids and come last
        mask[flat[number - 1] != 0] = number
    return mask


def _labels(
    stream: NpzStream, name: str, kind: LabelKind, n: int
) -> tuple[list[int | None], list[tuple[bool, ...]] | None]:
    """Label of every row, and its findings where it may have several."""
    values = stream.whole(name)
    if len(values) != n:
        raise DataError(
            f"{stream.path}: {name} has {len(values)} rows for {n} images", "give one an image"
        )
    values = _whole_numbers(stream.path, name, values).reshape(n, -1)
    if kind != "multi_label" and values.shape[1] != 1:
        raise DataError(
            f"{stream.path}: {name} is [{', '.join(map(str, (n, *values.shape[1:])))}]: one number "
            "an image is understood",
            "where columns are classes, save numpy.argmax(labels, axis=1)",
        )
    if kind == "multi_label":
        found = (values > 0).sum(axis=1)
        which = np.where(found == 0, 0, values.argmax(axis=1) + 1)
        one = [int(w) if f <= 1 else None for w, f in zip(which, found, strict=True)]
        return one, [tuple(row) for row in (values > 0).tolist()]
    return [int(v) for v in values[:, 0]], None


def _whole_numbers(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Labels as int64."""
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: {name} are {values.dtype.str.lstrip('<>|=')}, not numbers",
            "write 0, 1, ... and name them in `label_names`",
        )
    odd = ~np.isfinite(values) | (values != np.floor(values)) if values.dtype.kind == "f" else None
    if odd is not None and odd.any():
        row = int(np.argwhere(odd)[0][0])
        raise DataError(
            f"{path}: {name} holds {values[odd][0]:g} in row {row}, which is no label",
            "write 0, 1, ... as integers, or leave out the images that have no label",
        )
    return values.astype(np.int64)


def _share(n: int, share: float) -> np.ndarray:
    """Which of n rows are taken: evenly spread, bool [n]."""
    taken = np.zeros(n, bool)
    count = min(n, max(1, int(n * share)))
    taken[np.arange(count) * n // max(count, 1)] = True
    return taken


def _whole(frame: Frame) -> Iterator[Frame | Excluded]:
    """A picture, if there is something on it."""
    reason = lacking(frame.pixels, CONTENT)
    yield Excluded(frame.image_id, reason) if reason else frame


def _slices(volume: Frame) -> Iterator[Frame | Excluded]:
    """Slices of a volume along its first axis."""
    reasons = [lacking(plane, CONTENT) for plane in volume.pixels]
    taken = spread(reasons, SLICES)
    for i, plane in enumerate(volume.pixels):
        name = f"{volume.image_id}-{i:03d}"
        if i not in taken:
            yield Excluded(name, reasons[i] or UNTAKEN)
            continue
        yield replace(volume, pixels=plane, image_id=name, volume_id=volume.image_id, slice_index=i)
