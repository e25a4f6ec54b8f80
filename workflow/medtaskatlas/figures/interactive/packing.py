"""Numbers and JSON in the form in which a page carries them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

# Name of a type in the page, and how its numbers lie in memory; static/data.js reads them.
_TYPES = {"u1": "u8", "u2": "u16", "u4": "u32", "f4": "f32"}


def packed(values: np.ndarray) -> dict[str, str]:
    """An array as base64 of its bytes, lowest byte first."""
    kind = f"{values.dtype.kind}{values.dtype.itemsize}"
    data = np.ascontiguousarray(values.astype(f"<{kind}")).tobytes()
    return {"type": _TYPES[kind], "data": base64.b64encode(data).decode("ascii")}


def script_json(value: Any) -> str:
    """A value as JSON that may stand inside a ``script`` element of HTML."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
