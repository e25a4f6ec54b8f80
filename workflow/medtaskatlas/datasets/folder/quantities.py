"""Quantities in dataset.yaml: a map of each image, or a number of it in a table."""

from __future__ import annotations

import math
from pathlib import PurePosixPath

from pydantic import Field, field_validator

from medtaskatlas.datasets.dataset import Quantity

# Kinds of what lies beside an image, `map.` and `valid.` before the name of a quantity.
MAP, VALID = "map.", "valid."


def inside(value: str | None) -> str | None:
    """A path within the dataset's folder."""
    if value is not None and (
        PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts
    ):
        raise ValueError("must be a path within the dataset's folder")
    return value if value is None else str(PurePosixPath(value))


class Maps(Quantity):
    """Maps of a quantity: one a picture or volume, on its pixels."""

    folder: str = Field(description="folder of the maps")
    scale: float = Field(1.0, description="quantity = stored value x scale")
    valid: str | None = Field(None, description="folder of masks, 1 where the map counts")
    optional: bool = Field(False, description="an image without a map lacks the quantity")

    _stays_inside = field_validator("folder", "valid")(inside)

    @field_validator("scale")
    @classmethod
    def _scales(cls, value: float) -> float:
        if not math.isfinite(value) or value == 0:
            raise ValueError("must be a number other than 0")
        return value


class Values(Quantity):
    """A number of each image: the column of its name in a table."""

    file: str = Field(description="table with the columns image and the quantity's name")

    _stays_inside = field_validator("file")(inside)
