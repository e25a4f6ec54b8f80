"""PNG and JPEG pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError


def read_picture(path: Path) -> np.ndarray:
    """Decode a PNG or JPEG.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W] or [H, W, 3] in RGB order.

    Raises
    ------
    DataError
        If the file cannot be decoded to 8 bits.
    """
    import cv2

    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8:
        raise DataError(
            f"{path} is no 8-bit PNG or JPEG that OpenCV can read",
            f"delete {path.parent} and start the run again",
        )
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)
    return np.asarray(pixels)
