"""Generate the pairs of several tasks on one dataset in one job.

Snakemake deletes what a failed job has written. So finished cells wait beside their place, under a
hidden name that says what they were made from, until all of the batch are done. A batch that is
stopped, or of which one cell fails, finds the others when it runs again.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import AtlasError, DataError
from medtaskatlas.core.job_facts import LOG_FORMAT
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.task import Task

logger = logging.getLogger("medtaskatlas")


def make_batch(
    images: str | Path,
    outs: Iterable[str | Path],
    *,
    bank: Mapping[str, Task],
    cells: Mapping[str, Mapping[str, Mapping[str, Any]]],
    logs: str | Path,
) -> None:
    """Generate and write the pairs of several tasks on one dataset.

    The files are those that a job for each task would make.

    Parameters
    ----------
    images
        Prepared images.
    outs
        The Arrow files to make, each ``.../<set>/<task>/<dataset>.arrow``.
    bank
        Name to task.
    cells
        Task to set to what these pairs depend on (``medtaskatlas.run.plan.RunPlan.pair_params``).
    logs
        Folder of the logs, one ``<task>/<dataset>.log`` each.

    Raises
    ------
    DataError
        If the pairs of a task could not be made; names all such tasks. Those of the others are
        kept, and taken by the next job that is to make the same.
    """
    images, logs = Path(images), Path(logs)
    wanted: dict[str, dict[str, Path]] = {}
    for out in map(Path, outs):
        wanted.setdefault(out.parent.name, {})[out.parent.parent.name] = out
    failed: dict[str, str] = {}
    waiting: dict[Path, Path] = {}
    for task, sets in cells.items():
        with _log_of(logs / task / f"{images.stem}.log"):
            try:
                waiting |= {
                    _make_set(images, bank[task], name, params, wanted[task][name]): wanted[task][
                        name
                    ]
                    for name, params in sets.items()
                }
            except AtlasError as error:
                logger.error("%s", error)
                failed[task] = error.problem
            # One broken task must not cost the others; the log has all of it.
            except Exception as error:
                logger.error("%s", traceback.format_exc())
                failed[task] = f"{type(error).__name__}: {error}"
    if failed:
        raise DataError(
            f"{len(failed)} of {len(cells)} tasks failed on {images.stem}: "
            + "; ".join(f"{task}: {why}" for task, why in failed.items()),
            f"see {logs}/<task>/{images.stem}.log; the pairs of the others are kept",
        )
    for made, out in waiting.items():
        made.replace(out)


def _make_set(images: Path, task: Task, name: str, params: Mapping[str, Any], out: Path) -> Path:
    """Make one file of a cell, unless it is kept; forget what is out of date.

    It waits in the same folder, so that it can be renamed.
    """
    kept = out.with_name(f".{out.name}.{_stamp(images, params)}.kept")
    if kept.exists():
        logger.info("%s: kept from an earlier job", name)
        return kept
    for old in out.parent.glob(f".{escape(out.name)}.*.kept"):
        old.unlink()
    make_sets(
        images,
        task,
        {name: kept},
        amounts=Amounts(**params["amounts"]),
        splits=params["splits"],
        heldout=params["heldout"],
        seed=params["seed"],
    )
    return kept


def _stamp(images: Path, params: Mapping[str, Any]) -> str:
    """What a file is made from, as 16 hexadecimal digits."""
    try:
        state = images.stat()
    except OSError as error:
        raise DataError(f"{images}: {error.strerror}", "start the run again") from error
    made_from = repr((state.st_size, state.st_mtime_ns, sorted(params.items())))
    return hashlib.sha256(made_from.encode()).hexdigest()[:16]


@contextmanager
def _log_of(path: Path) -> Iterator[None]:
    """Log a cell to a file of its own, next to the log of the job."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
