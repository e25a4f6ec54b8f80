"""Measured gains as arrays: source by target on every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.tables import read_table

ALL = "all"
COUNTED = ("n_images", "n_groups", "n_subjects")


@dataclass(frozen=True)
class Cells:
    """Gains of one protocol by other tasks; the target itself and controls are left out."""

    protocol: str
    tasks: list[str]
    families: list[str]
    datasets: list[str]
    trained: np.ndarray  # bool [D], whether sources were trained on the dataset
    gain: np.ndarray  # float [D, K, K], dataset, source and target; NaN where none was measured
    of_seeds: np.ndarray  # the same of each seed, [S, D, K, K]; none where there is one seed
    counts: pd.DataFrame  # n_pairs and others of every `dataset` and `target`

    @cached_property
    def same_family(self) -> np.ndarray:
        """Whether source and target are of one family, bool [K, K]."""
        families = np.array(self.families)
        return np.asarray(families[:, None] == families)

    def at(self, rows: pd.DataFrame, column: str) -> np.ndarray:
        """A column of rows of ``dataset``, ``source`` and ``target``, like the gains."""
        names = ((self.datasets, "dataset"), (self.tasks, "source"), (self.tasks, "target"))
        places = [pd.Index(known).get_indexer(pd.Index(rows[of])) for known, of in names]
        kept = np.all([place >= 0 for place in places], axis=0)
        out = np.full(self.gain.shape, np.nan)
        values = rows[column].to_numpy(float, na_value=np.nan)
        out[tuple(place[kept] for place in places)] = values[kept]
        return out

    def n(self, datasets: np.ndarray) -> Counts:
        """Test pairs that the gains on some datasets, bool [D], rest on; those of targets once."""
        there = [name for name, chosen in zip(self.datasets, datasets, strict=True) if chosen]
        rows = self.counts[self.counts["dataset"].isin(there)]
        # Targets of one dataset are asked about the same images.
        images = rows.groupby("dataset")[list(COUNTED)].max().sum()
        return {
            "n_pairs": int(rows["n_pairs"].sum()),
            **{name: int(images[name]) for name in COUNTED},
            "n_datasets": len(there),
        }


def read_cells(*paths: str | Path | None, run: str) -> Iterator[Cells]:
    """Cells of every protocol of some tables; None: the run has no such table."""
    tables = [read_table(path, run=run) for path in paths if path is not None]
    gains = pd.concat(tables, ignore_index=True)
    if "dataset_trained" not in gains:
        gains["dataset_trained"] = None
    # Tasks that are trained together are trained on what they are asked about.
    gains["dataset_trained"] = gains["dataset_trained"].astype("boolean").fillna(True)
    rows = gains[(gains["dataset"] != ALL) & (gains["source_role"] == "task")]
    for protocol, own in rows.groupby("protocol", sort=True):
        families = dict(zip(own["source"], own["source_family"], strict=True))
        families |= dict(zip(own["target"], own["target_family"], strict=True))
        tasks, datasets = sorted(families), sorted(set(own["dataset"]))
        trained = own.drop_duplicates("dataset").set_index("dataset")["dataset_trained"]
        empty = np.full((len(datasets), len(tasks), len(tasks)), np.nan)
        every = own[own["seed"].isna()]
        cells = Cells(
            str(protocol),
            tasks,
            [families[task] for task in tasks],
            datasets,
            trained[datasets].to_numpy(bool),
            empty,
            empty[None][:0],
            every.groupby(["dataset", "target"])[["n_pairs", *COUNTED]].max().reset_index(),
        )
        each = [cells.at(one, "estimate") for _, one in own.groupby("seed", sort=True)]
        of_seeds = np.stack(each) if each else cells.of_seeds
        yield Cells(**vars(cells) | {"gain": cells.at(every, "estimate"), "of_seeds": of_seeds})
