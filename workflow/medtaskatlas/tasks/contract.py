"""What a task owes: two uint8 images, one of them the given one, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from medtaskatlas.core.errors import TaskError
from medtaskatlas.formats.images import Sample

SIDES = ("input", "output")


def locked(sample: Sample) -> Sample:
    """Sample whose arrays cannot be written to, so that no task changes what it is given.

    Parameters
    ----------
    sample
        The image with its annotation; images files give it locked already.

    Returns
    -------
    Sample
        The same, or read-only views of it.
    """
    arrays = (sample.image, sample.mask, sample.instances, sample.boxes)
    if not any(array is not None and array.flags.writeable for array in arrays):
        return sample
    image, mask, instances, boxes = (None if array is None else _view(array) for array in arrays)
    assert image is not None
    return Sample(image, mask, instances, boxes, sample.label, sample.n_classes, sample.n_labels)


def _view(array: np.ndarray) -> np.ndarray:
    """Read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def checked(
    pair: Any, image: np.ndarray, kept: int, whose: Callable[[], str]
) -> tuple[np.ndarray, np.ndarray]:
    """Hold what a task returned to its contract.

    Parameters
    ----------
    pair
        What the task returned.
    image
        The prepared image.
    kept
        0 or 1: the side that must be the image.
    whose
        Names the task and its parameters, asked only where there is something to say.

    Returns
    -------
    tuple of numpy.ndarray
        Input and output.

    Raises
    ------
    TaskError
        If it is no such pair; says of which side and what is wrong.
    """
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TaskError(
            f"{whose()}: returned {_named(pair)}, must be a pair",
            "return two images: (input, output)",
        )
    for side, pixels in zip(SIDES, pair, strict=True):
        if pixels is image:
            continue
        if not isinstance(pixels, np.ndarray):
            raise TaskError(f"{whose()}: {side} is {_named(pixels)}", "return numpy arrays")
        if pixels.dtype != np.uint8 or pixels.shape != image.shape:
            raise TaskError(
                f"{whose()}: {side} is {_named(pixels)}, must be uint8 {image.shape}",
                "return two uint8 images of the input's shape; "
                "medtaskatlas.tasks.pixels.to_uint8 rounds and clips",
            )
    if pair[kept] is not image and not np.array_equal(pair[kept], image):
        raise TaskError(
            f"{whose()}: must leave the {SIDES[kept]} as the image is", "return sample.image there"
        )
    return pair[0], pair[1]


def same(
    first: tuple[np.ndarray, np.ndarray],
    again: tuple[np.ndarray, np.ndarray],
    whose: Callable[[], str],
) -> None:
    """Check that two applications with the same parameters agree.

    Parameters
    ----------
    first, again
        Two pairs.
    whose
        Names the task and its parameters, asked only where there is something to say.

    Raises
    ------
    TaskError
        If a side differs.
    """
    for side, a, b in zip(SIDES, first, again, strict=True):
        if not np.array_equal(a, b):
            raise TaskError(
                f"{whose()}: is not deterministic, the {side} differs on repetition",
                "draw all randomness in `draw`; `apply` may use a seed held in params",
            )


def _named(value: Any) -> str:
    """Type of a value; of an array also its shape and whether it has values that are no number."""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    broken = value.dtype.kind == "f" and int(np.count_nonzero(~np.isfinite(value)))
    return f"{value.dtype} {value.shape}" + (f" with {broken} NaN or infinite" if broken else "")
