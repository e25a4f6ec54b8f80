"""Pairs of the user's own, as the images of a run look: square, one size, 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import existing_folder
from medtaskatlas.core.seeds import generator
from medtaskatlas.datasets.folder.files import Item
from medtaskatlas.datasets.folder.labels import load
from medtaskatlas.datasets.folder.match import Survey, some
from medtaskatlas.datasets.folder.read import is_volume
from medtaskatlas.datasets.io import dicom, volume, window
from medtaskatlas.datasets.io.flat import read_flat, read_labels
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL, Frame
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.problems.files import described, is_packed, survey_images
from medtaskatlas.tasks.palettes import MOST_CLASSES, class_colours, painted
from medtaskatlas.tasks.pixels import like

FEW = 10  # pairs, below which an answer comes with a warning
MOST = 200  # files that are read; more would hardly tell more
SLICES = 4  # of a volume
# Values of a side are of one kind with those of the other where their ranges, without the outermost
# half per cent, overlap by so much of the narrower, and are as wide up to so large a factor.
OVERLAP, FACTOR = 0.5, 4.0
# Grey levels up to which a picture of few values is taken for a map of class numbers.
DARKEST = 31
Levels = Callable[[np.ndarray], np.ndarray]  # from measured values [H, W] to uint8


@dataclass(frozen=True)
class OwnPairs:
    """Pairs that were read.

    Attributes
    ----------
    names
        Of the pairs: path without suffix, of a slice with its number.
    files
        int [N], the file that a pair is of; slices of a volume are not independent.
    inputs, outputs
        uint8 [N, S, S, 3] each.
    warnings
        What was left out, and what weakens an answer.
    notes
        How grey levels were made.
    """

    names: list[str]
    files: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_files(self) -> int:
        """Files that they are of."""
        return len(np.unique(self.files))


@dataclass(frozen=True)
class _Side:
    """One side of a pair before it has grey levels."""

    path: Path
    planes: list[np.ndarray]  # [H, W] or [H, W, 3] each, as measured
    levels: Levels  # of its own
    sides: tuple[float, float]  # of a pixel: distances of rows and of columns
    inverted: bool = False
    range: tuple[float, float] = (0, 0)  # of its values without the outermost half per cent
    labels: bool = False  # whether they are class numbers

    def drawn(self, index: int, levels: Levels | None = None) -> np.ndarray:
        """A plane in uint8, by its own grey levels or those of the other side."""
        plane = (levels or self.levels)(self.planes[index])
        plane = 255 - plane if self.inverted else plane
        return volume.square(plane, *self.sides, labels=self.labels)


def read_pairs(
    inputs: Path,
    outputs: Path,
    *,
    size: int,
    masks: bool = False,
    modality: str | None = None,
    window: tuple[float, float] | None = None,
    seed: int = 0,
) -> OwnPairs:
    """Read the pairs of two folders whose files have the same names, whatever their suffixes.

    Every picture is cut to its centred square and resized as the images of a run are. Where values
    are not grey levels of 8 bits, black and white are those of the input, and serve the output too
    where its values are of the same kind; else the output has its own.

    Parameters
    ----------
    inputs, outputs
        Folders.
    size
        Side of the run's images, pixels.
    masks
        Whether the outputs are class numbers, to be drawn as the run draws masks.
    modality, window
        Modality, and centre and width of the grey levels (CT: HU), as in dataset.yaml.
    seed
        Decides which files are read of more than 200.

    Returns
    -------
    OwnPairs
        Sorted by name.

    Raises
    ------
    DataError
        If names are unpaired, sides differ in size, a file is damaged, or no pair is left that
        shows anything.
    """
    keys: dict[str, object] = {"modality": modality or "PHOTO"} | (
        {"window": window} if window else {}
    )
    found, others = zip(*(_survey(folder, keys) for folder in (inputs, outputs)), strict=True)
    by_name = [{item.stem: item for item in one.items} for one in found]
    _check_names(inputs, outputs, by_name[0], by_name[1], beside=bool(others[0] or others[1]))
    names = sorted(by_name[0])
    warnings = [
        f"{folder / name} is left out: {why}"
        for folder, left in zip((inputs, outputs), others, strict=True)
        for name, why in left.items()
    ]
    if len(names) > MOST:
        kept = generator(seed, "place", "files").permutation(len(names))[:MOST]
        warnings.append(f"{MOST} of {len(names)} pairs are read, drawn by the seed")
        names = [names[i] for i in sorted(kept)]
    reader = _Reader(size, masks, found[0], found[1])
    for number, name in enumerate(names):
        reader.add(number, by_name[0][name], by_name[1][name])
    return reader.result(warnings, told=bool(modality or window))


def _survey(folder: Path, keys: dict[str, object]) -> tuple[Survey, dict[str, str]]:
    """Items of one side, and why other files are none."""
    found, others = survey_images(existing_folder(folder))
    if packed := [item.name for item in found.items if is_packed(item)]:
        raise DataError(
            f"{folder / packed[0]} holds many pictures", "save each as a file of its own"
        )
    return described(found, keys), others


def _check_names(
    inputs: Path, outputs: Path, one: dict[str, Item], other: dict[str, Item], *, beside: bool
) -> None:
    """Refuse names that one folder has and the other has not; `beside` lie files of other types."""
    absent = [
        f"{len(names)} of {folder} have no partner in {partners}: {some(sorted(names))}"
        for names, folder, partners in (
            (one.keys() - other.keys(), inputs, outputs),
            (other.keys() - one.keys(), outputs, inputs),
        )
        if names
    ]
    if absent:
        raise DataError(
            "; ".join(absent),
            "give both files of a pair the same name (suffixes may differ), or take out those "
            f"without a partner{'; some files are of types that are not read' if beside else ''}",
        )


class _Reader:
    """Reads pairs one after the other."""

    def __init__(self, size: int, masks: bool, found: Survey, beside: Survey) -> None:
        self.size, self.masks = size, masks
        self.found = (found, beside)
        self.names: list[str] = []
        self.files: list[int] = []
        self.inputs: list[np.ndarray] = []
        # Outputs by their own grey levels and by those of their inputs: which is told at the end.
        self.outputs: list[tuple[np.ndarray, np.ndarray]] = []
        self.alike: list[bool] = []  # whether values of the sides are of one kind, a file each
        self.bits: list[set[bool]] = [set(), set()]  # whether the sides have 8 bits
        self.sizes: set[tuple[int, ...]] = set()
        self.numbers: list[bool] = []  # whether an output may be class numbers
        self.warnings: list[str] = []
        self.classes: set[int] = set()

    def add(self, number: int, item: Item, other: Item) -> None:
        """Read both sides of a pair, or of the slices of two volumes."""
        try:
            before, after = self._read(0, item), self._read(1, other)
        except DataError as error:
            if "dataset.yaml" not in error.remedy:
                raise
            raise DataError(
                error.problem, "replace the file, or take the pair out of both folders"
            ) from error
        sizes = [(len(side.planes), *side.planes[0].shape[:2]) for side in (before, after)]
        if sizes[0] != sizes[1]:
            shown = [" x ".join(map(str, reversed(s[1:] if s[0] == 1 else s))) for s in sizes]
            raise DataError(
                f"{after.path} is {shown[1]} pixels, {before.path} is {shown[0]}",
                "resample one of them onto the other: a pixel must be at one place on both sides "
                "(of super-resolution, enlarge the input)",
            )
        self.sizes.add(sizes[0][1:])
        if min(sizes[0][1:]) < SMALLEST:
            raise DataError(f"{before.path} is {TOO_SMALL}", "leave the pair out")
        alike = _alike(before.range, after.range)
        self.alike.append(alike)
        for index in self._chosen(before):
            name = item.stem if len(before.planes) == 1 else f"{item.stem}-{index:03d}"
            image = self._shaped(before.drawn(index))
            if image.min() == image.max():
                self.warnings.append(f"{before.path} is left out: its pixels are all the same")
                continue
            own = after.drawn(index)
            shared = after.drawn(index, before.levels) if alike else own
            self.outputs.append((self._drawn(own), self._drawn(shared)))
            self.names.append(name)
            self.files.append(number)
            self.inputs.append(image)

    def _read(self, side: int, item: Item) -> _Side:
        """One side."""
        found = self.found[side]
        if side == 1 and self.masks:
            made = _read_mask(found, item)
            self.classes |= {int(n) for plane in made.planes for n in np.unique(plane) if n}
            return made
        made = _read_side(found, item)
        self.bits[side].add(made.planes[0].dtype == np.uint8)
        if side == 1:
            whole = all(p.ndim == 2 and p.dtype.kind in "iub" for p in made.planes)
            self.numbers.append(whole and max(float(p.max()) for p in made.planes) <= DARKEST)
        return made

    def _chosen(self, side: _Side) -> list[int]:
        """Slices with content, spread over the volume."""
        if len(side.planes) == 1:
            return [0]
        found = volume.choose(len(side.planes), side.drawn, volume.CONTENT, SLICES)
        chosen = [index for index, pixels in found if not isinstance(pixels, str)]
        if not chosen:
            self.warnings.append(f"{side.path} is left out: none of its slices has content")
        return chosen

    def _shaped(self, pixels: np.ndarray) -> np.ndarray:
        """A picture as the run's are, uint8 [S, S, 3]."""
        return shape(Frame(pixels, "", "", ""), self.size).image

    def _drawn(self, pixels: np.ndarray) -> np.ndarray:
        """An output, class numbers as they are."""
        if not self.masks:
            return self._shaped(pixels)
        made = shape(Frame(pixels, "", "", "", mask=pixels), self.size).mask
        assert made is not None
        return made

    def result(self, warnings: list[str], *, told: bool) -> OwnPairs:
        """The pairs, checked as a whole."""
        warnings = [*warnings, *self.warnings]
        place = self.found[1].folder
        if not self.names:
            raise DataError(
                f"{self.found[0].folder}: no pair is left whose input shows anything",
                "give pictures whose pixels differ",
            )
        if not self.masks and len(self.numbers) == len(self.alike) and all(self.numbers):
            raise DataError(
                f"the outputs in {place} hold whole numbers up to {DARKEST} at most: a picture "
                "of them is black",
                "if they are masks, give --images and --masks in place of the folder; else save "
                "them with grey levels from 0 to 255",
            )
        shared = not self.masks and bool(np.mean(self.alike) > 0.5)
        outputs = np.stack([two[int(shared)] for two in self.outputs])
        if self.masks:
            outputs = _painted(outputs, len(self.classes), self.inputs[0])
        inputs = np.stack(self.inputs)
        warnings += _weak(self.names, inputs, outputs, place)
        if len(inputs) < FEW:
            warnings.append(
                f"{len(inputs)} pair{'s' * (len(inputs) != 1)}: at least {FEW} are needed for an "
                "answer to rely on"
            )
        notes = self._notes(shared=shared, told=told)
        return OwnPairs(self.names, np.array(self.files), inputs, outputs, warnings, notes)

    def _notes(self, *, shared: bool, told: bool) -> list[str]:
        """How grey levels were made, and of what sizes."""
        if self.masks:
            drawn = "white on black" if len(self.classes) < 2 else "every class in its own colour"
            notes = [f"masks are drawn as the run draws them, {drawn}"]
        elif self.bits == [{True}, {True}]:
            notes = ["grey levels of 8 bits are taken as they are"]
        else:
            whose = "those of the inputs" if shared else "their own"
            notes = [f"black and white of the outputs are {whose}"]
        if False in self.bits[0] and not told:
            notes.append(
                "black and white of inputs without a window are percentiles 0.5 and 99.5; if they "
                "are CT in HU or MR, say so: --modality CT"
            )
        if len(self.sizes) > 1:
            notes.append(
                f"pictures have {len(self.sizes)} sizes: each is cut to its square and resized"
            )
        return notes


def _read_side(found: Survey, item: Item) -> _Side:
    """A picture, or the slices of a volume, that are no class numbers."""
    path, d = found.path(item), found.description
    if item.kind == "flat":
        pages = read_flat(path)
        if len(pages) > 1 and len({page.shape for page in pages}) > 1:
            raise DataError(f"{path}: its pages differ in size", "save them as files of their own")
        planes = [_finite(page, path) for page in pages]
        return _with_levels(found, item, path, planes, (1, 1), flat=True)
    if not is_volume(found, item):
        header = dicom.read_header(path)
        if reason := dicom.no_image(header):
            raise DataError(f"{path} is no image: {reason}", "take it out of the folder")
        decoded = dicom.read_dicom(path)
        inverted = dicom.inverted(header)
        values = dicom.without_padding(decoded.values, decoded.padding, inverted=inverted)
        planes = [_finite(plane, path) for plane in values]
        sides = dicom.sides(decoded.headers[0]) or (1, 1)
        if values.ndim == 4:
            return _Side(path, planes, lambda plane: plane, sides)
        known = _modality(found, item, header)
        made = _with_levels(
            found, item, path, planes, sides, modality=known, flat=known not in _MEASURED
        )
        first = decoded.headers[0]
        if known not in _MEASURED and d.window is None and dicom.has_window(first):
            made = replace(made, levels=lambda plane: dicom.to_grey(first, plane))
        return replace(made, inverted=inverted)
    loaded = load(found, item)
    if loaded.values is None:
        raise DataError(f"{path} holds no picture", "take it out of the folder")
    values = _finite(loaded.values, path)
    if loaded.affine is None:
        planes = list(np.ascontiguousarray(values.transpose(2, 1, 0)))
        sides = loaded.sides or (1, 1)
    else:
        planes, sides = _slices(values, volume.spacings(loaded.affine))
    header = dicom.read_header(path) if item.kind == "series" else None
    made = _with_levels(
        found, item, path, planes, sides, modality=_modality(found, item, header) if header else ""
    )
    return replace(made, inverted=loaded.inverted)


# Modalities whose values are measured in a unit, and the words of DICOM for those of the catalogue.
_MEASURED = ("CT", "MR", "PET", "NM")
_OF_DICOM = {"CT": "CT", "MR": "MR", "PT": "PET", "NM": "NM"}


def _modality(found: Survey, item: Item, header: object) -> str:
    """Modality of a DICOM file: as the user says, else as the file does."""
    said = found.modality(item)
    return said if said != "PHOTO" else _OF_DICOM.get(str(getattr(header, "Modality", "")), said)


def _slices(
    values: np.ndarray, mm: tuple[float, float, float]
) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Slices [H, W] of a volume in its plane, as the run cuts them, and the sides of a pixel."""
    axis = volume.plane_of("thickest", mm, values.shape)
    columns_mm, rows_mm = (size for at, size in enumerate(mm) if at != volume.AXES[axis])
    count = values.shape[volume.AXES[axis]]
    return [volume.display(values, axis, i) for i in range(count)], (rows_mm, columns_mm)


def _with_levels(
    found: Survey,
    item: Item,
    path: Path,
    planes: list[np.ndarray],
    sides: tuple[float, float],
    *,
    modality: str = "",
    flat: bool = False,
) -> _Side:
    """A side whose black and white are those that the run would take."""
    d = found.description
    values = np.stack(planes)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
        planes = list(values)
    black, white = volume.grey_range(
        values, modality or found.modality(item), d.body_part, flat=flat, window=d.window
    )
    return _Side(
        path,
        planes,
        lambda plane: window.between(plane, black, white),
        sides,
        range=window.percentiles(values, 0.5, 99.5),
    )


def _read_mask(found: Survey, item: Item) -> _Side:
    """Class numbers, uint8."""
    path = found.path(item)
    sides: tuple[float, float] = (1, 1)
    if item.kind == "flat":
        planes = read_labels(path)
    else:
        if not is_volume(found, item):
            raise DataError(f"{path}: masks in single DICOM files are not read", "save it as PNG")
        loaded = load(found, item)
        if loaded.values is None or loaded.affine is None:
            raise DataError(f"{path} holds no mask with a place in space", "save it as PNG")
        planes, sides = _slices(np.asarray(loaded.values), volume.spacings(loaded.affine))
    if any((plane != np.floor(plane)).any() or plane.min() < 0 for plane in planes):
        raise DataError(f"{path} holds other values than class numbers", "save whole numbers")
    if max(int(plane.max()) for plane in planes) > MOST_CLASSES:
        raise DataError(
            f"{path} holds class {max(int(plane.max()) for plane in planes)}; at most "
            f"{MOST_CLASSES} are drawn",
            "number the classes from 1 on",
        )
    numbers = [plane.astype(np.uint8) for plane in planes]
    return _Side(path, numbers, lambda plane: plane, sides, labels=True)


def _painted(numbers: np.ndarray, n_classes: int, image: np.ndarray) -> np.ndarray:
    """Masks uint8 [N, S, S] as the tasks `segmentation` and `multiclass_segmentation` draw them."""
    if n_classes < 2:
        return np.stack([like((one > 0).astype(np.uint8) * 255, image) for one in numbers])
    return np.stack([painted(one, class_colours(MOST_CLASSES), image) for one in numbers])


def _finite(plane: np.ndarray, path: Path) -> np.ndarray:
    """Values without NaN and infinity, which become the smallest one."""
    return volume.finite(np.asarray(plane), path)[0]


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether values of two sides are of one kind, by their ranges."""
    widths = [high - low for low, high in (one, other)]
    if min(widths) <= 0:
        return False
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    return overlap >= OVERLAP * min(widths) and max(widths) <= FACTOR * min(widths)


def _weak(names: Sequence[str], inputs: np.ndarray, outputs: np.ndarray, place: Path) -> list[str]:
    """Warnings of pairs that say little; an error where none says anything."""
    same = [i for i in range(len(inputs)) if np.array_equal(inputs[i], outputs[i])]
    flat = [i for i in range(len(inputs)) if outputs[i].min() == outputs[i].max()]
    if len(same) == len(inputs):
        raise DataError(
            f"every output in {place} is the same as its input ({some(list(names))})",
            "check that the folders are not copies of each other: a task that changes nothing has "
            "no place in an atlas",
        )
    if len(flat) == len(inputs):
        raise DataError(
            f"every output in {place} has pixels of one value alone ({some(list(names))})",
            "check how they were saved; of masks, give --images and --masks",
        )
    found = []
    if same:
        found.append(f"{len(same)} outputs are the same as their inputs: {_some(names, same)}")
    if flat:
        found.append(f"{len(flat)} outputs have pixels of one value: {_some(names, flat)}")
    for what, side in (("inputs", inputs), ("outputs", outputs)):
        colour = [i for i in range(len(side)) if is_colour(side[i])]
        if min(len(colour), len(side) - len(colour)) > 0:
            few = min((colour, [i for i in range(len(side)) if i not in colour]), key=len)
            kind = "in colour" if few is colour else "grey"
            found.append(
                f"{what} are of two kinds: {len(few)} are {kind}, the rest are not: "
                f"{_some(names, few)}; give one task at a time"
            )
    return found


def _some(names: Sequence[str], rows: Sequence[int]) -> str:
    """The first few of some names."""
    return some([names[i] for i in rows])
