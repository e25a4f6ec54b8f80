"""Weights in files of PyTorch, which are pickles: read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import torch

from medtaskatlas.core.errors import DataError


def only_tensors(file: Path, remedy: str) -> dict[str, torch.Tensor]:
    """Tensors of a file of PyTorch, by name, on the CPU.

    Raises
    ------
    DataError
        If it is damaged or holds more than tensors, which are not loaded; says the remedy.
    """
    from pickle import UnpicklingError

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{file} is damaged or holds more than tensors, and was not loaded: {reason}", remedy
        ) from error
