"""Keep what a job does not need out of its imports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _Hidden(MetaPathFinder):
    """Says of one module that there is none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Where a module is: never this one."""
        if name == self.name:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)


def without_pandas() -> None:
    """Let pyarrow do without pandas in this process.

    At its first conversion pyarrow imports pandas, if there is any, to know its objects when it
    meets them. That is a quarter of a second, as much as the rest of a small job. Asked while
    pandas cannot be found, it remembers that there is none. Others may import pandas later; only
    conversions by pyarrow to and from pandas are lost. Where pandas is imported already there is
    nothing to save, and nothing happens.
    """
    if "pandas" in sys.modules:
        return
    hidden = _Hidden("pandas")
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0]).to_numpy()
    finally:
        sys.meta_path.remove(hidden)
