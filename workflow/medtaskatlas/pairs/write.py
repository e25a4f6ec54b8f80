"""Write pairs row by row: memory holds one pair's pixels and a few thousand rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtaskatlas.formats.pairs import SCHEMA, write_pairs
from medtaskatlas.formats.spool import Spool
from medtaskatlas.pairs.plan import PairPlan
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.tasks.failure import FAILURES
from medtaskatlas.tasks.task import Task

# Python values of a row cost ten times what Arrow's do.
ROWS_AT_ONCE = 2048
# What the images file says of a pair's image.
_FROM_IMAGES = ("image_id", "group_id", "split")


class PairWriter:
    """Pairs of one set of one task on one dataset, as they are made.

    A context manager: what waits on the disk is let go of in the end, written or not.

    Parameters
    ----------
    path
        The Arrow file to make.
    samples
        The prepared images.
    task
        The task.
    set_name
        main, failure or trajectory.
    sides
        The sides to store.
    """

    def __init__(
        self,
        path: str | Path,
        samples: Samples,
        task: Task,
        *,
        set_name: str,
        sides: tuple[str, ...],
    ) -> None:
        self.path = Path(path)
        self._samples, self._task, self._set = samples, task, set_name
        shape = samples.images.images.shape[1:]
        self._spools = {side: Spool(self.path.parent, shape, np.uint8) for side in sides}
        self._waiting: list[dict[str, Any]] = []
        self._done: list[pa.RecordBatch] = []

    def __enter__(self) -> PairWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        for spool in self._spools.values():
            spool.close()

    def add(
        self,
        plan: PairPlan,
        params: str,
        pair: Mapping[str, np.ndarray],
        *,
        number: int | None = None,
        kind: str | None = None,
    ) -> None:
        """Add one pair.

        Parameters
        ----------
        plan
            What it was made from.
        params
            Its parameters as JSON.
        pair
            ``input`` and ``output``; uint8 of the images' shape.
        number
            Number of the pair where it is not that of its plan.
        kind
            Kind of failure.
        """
        for side, spool in self._spools.items():
            spool.append(pair[side])
        draw = plan.draw if number is None else number
        # A step of a trajectory has the number of its trajectory, then its level.
        step = "" if plan.level is None else f"/{plan.level}"
        task = self._task.name
        self._waiting.append(
            {
                "pair_id": f"{self._set}/{task}/{self._samples.images.dataset}/{draw}{step}",
                "image_row": plan.row,
                "task": task if kind is None else FAILURES[kind].task_name(task),
                "severity": plan.severity,
                "level": plan.level,
                "draw": draw,
                "params": params,
                "failure_of": None if kind is None else task,
                "failure_kind": kind,
            }
        )
        if len(self._waiting) == ROWS_AT_ONCE:
            self._pack()

    def _pack(self) -> None:
        """Turn the waiting rows into Arrow's."""
        images = self._samples.images
        rows = pa.array([row["image_row"] for row in self._waiting], pa.int32())
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
                array = pa.array([row[field.name] for row in self._waiting], field.type)
            arrays.append(array)
        self._done.append(pa.record_batch(arrays, schema=SCHEMA))
        self._waiting = []

    def write(self, meta: Mapping[str, Any]) -> None:
        """Write the file.

        Parameters
        ----------
        meta
            Facts about the file, beside those that every file has.
        """
        if self._waiting:
            self._pack()
        # At least one chunk a column, also without any row.
        table = pa.Table.from_batches(self._done, SCHEMA)
        columns = {
            name: pa.concat_arrays(column.chunks)
            if column.num_chunks
            else pa.array([], column.type)
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
        spools = {side: spool.select() for side, spool in self._spools.items()}
        write_pairs(self.path, columns, spools, facts)
