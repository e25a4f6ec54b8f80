"""Gains of a target by a source, from errors on test pairs: what all protocols share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import adjust, bootstrap_interval, bootstrap_p
from medtaskatlas.atlas.resampling import Design, Draws, cell_means, draw, draw_seeds, no_draws
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.parquet import read_parquet, remedy
from medtaskatlas.transfer.options import SCRATCH, SHUFFLED, UNTRAINED

DRAWS = 1000
ALL = "all"
LOWEST = -1.0  # a gain below is a network that was thrown far off: how far says nothing
KEY = ("run", "protocol", "source", "target", "dataset", "seed")
FAMILIES = (
    columns.text("source_family", "family of the source; null of controls", nullable=True),
    columns.text("target_family", "family of the target"),
)
DATASET = columns.text("dataset", "dataset of the target; all: the mean over its datasets")
NUMBERS = (columns.SEED, *columns.ESTIMATE, *columns.P)
LEARNED = columns.count("n_learned", "pairs of the target that were learned from")


def read_errors(
    paths: Iterable[str | Path], run: str
) -> dict[tuple[str, str], dict[int, pd.DataFrame]]:
    """Errors by (protocol, target) and seed.

    A file may hold several targets, and several files one target and seed.
    """
    found: dict[tuple[str, str], dict[int, list[pd.DataFrame]]] = {}
    for path in map(Path, paths):
        table, facts = read_parquet(path)
        if facts.get("run") != run:
            raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy(path))
        if "protocol" not in facts:
            raise DataError(f"{path} is of an older version", remedy(path))
        for target, frame in table.to_pandas().groupby("target", sort=False):
            of = found.setdefault((facts["protocol"], str(target)), {})
            of.setdefault(int(facts["seed"]), []).append(frame)
    return {
        key: {seed: pd.concat(frames, ignore_index=True) for seed, frames in by_seed.items()}
        for key, by_seed in sorted(found.items())
    }


def gains(
    paths: Iterable[str | Path], *, run: str, families: dict[str, str], seed: int, n_draws: int
) -> pd.DataFrame:
    """Rows of every protocol, source and target, on each dataset and over all.

    The gain on a dataset is ``1 - error / scratch_error`` of mean errors over its test pairs, at
    least -1; over datasets their mean. Draws are of datasets, subjects and seeds, the same for all
    sources of a target. With columns ``source_role``, the families, ``error``, ``scratch_error``
    and, where the files have it, ``error_before``.
    """
    rows: list[dict[str, Any]] = []
    for (protocol, target), by_seed in read_errors(paths, run).items():
        roles = {UNTRAINED: "untrained", SHUFFLED: "shuffled", target: "itself"}
        for row in _rows(protocol, target, by_seed, seed, n_draws):
            about = {
                "run": run,
                "source_role": roles.get(row["source"], "task"),
                "source_family": families.get(row["source"]),
                "target_family": families[target],
            }
            rows.append(about | row)
    return adjust(pd.DataFrame(rows)) if rows else pd.DataFrame()


def _rows(
    protocol: str, target: str, by_seed: dict[int, pd.DataFrame], seed: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of one target: every source, on each dataset and over all, over seeds and a seed."""
    seeds = sorted(by_seed)
    first = by_seed[seeds[0]]
    remedied = f"delete the run's transfer/{protocol} and start the run again"
    cells = {s: set(zip(own["source"], own["dataset"], strict=True)) for s, own in by_seed.items()}
    for s in seeds[1:]:
        for source, dataset in sorted(cells[s] ^ cells[seeds[0]]):
            raise DataError(
                f"transfer of {target}: {source} on {dataset} is not of both seeds {seeds[0]}, {s}",
                remedied,
            )
    key = ["dataset", "pair_id"]
    alone = (first["source"] == SCRATCH) & (first["start"] == 0)
    frame = first[alone].sort_values(key, ignore_index=True).assign(task="")

    def of(name: str, column: str, datasets: list[str]) -> np.ndarray:
        """Numbers of a source on some datasets, mean over its starts, [S, N]."""
        wanted = frame.loc[frame["dataset"].isin(datasets), key].reset_index(drop=True)
        found = []
        for s in seeds:
            rows = by_seed[s][by_seed[s]["source"] == name].sort_values(key, ignore_index=True)
            rows = rows[rows["dataset"].isin(datasets)]
            starts = [own.reset_index(drop=True) for _, own in rows.groupby("start")]
            if not starts or not all(own[key].equals(wanted) for own in starts):
                raise DataError(
                    f"transfer of {target}: {name}, seed {s}, was asked about other pairs",
                    remedied,
                )
            found.append(np.mean([own[column].to_numpy(float) for own in starts], axis=0))
        return np.stack(found)

    settings: dict[tuple[str, ...], _Setting] = {}
    for name in dict.fromkeys(first["source"]):
        if name == SCRATCH:
            continue
        # Two tasks are trained together on the datasets that offer both.
        own = sorted(set(first.loc[first["source"] == name, "dataset"]))
        for datasets in [*([own] if len(own) > 1 else []), *([one] for one in own)]:
            rows = frame[frame["dataset"].isin(datasets)].reset_index(drop=True)
            if tuple(datasets) not in settings:
                source = (seed, target)
                settings[tuple(datasets)] = _Setting(rows, len(seeds), source, n_draws)
            setting = settings[tuple(datasets)]
            error, scratch = of(name, "error", datasets), of(SCRATCH, "error", datasets)
            before = of(name, "error_before", datasets) if "error_before" in first else None
            about = {
                "protocol": protocol,
                "source": name,
                "target": target,
                "dataset": datasets[0] if len(datasets) == 1 else ALL,
                "n_learned": int(rows["n_learned"].max()),
            }
            family = f"{protocol}, {'over datasets' if len(datasets) > 1 else 'each dataset'}"
            chosen = [list(range(len(seeds))), *([s] for s in range(len(seeds)) if len(seeds) > 1)]
            for at in chosen:
                whole = len(at) == len(seeds)
                made = setting.row(error[at], scratch[at])
                made["p_family"] = family if whole and made["p"] is not None else None
                if not whole:
                    made["p"] = None
                if before is not None:
                    made["error_before"] = setting.mean(before[at])
                yield about | made | {"seed": None if whole else seeds[at[0]]}


class _Setting:
    """Test pairs of a target, and the draws that all its sources share."""

    def __init__(
        self, frame: pd.DataFrame, n_seeds: int, source: tuple[int, str], n_draws: int
    ) -> None:
        self.design, self.n = Design.of(frame), counts(frame)
        self.as_is = no_draws(self.design)
        rng = generator(*source, "transfer bootstrap")
        self.draws = draw(self.design, rng, n_draws, fixed_datasets=self.n["n_datasets"] == 1)
        self.seeds = draw_seeds(generator(*source, "transfer seeds"), n_seeds, n_draws)

    def row(self, error: np.ndarray, scratch: np.ndarray) -> dict[str, Any]:
        """Gain with its interval, and the errors that it is made of, each [S, N]."""
        S, n = len(error), self.n
        each = np.array([self._gain(error[[s]], scratch[[s]])[0] for s in range(S)])
        weights = self.seeds if self.seeds.shape[1] == S else np.ones((len(self.seeds), 1))
        drawn = self._gain(error, scratch, self.draws, weights)
        estimate = float(self._gain(error, scratch)[0])
        interval = bootstrap_interval(drawn, estimate, n, n_seeds=S, low=LOWEST, high=1.0)
        return {
            "estimate": estimate,
            "seed_sd": float(each.std(ddof=1)) if S > 1 else None,
            **vars(interval),
            "p": None if interval.ci_low is None else bootstrap_p(drawn, estimate, n),
            "error": self.mean(error),
            "scratch_error": self.mean(scratch),
            **n,
        }

    def mean(self, values: np.ndarray) -> float:
        """Mean of values [S, N], datasets alike."""
        return float(self._means(values).mean())

    def _means(
        self, values: np.ndarray, draws: Draws | None = None, seeds: np.ndarray | None = None
    ) -> np.ndarray:
        """Mean of values [S, N] on each dataset and draw, [B, D]."""
        once = np.full((1, len(values)), 1 / len(values)) if seeds is None else seeds
        return cell_means(self.design, values, draws or self.as_is, once)[:, :, 0]

    def _gain(
        self,
        error: np.ndarray,
        scratch: np.ndarray,
        draws: Draws | None = None,
        seeds: np.ndarray | None = None,
    ) -> np.ndarray:
        """Mean gain over datasets, as often as they were drawn, [B]."""
        own, base = (self._means(values, draws, seeds) for values in (error, scratch))
        with np.errstate(invalid="ignore", divide="ignore"):
            gain = np.clip(1 - own / base, LOWEST, 1)
        weight = (draws or self.as_is).dataset * np.isfinite(gain)
        total = weight.sum(axis=1)
        top = (np.nan_to_num(gain) * weight).sum(axis=1)
        return np.divide(top, total, out=np.full(len(top), np.nan), where=total > 0)
