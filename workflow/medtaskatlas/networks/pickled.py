"""Weights in files of PyTorch, which are pickles: read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import torch

from medtaskatlas.core.errors import DataError


def only_tensors(file: Path, remedy: str) -> dict[str, torch.Tensor]:
    """Tensors of a file of PyTorch; a file that asks for more is refused before it gets it.

    Parameters
    ----------
    file
        The file.
    remedy
        What to do about a bad one.

    Returns
    -------
    dict of str to torch.Tensor
        By name, on the CPU.

    Raises
    ------
    DataError
        If it is damaged or holds more than tensors.
    """
    from pickle import UnpicklingError

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{file} is damaged or holds more than tensors, and was not loaded: {reason}", remedy
        ) from error
