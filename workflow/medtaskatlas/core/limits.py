"""What one file of a dataset may cost: a small file can unpack to any size, or take any time.

Each limit is raised by an environment variable, which Snakemake's jobs inherit, and not by
dataset.yaml, which comes with the data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medtaskatlas.core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Limit:
    """A bound with its default, and the variable that moves it."""

    variable: str
    default: float
    unit: str
    description: str

    @property
    def most(self) -> float:
        """Bound that is in force."""
        text = os.environ.get(self.variable, "")
        try:
            value = float(text) if text else self.default
        except ValueError:
            value = math.nan
        if not value > 0:
            raise ConfigError(
                f"{self.variable} is {text!r}, no number above zero",
                f"unset it, or write e.g. {self.variable}={self.default:g}",
            )
        return value

    def check(self, path: str | Path, value: float) -> None:
        """Raise a DataError if a file wants more."""
        if value > (most := self.most):
            raise DataError(
                f"{path}: {value:,.0f} {self.unit} are more than the {most:,.0f} allowed "
                f"({self.variable})",
                f"if the file is right, set {self.variable}={value:.0f}; else leave it out: "
                "`exclude: {<file>: <reason>}` in dataset.yaml",
            )


PIXELS = Limit("MEDTASKATLAS_MAX_PIXELS", 2**26, "pixels", "pixels of a picture or page")
BYTES = Limit(
    "MEDTASKATLAS_MAX_BYTES",
    2**31,
    "bytes",
    "bytes of a file's images after decompression: all pages, frames or slices",
)
STRETCH = Limit(
    "MEDTASKATLAS_MAX_STRETCH",
    100,
    "times",
    "ratio of the longest and the shortest side of a voxel",
)
SECONDS = Limit(
    "MEDTASKATLAS_MAX_SECONDS",
    10,
    "seconds",
    "seconds that `group_pattern` or `subject_pattern` takes for all names",
)
LIMITS = (PIXELS, BYTES, STRETCH, SECONDS)


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases: some lines of them, expanded, fill any memory."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next node; an alias is an error."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"an alias (*{event.anchor}) is not allowed", event.start_mark
            )
        return super().compose_node(parent, index)


def check_array(path: str | Path, shape: Sequence[int], dtype: Any) -> None:
    """Raise a DataError if an array of this shape would be too large."""
    import numpy as np

    BYTES.check(path, math.prod(int(n) for n in shape) * np.dtype(dtype).itemsize)


def check_stretch(path: str | Path, sides: Sequence[float]) -> None:
    """Raise a DataError if a pixel or voxel with these sides is too oblong to be made square."""
    shortest = min(sides)
    STRETCH.check(path, max(sides) / shortest if shortest > 0 else 0)
