"""Pairs of the user's own, as the images of a run look: square, one size, 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import existing_folder
from medtaskatlas.core.seeds import generator
from medtaskatlas.datasets.folder.files import Item
from medtaskatlas.datasets.folder.match import Survey, some
from medtaskatlas.datasets.io import volume
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL, Frame
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.place.sides import Side, alike, read_mask, read_side
from medtaskatlas.problems.files import described, is_packed, survey_images
from medtaskatlas.tasks.palettes import MOST_CLASSES, class_colours, painted
from medtaskatlas.tasks.pixels import like

FEW = 10  # pairs, below which an answer comes with a warning
MOST = 200  # files that are read; more would hardly tell more
SLICES = 4  # of a volume
# Grey levels up to which a picture of few values is taken for a map of class numbers.
DARKEST = 31


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
        same_kind = alike(before.range, after.range)
        self.alike.append(same_kind)
        for index in self._chosen(before):
            name = item.stem if len(before.planes) == 1 else f"{item.stem}-{index:03d}"
            image = self._shaped(before.drawn(index))
            if image.min() == image.max():
                self.warnings.append(f"{before.path} is left out: its pixels are all the same")
                continue
            own = after.drawn(index)
            shared = after.drawn(index, before.levels) if same_kind else own
            self.outputs.append((self._drawn(own), self._drawn(shared)))
            self.names.append(name)
            self.files.append(number)
            self.inputs.append(image)

    def _read(self, side: int, item: Item) -> Side:
        """One side."""
        found = self.found[side]
        if side == 1 and self.masks:
            made = read_mask(found, item)
            self.classes |= {int(n) for plane in made.planes for n in np.unique(plane) if n}
            return made
        made = read_side(found, item)
        self.bits[side].add(made.planes[0].dtype == np.uint8)
        if side == 1:
            whole = all(p.ndim == 2 and p.dtype.kind in "iub" for p in made.planes)
            self.numbers.append(whole and max(float(p.max()) for p in made.planes) <= DARKEST)
        return made

    def _chosen(self, side: Side) -> list[int]:
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


def _painted(numbers: np.ndarray, n_classes: int, image: np.ndarray) -> np.ndarray:
    """Masks uint8 [N, S, S] as the tasks `segmentation` and `multiclass_segmentation` draw them."""
    if n_classes < 2:
        return np.stack([like((one > 0).astype(np.uint8) * 255, image) for one in numbers])
    return np.stack([painted(one, class_colours(MOST_CLASSES), image) for one in numbers])


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
