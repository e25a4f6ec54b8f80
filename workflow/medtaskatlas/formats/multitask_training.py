"""What trainings below multitask/<problem>/<system>/ tell: cost, trials and history.

======================= ============================================================
file                    content
======================= ============================================================
seed<k>/config.json     what its networks are, from which they are made again
seed<k>/cost.json       what the trainings have cost
seed<k>/history.parquet the losses of every step
trials.json             the trials of learning rates and fixed weights before, with
                        the primary score of every target on validation images
======================= ============================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.formats.parquet import read_parquet, remedy, write_parquet

if TYPE_CHECKING:
    import pandas as pd

CONFIG_FORMAT = 1  # of config.json
Cost = Mapping[str, float]  # fields of medtaskatlas.learning.cost.Cost


def read_config(path: str | Path) -> dict[str, Any]:
    """Read config.json of a training.

    Raises
    ------
    DataError
        If it is absent, damaged, or written by a version with another format.
    """
    config = _read(path)
    written = config.get("format") if isinstance(config, dict) else None
    if written != CONFIG_FORMAT:
        raise DataError(
            f"{path}: format: {written!r}, this version reads {CONFIG_FORMAT}",
            "train the system again with this version, or use the version that trained it",
        )
    return dict(config)


def write_cost(
    path: str | Path,
    *,
    total: Cost,
    trainings: Sequence[Mapping[str, Any]],
    tuning: Cost,
    pretraining: Cost | None = None,
) -> None:
    """Write what the trainings of one system and seed have cost.

    Parameters
    ----------
    path
        cost.json.
    total
        All trainings together.
    trainings
        The cost of each, with its ``targets`` and ``fold``.
    tuning
        All trials before.
    pretraining
        A training that several others start from, whole; not in ``total``.
    """
    cost = {"total": total, "trainings": trainings, "tuning": tuning}
    _write(path, cost if pretraining is None else {**cost, "pretraining": pretraining})


def read_cost(path: str | Path) -> dict[str, Any]:
    """Read a file of :func:`write_cost`; a DataError where it is missing or damaged."""
    cost = _read(path)
    if not isinstance(cost, dict) or not {"total", "trainings", "tuning"} <= cost.keys():
        raise DataError(f"{path} holds no cost of a multi-task training", remedy(path))
    return cost


def write_trials(path: str | Path, trials: Sequence[Mapping[str, Any]]) -> None:
    """Write the trials before a training.

    Parameters
    ----------
    path
        trials.json.
    trials
        Each with ``targets`` (list of names), ``fold``, ``learning_rate``, ``weights`` (target to
        fixed weight; null: none are fixed), ``scores`` (target to its primary score on validation
        images; null: undefined) and ``chosen``.
    """
    _write(path, list(trials))


def read_trials(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of :func:`write_trials`; a DataError where it is missing or damaged."""
    trials = _read(path)
    keys = {"targets", "fold", "learning_rate", "weights", "scores", "chosen"}
    if not isinstance(trials, list) or any(not keys <= trial.keys() for trial in trials):
        raise DataError(f"{path} holds no trials of a multi-task training", remedy(path))
    return trials


def write_history(
    path: str | Path,
    trainings: Iterable[tuple[Sequence[str], int, pa.Table]],
    facts: Mapping[str, Any],
) -> None:
    """Write the losses of trainings.

    Parameters
    ----------
    path
        history.parquet.
    trainings
        Targets, fold and the table of :meth:`medtaskatlas.learning.history.History.table` of each.
    facts
        JSON-able facts of the training.
    """
    tables = [
        table.append_column("targets", pa.array([list(targets)] * len(table))).append_column(
            "fold", pa.array([fold] * len(table), pa.int64())
        )
        for targets, fold, table in trainings
    ]
    write_parquet(path, pa.concat_tables(tables, promote_options="default"), facts)


def read_history(path: str | Path) -> pd.DataFrame:
    """Read losses of single targets: columns fold, step, target and loss (a mean over a batch).

    Steps whose batch lacks a target have no row of it. A DataError says whether the file is
    missing, damaged or something else.
    """
    import pandas as pd

    table, facts = read_parquet(path)
    if not facts or not {"step", "loss", "targets", "fold"} <= set(table.column_names):
        raise DataError(f"{path} holds no history of a multi-task training", remedy(path))
    frame = table.to_pandas()
    frame["targets"] = frame["targets"].map(tuple)
    parts = []
    for targets, rows in frame.groupby("targets", sort=False):
        for target in targets:
            # The loss of one target has no parts.
            column = "loss" if len(targets) == 1 else f"loss.{target}"
            parts.append(
                rows[["fold", "step"]].assign(target=target, loss=rows[column].to_numpy(float))
            )
    return pd.concat(parts, ignore_index=True).dropna(subset="loss")


def _write(path: str | Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False))


def _read(path: str | Path) -> Any:
    """Read JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", "start the run again to make it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error})", remedy(path)) from error
