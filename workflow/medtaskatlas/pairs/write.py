"""Write pairs row by row: memory holds one pair's pixels and a few thousand rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtaskatlas.formats.disk_buffer import DiskBuffer
from medtaskatlas.formats.pairs import SCHEMA, SIDES, write_pairs
from medtaskatlas.pairs.plan import PairPlan
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.tasks.failure import FAILURES
from medtaskatlas.tasks.task import Pair, Params, Task, as_json

# Python values of a row cost ten times what Arrow's do.
ROWS_AT_ONCE = 2048
_FROM_IMAGES = ("image_id", "subject_id", "group_id", "split")


class PairWriter:
    """Pairs of one set of one task on one dataset, as they are made.

    A context manager: temporary files are removed in the end, written or not.
    """

    def __init__(
        self, path: str | Path, samples: Samples, task: Task, set_name: str, sides: tuple[str, ...]
    ) -> None:
        self.path = Path(path)
        self._samples, self._task, self._set = samples, task, set_name
        shape = samples.images.images.shape[1:]
        self._buffers = {side: DiskBuffer(self.path.parent, shape, np.uint8) for side in sides}
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> PairWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        for buffer in self._buffers.values():
            buffer.close()

    def add(
        self,
        plan: PairPlan,
        params: Params,
        pair: Pair,
        *,
        number: int | None = None,
        kind: str | None = None,
    ) -> None:
        """Add one pair; a failure has a number of its own and a kind."""
        for side, buffer in self._buffers.items():
            buffer.append(pair[SIDES.index(side)])
        draw = plan.draw if number is None else number
        # A step of a trajectory has the number of its trajectory, then its level.
        step = "" if plan.level is None else f"/{plan.level}"
        task = self._task.name
        self._rows.append(
            {
                "pair_id": f"{self._set}/{task}/{self._samples.images.dataset}/{draw}{step}",
                "image_row": plan.row,
                "task": task if kind is None else FAILURES[kind].task_name(task),
                "severity": plan.severity,
                "level": plan.level,
                "draw": draw,
                "params": as_json(params),
                "failure_of": None if kind is None else task,
                "failure_kind": kind,
            }
        )
        if len(self._rows) == ROWS_AT_ONCE:
            self._pack()

    def _pack(self) -> None:
        """Turn the rows so far into Arrow's."""
        images = self._samples.images
        rows = pa.array([row["image_row"] for row in self._rows], pa.int32())
        constant = {
            "dataset": images.dataset,
            "modality": images.meta["modality"],
            "family": self._task.family,
        }
        arrays = []
        for field in SCHEMA:
            if field.name in constant:
                array = pa.repeat(pa.scalar(constant[field.name], field.type), len(rows))
            elif field.name in _FROM_IMAGES:
                array = images.column(field.name).take(rows).cast(field.type)
            else:
                array = pa.array([row[field.name] for row in self._rows], field.type)
            arrays.append(array)
        self._batches.append(pa.record_batch(arrays, schema=SCHEMA))
        self._rows = []

    def write(self, meta: Mapping[str, Any]) -> None:
        """Write the file; `meta` holds facts about it next to those that every file has."""
        if self._rows or not self._batches:
            self._pack()
        table = pa.Table.from_batches(self._batches, SCHEMA)
        columns = {
            name: pa.concat_arrays(column.chunks)
            for name, column in zip(SCHEMA.names, table.columns, strict=True)
        }
        images = self._samples.images
        facts = {
            "set": self._set,
            "task": self._task.name,
            "dataset": images.dataset,
            "images_sha256": images.meta["content_sha256"],
            **meta,
        }
        buffers = {side: buffer.select() for side, buffer in self._buffers.items()}
        write_pairs(self.path, columns, buffers, facts)
