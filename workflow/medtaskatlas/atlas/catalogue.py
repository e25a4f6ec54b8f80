"""The tables `tasks`, `datasets` and `task_grid`: what a run is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from medtaskatlas.atlas.tables import write_table
from medtaskatlas.formats.arrow import ArrowFile


def tasks_table(
    tasks: Collection[str],
    out: str | Path,
    *,
    run: str,
    heldout_tasks: Collection[str] = (),
    tasks_dir: str | Path | None = None,
) -> None:
    """Write the table `tasks`.

    Parameters
    ----------
    tasks
        Names of the run's tasks.
    out
        results/<run>/tables/tasks.parquet.
    run
        Name of the run.
    heldout_tasks
        What was kept out of training.
    tasks_dir
        Folder of the user's own tasks.
    """
    from medtaskatlas.tasks.bank import load_bank

    bank = load_bank(tasks_dir)
    rows = []
    for name in tasks:
        task = bank[name]
        ladder = task.ladder
        rows.append(
            {
                "run": run,
                "task": name,
                "family": task.family,
                "description": task.description,
                "needs": ", ".join(sorted(task.needs)),
                "severity_effect": ladder.effect if ladder else None,
                "severity_unit": ladder.unit if ladder else None,
                "severity_min": ladder.mildest if ladder else None,
                "severity_max": ladder.strongest if ladder else None,
                "format_identifiable": task.format_identifiable,
                "heldout": name in set(heldout_tasks),
            }
        )
    write_table("tasks", rows, out, {"run": run})


def datasets_table(
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
) -> None:
    """Write the table `datasets`.

    Parameters
    ----------
    image_paths
        All image files of the run.
    out
        results/<run>/tables/datasets.parquet.
    run
        Name of the run.
    heldout_datasets
        What was kept out of training.
    """
    from medtaskatlas.datasets.quality import datasets_table as measure

    frame = measure([Path(path) for path in image_paths])
    heldout = frame["dataset"].isin(list(heldout_datasets)).to_numpy(dtype=bool)
    write_table("datasets", frame.assign(run=run, heldout=heldout), out, {"run": run})


def task_grid(
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    tasks: Collection[str],
    tasks_dir: str | Path | None = None,
) -> None:
    """Write the table `task_grid`: a row a task and dataset, made or not.

    Parameters
    ----------
    pair_paths
        All files ``pairs/main/<task>/<dataset>.arrow`` of the run.
    image_paths
        All image files of the run.
    out
        results/<run>/tables/task_grid.parquet.
    run
        Name of the run.
    tasks
        Names of the run's tasks.
    tasks_dir
        Folder of the user's own tasks.
    """
    from medtaskatlas.tasks.bank import load_bank

    bank = load_bank(tasks_dir)
    pairs = {(Path(p).parent.name, Path(p).stem): ArrowFile(p) for p in pair_paths}
    rows = []
    for path in image_paths:
        images = ArrowFile(path)
        dataset = str(images.meta["dataset"])
        for task in tasks:
            row: dict[str, Any] = {
                "run": run,
                "task": task,
                "family": bank[task].family,
                "dataset": dataset,
                "modality": images.meta.get("modality"),
            }
            made = pairs.get((task, dataset))
            n = len(made) if made is not None else 0
            row["n_pairs"] = n
            row["n_images"] = len(set(made.numpy("image_id"))) if made is not None and n else 0
            row["n_groups"] = len(set(made.numpy("group_id"))) if made is not None and n else 0
            row["applicable"] = n > 0
            row["reason"] = None if n else _reason(bank[task].needs, images.meta, made)
            rows.append(row)
    write_table("task_grid", rows, out, {"run": run})


def _reason(needs: Collection[str], meta: Mapping[str, Any], made: ArrowFile | None) -> str:
    """Why a task has no pairs on a dataset."""
    wanted = ", ".join(sorted(needs)) or "nothing"
    if made is not None:
        told = made.meta.get("reason")
        return str(told) if told else f"no image has what the task needs ({wanted})"
    return f"needs {wanted}; annotation of the dataset: {meta.get('annotation', 'none')}"
