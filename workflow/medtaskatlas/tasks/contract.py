"""What a task owes: two uint8 images, one of them the given one; and the errors of users."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import AtlasError, TaskError, nearest
from medtaskatlas.formats.images import Sample

SIDES = ("input", "output")
ARRAYS = ("image", "mask", "instances", "boxes")


def locked(sample: Sample) -> Sample:
    """Sample with read-only arrays, so that no task changes what it is given."""
    arrays = {name: getattr(sample, name) for name in ARRAYS}
    views = {name: a.view() for name, a in arrays.items() if a is not None and a.flags.writeable}
    for view in views.values():
        view.flags.writeable = False
    return replace(sample, **views) if views else sample


def checked(
    pair: Any, image: np.ndarray, kept: int, whose: Callable[[], str]
) -> tuple[np.ndarray, np.ndarray]:
    """Pair that a task returned, held to its contract.

    Side `kept` must be the image; `whose` names the task and its parameters where something is
    wrong.
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


def _named(value: Any) -> str:
    """Type of a value; of an array also its shape and whether it has values that are no number."""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    broken = value.dtype.kind == "f" and int(np.count_nonzero(~np.isfinite(value)))
    return f"{value.dtype} {value.shape}" + (f" with {broken} NaN or infinite" if broken else "")


def line_in(file: str | Path, error: BaseException) -> int | None:
    """Line of a file at which an error arose, or that called what raised it."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if f.filename == str(file)), None)


def described(error: BaseException) -> str:
    """Type and message of an error, with the names that may have been meant.

    For example ``NameError: name 'drwa' is not defined; did you mean draw?``.
    """
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    known: Iterable[str] = ()
    if isinstance(error, NameError):
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        known = {*frames[-1].f_locals, *frames[-1].f_globals} if frames else ()
    elif isinstance(error, AttributeError):
        known = dir(error.obj)
    # Python says this itself, but only in tracebacks.
    hint = nearest(str(getattr(error, "name", "")), known)
    return f"{said}; {hint}" if hint.startswith("did you mean") else said


def task_failure(what: str, error: Exception, function: Callable[..., Any]) -> TaskError:
    """What a function of a task raised, as an error for users with file and line."""
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    line = line_in(file, error)
    where = f" ({Path(file).name}, line {line})" if line else ""
    if isinstance(error, AtlasError):
        return TaskError(f"{what}: {error.problem}{where}", error.remedy)
    return TaskError(
        f"{what}: {described(error)}{where}",
        "mend the task (what it is given is read-only), or leave it out with `tasks:`",
    )
