"""Schemas of the tables: columns, their types, ranges and meanings.

Each schema stands next to the function that makes its table, and is read from there when it is
asked for: the tables need not import each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from medtaskatlas.atlas.schemas.columns import Column, TableSpec

# Module that holds the schema (SPEC) of each table, in the order of the documentation.
_MODULES = {
    "tasks": "schemas.tasks",
    "datasets": "schemas.datasets",
    "task_grid": "schemas.task_grid",
    "identification": "schemas.identification",
    "confusion": "schemas.confusion",
    "separation": "separation.table",
    "task_distances": "schemas.task_distances",
    "dataset_distances": "schemas.dataset_distances",
    "clusters": "clusters.table",
    "neighbours": "schemas.neighbours",
    "unseen_tasks": "schemas.unseen_tasks",
    "scaling": "schemas.scaling",
    "trajectories": "trajectories.table",
    "failures": "failures.table",
    "controls": "controls",
    "comparisons": "comparisons.table",
    "shortcuts": "shortcuts.table",
    "summary": "schemas.summary",
}


class _Specs(Mapping[str, TableSpec]):
    """Schema of each table."""

    def __getitem__(self, name: str) -> TableSpec:
        spec: TableSpec = import_module(f"medtaskatlas.atlas.{_MODULES[name]}").SPEC
        return spec

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


SPECS = _Specs()

__all__ = ["SPECS", "Column", "TableSpec"]
