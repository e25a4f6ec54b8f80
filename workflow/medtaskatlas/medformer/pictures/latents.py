"""The latents of a model, as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.medformer.model import KINDS, Medformer

PRETEXT = "pretext"


def write_latents(
    out: str | Path, model: nn.Module | None, learned: nn.Module | None, facts: dict[str, Any]
) -> None:
    """Write latents.arrow: those of a model, and the pretexts of what it started from."""
    found: list[tuple[str, str, np.ndarray]] = []
    for kind in KINDS if model else ():
        found += [(kind, *one) for one in _of(model, kind)]
    if learned is not None:
        found += [(PRETEXT, *one) for one in _of(learned, "task")]
    kinds, names, vectors = ([row[i] for row in found] for i in range(3))
    columns = {
        "kind": pa.array(kinds, pa.string()),
        "name": pa.array(names, pa.string()),
        "vector": np.stack(vectors) if vectors else np.zeros((0, 1), np.float32),
    }
    write_arrow(out, columns, facts)


def _of(model: nn.Module | None, kind: str) -> list[tuple[str, np.ndarray]]:
    """Names and vectors float32 [d] of the latents of a kind."""
    assert isinstance(model, Medformer)
    names = model.latents.names(kind)
    return [(n, model.latents.get(kind, n).detach().flatten().numpy()) for n in names]
