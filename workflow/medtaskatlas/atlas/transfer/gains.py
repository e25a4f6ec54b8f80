"""The table `transfer_gains`: what a start from another task gains a target."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.transfer import measured
from medtaskatlas.atlas.transfer.measured import ALL, DRAWS

SPEC = columns.TableSpec(
    "What does a network gain that starts from another task and sees few pairs of the target? The "
    "relative cut of its error on test pairs against the same steps from scratch.",
    measured.KEY,
    (
        columns.RUN,
        columns.text(
            "protocol",
            "warm: the whole network is taken over; shared: its encoder, with a new decoder",
            *("warm", "shared"),
        ),
        columns.text("source", "task that it was trained on before, or a control"),
        columns.text(
            "source_role",
            "task; itself: the target's own network, on all training datasets; untrained: another "
            "start from scratch; shuffled: outputs of other images were learned",
            *("task", "itself", "untrained", "shuffled"),
        ),
        columns.text("target", "task that it learns"),
        *measured.FAMILIES,
        measured.DATASET,
        columns.yes(
            "dataset_trained", "whether sources were trained on it; null of all", nullable=True
        ),
        *measured.NUMBERS,
        columns.number("error", "mean square error after the steps, grey levels 0 to 1", 0),
        columns.number("scratch_error", "that from scratch", 0),
        columns.number("error_before", "that of the source before any step: zero-shot", 0),
        measured.LEARNED,
        *columns.N,
        columns.NOTE,
    ),
)


def transfer_gains(
    start_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    families: dict[str, str],
    heldout_datasets: Iterable[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `transfer_gains`: see :func:`~medtaskatlas.atlas.transfer.measured.gains`.

    From scratch is the mean of three starts.

    Parameters
    ----------
    start_paths
        results/<run>/transfer/<protocol>/<target>/seed<k>.parquet, all of them.
    out
        results/<run>/tables/transfer_gains.parquet.
    run
        Name of the run.
    families
        Family of every task.
    heldout_datasets
        Datasets that sources were not trained on.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another run, or of other pairs than the rest.
    """
    frame = measured.gains(start_paths, run=run, families=families, seed=seed, n_draws=n_draws)
    if len(frame):
        trained = (~frame["dataset"].isin(set(heldout_datasets))).astype("boolean")
        frame["dataset_trained"] = trained.mask(frame["dataset"] == ALL)
    write_table("transfer_gains", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})
