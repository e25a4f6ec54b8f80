"""NIfTI volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.limits import check_array
from medtaskatlas.datasets.io.volume import Grid


def load_volume(path: Path, index: int = 0) -> Grid:
    """A volume, or the `index`-th one of a 4-D file, in the nearest RAS+ orientation."""
    import nibabel

    try:
        stored = nibabel.load(path)
        scaled = (stored.dataobj.slope, stored.dataobj.inter) != (1, 0)
        check_array(path, stored.shape, np.float64 if scaled else stored.get_data_dtype())
        image = nibabel.as_closest_canonical(stored)
        values = np.asanyarray(image.dataobj)
    except DataError:
        raise
    except Exception as error:  # gzip, zlib, nibabel and numpy each have their own errors
        raise DataError(
            f"{path} cannot be read as NIfTI ({type(error).__name__}: {error})",
            f"delete {path.parent} and start the run again",
        ) from error
    if values.ndim == 4:
        values = values[..., index]
    return values, np.asarray(image.affine, np.float64)
