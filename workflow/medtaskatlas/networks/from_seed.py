"""Weights that are a function of a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def from_seed(make: Callable[[], T], seed: int) -> T:
    """Make a network with weights of a seed; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
