"""JPEG Lossless, JPEG-LS and JPEG of 12 bits in DICOM: a plugin of pydicom, by imagecodecs."""

from __future__ import annotations

from typing import Any

import numpy as np

LABEL = "imagecodecs"


def register() -> None:
    """Make the plugin known to pydicom, once a process."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

    for syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        decoder = get_decoder(syntax)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether a transfer syntax is decoded; pydicom asks for it."""
    del uid
    return True


def decode_frame(encoded: bytes, runner: Any) -> bytes:
    """Pixels of a frame, colours as they are stored; errors where header and picture differ."""
    import imagecodecs
    from pydicom.uid import JPEGLSTransferSyntaxes

    colour = runner.samples_per_pixel == 3
    pixels = np.empty(
        (runner.rows, runner.columns, *(3,) * colour),
        np.uint8 if runner.bits_stored <= 8 else np.uint16,
    )
    if runner.transfer_syntax in JPEGLSTransferSyntaxes:
        imagecodecs.jpegls_decode(encoded, out=pixels)
    else:
        space = "RGB" if colour else None
        imagecodecs.jpeg8_decode(encoded, colorspace=space, outcolorspace=space, out=pixels)
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return pixels.tobytes()
