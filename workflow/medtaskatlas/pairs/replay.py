"""Make a stored pair again from its row and its image alone, bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute

from medtaskatlas.core.errors import DataError, nearest
from medtaskatlas.core.files import existing_run, read_json
from medtaskatlas.formats.pairs import SETS, SIDES, PairSet
from medtaskatlas.pairs.build import rebuild
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import Pair, Task

SHAPE_OF_ID = "<set>/<task>/<dataset>/<number>, e.g. main/rotation/ct_dicom/17"


@dataclass(frozen=True)
class Stored:
    """Pairs of one file, with what they were made from."""

    pairs: PairSet
    samples: Samples
    task: Task

    def replay(self, row: int) -> Pair:
        """Make the pair of a row again."""
        params = json.loads(self.pairs.column("params")[row].as_py())
        kind = self.pairs.column("failure_kind")[row].as_py()
        return rebuild(self.task, self.samples, int(self.pairs.image_row[row]), params, kind)

    def verify(self, row: int) -> Pair:
        """Make the pair of a row again and compare it with what is stored."""
        pair = self.replay(row)
        for side, made in zip(SIDES, pair, strict=True):
            differ = np.count_nonzero(made != self.pairs.side(side, row))
            if differ:
                pair_id = self.pairs.column("pair_id")[row].as_py()
                raise DataError(
                    f"{self.pairs.path}: {differ} values of the {side} of {pair_id} are not what "
                    f"task {self.task.name} makes of its row",
                    "the task or its packages have changed since; start the run again to make "
                    "the pairs anew, or go back to the version that made them",
                )
        return pair


def replay(run_folder: str | Path, pair_id: str, tasks_dir: str | Path | None = None) -> Pair:
    """Make a pair of a run again.

    Parameters
    ----------
    run_folder
        results/<run>.
    pair_id
        What the column ``pair_id`` says, of any set.
    tasks_dir
        Folder of the user's own tasks; None takes what the run's config.json says.

    Returns
    -------
    tuple of numpy.ndarray
        Input and output, uint8 [H, W, 3], as they are stored, bit for bit.

    Raises
    ------
    DataError
        Names what is missing: the run, the task, the dataset, the pair or the images.
    TaskError
        If the task breaks its contract.
    """
    stored, row = _find(run_folder, pair_id, tasks_dir)
    return stored.replay(row)


def verify(run_folder: str | Path, pair_id: str, tasks_dir: str | Path | None = None) -> Pair:
    """As :func:`replay`, and raise a DataError if a pixel differs from what is stored."""
    stored, row = _find(run_folder, pair_id, tasks_dir)
    return stored.verify(row)


def _find(
    run_folder: str | Path, pair_id: str, tasks_dir: str | Path | None = None
) -> tuple[Stored, int]:
    """File and row of a pair."""
    run = Path(run_folder)
    parts = pair_id.split("/")
    if len(parts) not in (4, 5) or parts[0] not in SETS:
        raise DataError(
            f"{pair_id!r} is no pair_id",
            f"write {SHAPE_OF_ID}"
            + ("" if parts[0] in SETS else f"; of <set>: {nearest(parts[0], SETS)}"),
        )
    set_name, task, dataset = parts[:3]
    folder = existing_run(run) / "pairs" / set_name
    made = [f.name for f in folder.glob("*") if f.is_dir()]
    if task not in made:
        raise DataError(f"{folder} has no pairs of task {task!r}", nearest(task, made))
    datasets = [f.stem for f in (folder / task).glob("*.arrow")]
    if dataset not in datasets:
        raise DataError(
            f"{folder / task} has no pairs on dataset {dataset!r}", nearest(dataset, datasets)
        )
    stored = open_pairs(run, folder / task / f"{dataset}.arrow", tasks_dir)
    row = compute.index(stored.pairs.column("pair_id"), pa.scalar(pair_id)).as_py()
    if row < 0:
        ids = stored.pairs.column("pair_id")
        few = f"{ids[0]} to {ids[-1]}" if len(ids) else "none"
        raise DataError(f"{stored.pairs.path} has no pair {pair_id!r}", f"it has {few}")
    return stored, row


def open_pairs(
    run_folder: str | Path, path: str | Path, tasks_dir: str | Path | None = None
) -> Stored:
    """Open a file of pairs with what they were made from."""
    run, path = Path(run_folder), Path(path)
    task = path.parent.name
    samples = Samples(run / "images" / path.name)
    return Stored(PairSet(path, samples.images), samples, _task(run, task, tasks_dir))


def _task(run: Path, name: str, tasks_dir: str | Path | None) -> Task:
    """The task of a name: the project's, or of the user's own."""
    config = run / "config.json"
    if tasks_dir is None and config.exists():
        tasks_dir = read_json(config).get("tasks_dir")
    bank = load_bank(tasks_dir)
    if name not in bank:
        raise DataError(
            f"task {name!r}, which made the pairs, is not in the bank",
            f"give the folder of your own tasks (tasks_dir); {nearest(name, bank)}",
        )
    return bank[name]
