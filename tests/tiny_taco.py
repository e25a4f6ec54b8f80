"""A TaCo that is trained in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from medtaskatlas.encoders.train import train

TINY = {
    "kind": "taco",
    "backbone": "resnet10",
    "width": 8,
    "stem": 3,
    "embedding_dim": 16,
    "steps": 6,
    "batch_tasks": 4,
    "batch_images": 4,
    "learning_rate": 3e-3,
}
Files = tuple[list[Path], list[Path]]


def train_tiny(
    pair_files: Files, folder: Path, encoder: dict[str, Any] = TINY, **more: Any
) -> tuple[dict[str, torch.Tensor], pa.Table]:
    """Weights and history of a training into a folder."""
    model = folder / "model.safetensors"
    more = {"seed": 0, "checkpoint": folder / "state", "threads": 1, **more}
    train(*pair_files, model, encoder=encoder, **more)
    return load_file(model), pq.read_table(folder / "history.parquet")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
