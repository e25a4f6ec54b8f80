"""Files of images as a network sees them, and the way back to their own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.folder.files import Finding, Item
from medtaskatlas.datasets.folder.labels import Loaded, load
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.folder.read import is_volume, read_item
from medtaskatlas.datasets.io import npz, volume, window
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL, TOO_THIN, Cube, Excluded, Frame
from medtaskatlas.datasets.io.nifti import Transform, affine_of
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.datasets.prepare_volumes import FLAT, LEAST_STD
from medtaskatlas.datasets.resample import cube_spacing, to_cube
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.problems.files import is_packed, packed_size

CONSTANT = "constant: all values are the same"


@dataclass(frozen=True)
class Seen:
    """A picture, a page, or a volume.

    Attributes
    ----------
    name
        Of its predictions: path without suffix.
    pixels
        What the network sees, uint8 [n, C, *S]: n is 1, or the number of slices.
    slices
        Whether they are slices of one volume.
    native
        From arrays [n, *S] or [n, *S, 3] of the network's size to the image's own pixels, by the
        nearest one for integers and linearly for floats; 0 or NaN where the network saw nothing.
        [H, W] of a picture, [X, Y, Z] of a volume.
    affine
        Of a volume as it is written, to RAS+ millimetres; of an .npz file that of its numbers.
    """

    name: str
    pixels: np.ndarray
    slices: bool
    native: Callable[[np.ndarray], np.ndarray]
    affine: np.ndarray | None = None


@dataclass(frozen=True)
class Reader:
    """Reads images for networks of one size.

    Attributes
    ----------
    found
        The images, described: see :func:`~medtaskatlas.problems.files.described`.
    size, channels
        What the network takes.
    sliced
        Whether volumes are cut into slices for a network of pictures.
    """

    found: Survey
    size: tuple[int, ...]
    channels: int
    sliced: bool = True

    def read(self, item: Item, note: Callable[[Finding], None]) -> Iterator[Seen | Excluded]:
        """What there is of an item; `note` hears what was put right."""
        if is_packed(item):
            yield from self._packed(item)
            return
        if is_volume(self.found, item):
            if len(self.size) == 2 and not self.sliced:
                raise DataError(
                    f"{self.found.path(item)} is a volume, and the network was trained on pictures",
                    "give the plane of slices: --axis axial, coronal, sagittal or thickest",
                )
            loaded = load(self.found, item)
            for left in loaded.left:
                if left.image_id not in item.files:
                    yield left
                else:
                    remedy = "replace the file if it is a slice"
                    note(Finding("warning", left.image_id, "", left.reason, remedy))
            if loaded.values is None:
                yield Excluded(item.stem, "files without pixels")
                return
            if loaded.affine is not None:
                yield self._volume(item, loaded, note)
                return
        if len(self.size) == 3:
            raise DataError(
                f"{self.found.path(item)} is no volume with a place in space, and the network "
                "was trained on such volumes",
                "give NIfTI, NRRD or a DICOM series with positions, in a folder of its own",
            )
        for frame in read_item(self.found, item, note):
            yield frame if isinstance(frame, Excluded) else self._picture(item, frame)

    def _packed(self, item: Item) -> Iterator[Seen | Excluded]:
        """Rows of an .npz file."""
        path, cubes = self.found.path(item), len(self.size) == 3
        size = packed_size(path)
        if cubes != (len(size) == 4):
            shown = " x ".join(map(str, size[1:]))
            held, taken = ("pictures", "volumes") if cubes else ("volumes", "pictures")
            raise DataError(
                f"{path} holds {held} ({shown}), and the network was trained on {taken}",
                f"give a file of {taken}, or choose a model of {held}",
            )
        rows: Iterator[Frame | Excluded | Cube] = (
            npz.read_cubes(path, label_kind="none", arrays={}) if cubes else npz.read_arrays(path)
        )
        for row in rows:
            name = f"{item.stem}/{row.volume_id if isinstance(row, Cube) else row.image_id}"
            try:
                if isinstance(row, Cube):
                    pixels, places = self._cube(row.voxels, (1, 1, 1), f"{path}: {name}")
                    back = _back_to(places)
                    yield Seen(name, pixels, False, back, np.eye(4))
                elif isinstance(row, Frame):
                    yield self._picture(item, replace(row, image_id=name))
                else:
                    yield replace(row, image_id=name)
            except DataError as error:
                yield Excluded(name, error.problem)

    def _picture(self, item: Item, frame: Frame) -> Seen:
        """A picture or page."""
        native = frame.stored_size or frame.pixels.shape[:2]
        pixels, places = self._square(item, frame.pixels, native)
        return Seen(frame.image_id, pixels[None], False, _back_to(places))

    def _square(
        self, item: Item, pixels: np.ndarray, native: tuple[int, ...]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """A picture as prepared, [C, H, W]; where its rows and columns lie before square pixels."""
        path, size = self.found.path(item), self.size[0]
        if min(pixels.shape[:2]) < SMALLEST:
            raise DataError(f"{path} is {TOO_SMALL}", "leave it out")
        image = shape(Frame(pixels, "", "", ""), size).image
        if self.channels == 1 and is_colour(image):
            raise DataError(
                f"{path} is in colour, and the network was trained on grey images",
                "save it in grey",
            )
        height, width = pixels.shape[:2]
        side = min(height, width)
        places = [
            positions(n, size, span=side * n / now, offset=(now - side) // 2 * n / now)
            for n, now in zip(native, (height, width), strict=True)
        ]
        return np.ascontiguousarray(image[..., : self.channels].transpose(2, 0, 1)), places

    def _volume(self, item: Item, loaded: Loaded, note: Callable[[Finding], None]) -> Seen:
        """A volume in RAS+: its slices, or the cube."""
        path, d, affine = self.found.path(item), self.found.description, loaded.affine
        assert loaded.values is not None
        assert affine is not None
        values, bad = volume.finite(loaded.values, path)
        if bad:
            said = f"{bad} values are NaN or infinite and are taken as the smallest value"
            note(Finding("warning", item.name, "", said, "mend the file if they matter"))
        if not values.size or values.min() == values.max():
            raise DataError(f"{path} is {CONSTANT}", "replace the file, or leave it out")
        black_white = volume.grey_range(
            values,
            d.modality,
            d.body_part,
            window=d.window,
            percentiles=d.percentiles,
        )
        mm = volume.spacings(affine)
        cube = len(self.size) == 3
        axis = "axial" if cube else volume.plane_of(d.axis, mm, values.shape)
        slices = range(values.shape[volume.AXES[axis]])
        planes = (
            window.between(volume.display(values, axis, index), *black_white) for index in slices
        )
        if loaded.inverted:
            planes = (255 - plane for plane in planes)
        turn, written = _own_orientation(item, path, affine, d.nifti_transform)
        if cube:
            pixels, places = self._cube(np.stack(list(planes)), mm[::-1], str(path))
            own = _back_to(places)

            def back(said: np.ndarray) -> np.ndarray:
                return turn(volume.from_display(own(said), axis))

            return Seen(item.stem, pixels, False, back, written)
        columns_mm, rows_mm = (size for at, size in enumerate(mm) if at != volume.AXES[axis])
        seen = []
        for plane in planes:
            one, places_2d = self._square(
                item, volume.square(plane, rows_mm, columns_mm), plane.shape
            )
            seen.append(one)

        def slices_back(said: np.ndarray) -> np.ndarray:
            stack = np.stack([resampled(one, places_2d) for one in said])
            return turn(volume.from_display(stack, axis))

        return Seen(item.stem, np.stack(seen), True, slices_back, written)

    def _cube(
        self, voxels: np.ndarray, sides: Sequence[float], name: str
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """A volume as prepared, [1, 1, *S]; where its voxels lie in the cube along each axis."""
        if min(voxels.shape) < SMALLEST or not min(sides) > 0:
            raise DataError(f"{name} has {TOO_THIN}, or voxels without size", "leave it out")
        if float(voxels.std(dtype=np.float32)) < LEAST_STD:
            raise DataError(f"{name} is {FLAT} in grey levels", "leave it out, or give --window")
        side = self.size[0]
        whole = cube_spacing(voxels.shape, sides, side) * side
        places = [
            positions(n, side, span=whole / mm, offset=(n - whole / mm) / 2)
            for n, mm in zip(voxels.shape, sides, strict=True)
        ]
        return to_cube(voxels, sides, side)[None, None], places


def positions(n: int, size: int, *, span: float, offset: float) -> np.ndarray:
    """Where the centres of pixels lie on a grid of other pixels, along one axis.

    Parameters
    ----------
    n
        Pixels.
    size
        Pixels of the other grid; the edge of the first one is at 0.
    span, offset
        What that grid covers and where it begins, in pixels of the ``n``.

    Returns
    -------
    numpy.ndarray
        float64 [n]; below 0, or ``size`` and more, outside.
    """
    return np.round((np.arange(n) + 0.5 - offset) * size / span, 6)


def resampled(values: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Values [*S, ...] at positions along each axis of S; 0 or, of floats, NaN outside.

    Integers are the nearest ones, floats are interpolated linearly between centres.
    """
    outside = np.zeros(tuple(map(len, places)), bool)
    real = values.dtype.kind == "f"
    for axis, place in enumerate(places):
        n = values.shape[axis]
        if real:
            centre = np.clip(place - 0.5, 0, n - 1)
            low = np.floor(centre).astype(np.int64)
            wide = (-1,) + (1,) * (values.ndim - axis - 1)
            part = (centre - low).astype(values.dtype).reshape(wide)
            lower, upper = (values.take(at, axis) for at in (low, np.minimum(low + 1, n - 1)))
            values = lower + (upper - lower) * part
        else:
            values = values.take(np.clip(np.floor(place), 0, n - 1).astype(np.int64), axis)
        lost = (place < 0) | (place >= n)
        outside |= lost.reshape((-1,) + (1,) * (len(places) - axis - 1))
    values[outside] = np.nan if real else 0
    return values


def _back_to(places: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The way back of one picture or cube."""
    return lambda said: resampled(said[0], places)


def _own_orientation(
    item: Item, path: Path, affine: np.ndarray, transform: Transform | None
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """How a volume in RAS+ is turned to be written, and its affine then: as stored, of NIfTI."""
    from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

    if item.kind != "nifti":
        return lambda values: values, affine
    stored = affine_of(path, transform)
    turn = ornt_transform(io_orientation(np.eye(4)), io_orientation(stored))
    return lambda values: apply_orientation(values, turn), stored
