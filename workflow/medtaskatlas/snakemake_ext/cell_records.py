"""What Snakemake remembers of a file does not tell how many cells its job made.

Snakemake reruns a job when its parameters are not those that it remembers of its outputs. A job of
many cells has the parameters of all of them, so a run that goes on with another number of cells a
job, say at home after a night on a cluster, would make all pairs anew and train all encoders again.
So of each file that a batch makes is remembered what the job of that file alone has; and a batch is
compared with what is remembered file by file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# What this relies on in snakemake.persistence.PersistenceBase.
NEEDED = (
    "finished",
    "params",
    "params_changed",
    "_get_key",
    "_read_record",
    "_write_record",
    "_clear_cache",
    "_serialize_param",
)


def remember_cells(persistence: Any) -> None:
    """Let the records of a batch's outputs be those of cells made alone.

    Parameters
    ----------
    persistence
        ``snakemake.persistence.PersistenceBase``. A class without its methods, as another version
        of Snakemake may have it, is left alone: then all pairs are made anew when the number of
        cells a job changes.
    """
    if getattr(persistence, "_remembers_cells", False):
        return
    if not all(hasattr(persistence, name) for name in NEEDED):
        return
    finished, params_changed = persistence.finished, persistence.params_changed

    async def finished_cells(self: Any, job: Any) -> None:
        await finished(self, job)
        cells = _cells(job)
        # What it has read before it wrote is out of date.
        self._clear_cache()
        for path in job.output if cells else []:
            key = self._get_key(path)
            record = self._read_record(key)
            if record is not None and record.params is not None:
                record.params = _params(self, cells, path)
                self._write_record(key, record)
        self._clear_cache()

    def cells_params_changed(self: Any, job: Any, file: Any = None) -> Any:
        cells = _cells(job)
        changes = params_changed(self, job, file=file)
        if not cells or not changes:
            return changes
        told = type(changes)()
        for path in [file] if file is not None else job.output:
            recorded = self.params(path)
            if recorded is not None:
                old, new = set(recorded), set(_params(self, cells, path))
                told |= type(changes)(only_old=old - new, only_new=new - old, files={path})
        return told

    persistence.finished = finished_cells
    persistence.params_changed = cells_params_changed
    persistence._remembers_cells = True


def _cells(job: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Task to set to parameters of the files of a batch; empty for other jobs."""
    return getattr(getattr(job, "params", None), "cells", None) or {}


def _params(persistence: Any, cells: dict[str, dict[str, dict[str, Any]]], path: Any) -> list[str]:
    """Parameters of the job that would make one file, as Snakemake writes them down."""
    file = Path(str(path))
    params = cells[file.parent.name][file.parent.parent.name]
    return sorted(persistence._serialize_param(value) for value in params.values())
