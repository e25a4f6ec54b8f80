"""The table `task_affinity`: what a task gains when another one is trained with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.transfer import measured
from medtaskatlas.atlas.transfer.measured import DRAWS

SPEC = columns.TableSpec(
    "What does a task gain when another one is trained with it, one encoder and a decoder each? "
    "The relative cut of its error on test pairs against the same steps alone. Gains have a "
    "direction.",
    measured.KEY,
    (
        columns.RUN,
        columns.text("protocol", "affinity: tasks are trained together", "affinity"),
        columns.text("source", "partner that is trained with it, or a control"),
        columns.text(
            "source_role",
            "task; itself: the target with a second decoder and other batches; shuffled: inputs of "
            "the target, with outputs of other images",
            *("task", "itself", "shuffled"),
        ),
        columns.text("target", "task whose error it is"),
        *measured.FAMILIES,
        measured.DATASET,
        *measured.NUMBERS,
        columns.number("error", "mean square error after the steps, grey levels 0 to 1", 0),
        columns.number("scratch_error", "that of the same network trained alone", 0),
        measured.LEARNED,
        *columns.N,
        columns.NOTE,
    ),
)


def task_affinity(
    affinity_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    families: dict[str, str],
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `task_affinity`: see :func:`~medtaskatlas.atlas.transfer.measured.gains`.

    Parameters
    ----------
    affinity_paths
        results/<run>/transfer/affinity/<dataset>/seed<k>.parquet, all of them.
    out
        results/<run>/tables/task_affinity.parquet.
    run
        Name of the run.
    families
        Family of every task.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another run, or of other pairs than the rest.
    """
    frame = measured.gains(affinity_paths, run=run, families=families, seed=seed, n_draws=n_draws)
    write_table("task_affinity", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})
