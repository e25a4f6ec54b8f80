"""Maps of quantities of a folder dataset: in their unit, and where they count."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.folder.files import Item
from medtaskatlas.datasets.folder.labels import pages_beside, volume_beside
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.folder.quantities import MAP, VALID

Quantities = tuple[np.ndarray, np.ndarray]  # float32 in its unit and where it counts, bool


def flat_map(
    found: Survey, item: Item, name: str, shape: tuple[int, ...]
) -> list[Quantities] | None:
    """Map of a quantity of each page of a picture of `shape` [N, H, W]; None where there is none.

    float32 in its unit, and where it counts, bool [H, W].
    """
    from medtaskatlas.datasets.io.flat import read_labels, read_numbers

    if item.stem not in found.beside[MAP + name]:
        return None
    planes = pages_beside(found, item, MAP + name, shape, partial(read_numbers, what="a map"))
    masks: Sequence[np.ndarray | None] = [None] * shape[0]
    if item.stem in found.beside.get(VALID + name, {}):
        masks = pages_beside(found, item, VALID + name, shape, read_labels)
    return [_quantities(found, item, name, *two) for two in zip(planes, masks, strict=True)]


def volume_map(
    found: Survey, item: Item, name: str, shape: tuple[int, ...], affine: np.ndarray
) -> Quantities | None:
    """Map of a quantity on the grid of a volume, float32 and bool [X, Y, Z]; None without one."""
    if item.stem not in found.beside[MAP + name]:
        return None
    values = volume_beside(found, item, MAP + name, shape, affine)
    mask = None
    if item.stem in found.beside.get(VALID + name, {}):
        mask = volume_beside(found, item, VALID + name, shape, affine)
    return _quantities(found, item, name, values, mask)


def _quantities(
    found: Survey, item: Item, name: str, stored: np.ndarray, mask: np.ndarray | None
) -> Quantities:
    """Values in their unit and where they count: in the mask, else where they are finite."""
    values = stored.astype(np.float32) * np.float32(found.description.maps[name].scale)
    good = np.isfinite(values)
    if mask is None:
        return np.where(good, values, np.float32(0)), good
    path = found.path(found.beside[VALID + name][item.stem], VALID + name)
    if odd := set(np.unique(mask).tolist()) - {0, 1}:
        raise DataError(
            f"{path} holds the value {min(odd):g}", "write 1 where the map counts, 0 elsewhere"
        )
    valid = mask == 1
    if bad := int((valid & ~good).sum()):
        raise DataError(
            f"{found.path(found.beside[MAP + name][item.stem], MAP + name)} has {bad} values that "
            f"are NaN or infinite where {path.name} of `{found.description.maps[name].valid}` "
            "says that they count",
            "set the mask to 0 there, or mend the map",
        )
    return np.where(valid, values, np.float32(0)), valid
