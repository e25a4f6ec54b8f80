"""The table `transfer_gains`: what a start from another task gains a target."""

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
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.parquet import read_parquet, remedy
from medtaskatlas.transfer.options import SCRATCH, SHUFFLED, UNTRAINED

DRAWS = 1000
ALL = "all"
LOWEST = -1.0  # a gain below is a network that was thrown far off: how far says nothing

SPEC = columns.TableSpec(
    "What does a network gain that starts from another task, whole, and sees few pairs of the "
    "target? The relative cut of its error on test pairs against the same steps from scratch.",
    ("run", "protocol", "source", "target", "dataset", "seed"),
    (
        columns.RUN,
        columns.text("protocol", "warm: the whole network is taken over", "warm"),
        columns.text("source", "task that it was trained on before, or a control"),
        columns.text(
            "source_role",
            "task; itself: the target's own network, on all training datasets; untrained: another "
            "start from scratch; shuffled: outputs of other images were learned",
            *("task", "itself", "untrained", "shuffled"),
        ),
        columns.text("target", "task that it learns"),
        columns.text("source_family", "family of the source; null of controls", nullable=True),
        columns.text("target_family", "family of the target"),
        columns.text("dataset", "dataset of the target; all: the mean over its datasets"),
        columns.yes(
            "dataset_trained", "whether sources were trained on it; null of all", nullable=True
        ),
        columns.SEED,
        *columns.ESTIMATE,
        *columns.P,
        columns.number("error", "mean square error after the steps, grey levels 0 to 1", 0),
        columns.number("scratch_error", "that from scratch", 0),
        columns.number("error_before", "that of the source before any step: zero-shot", 0),
        columns.count("n_learned", "pairs of the target that were learned from"),
        *columns.N,
        columns.NOTE,
    ),
)


def transfer_gains(
    warm_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    families: dict[str, str],
    heldout_datasets: Iterable[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `transfer_gains`.

    The gain on a dataset is ``1 - error / scratch_error`` of mean errors over its test pairs, at
    least -1, where from scratch is the mean of three starts; over datasets their mean. Draws are of
    datasets, subjects and seeds, the same for all sources of a target.

    Parameters
    ----------
    warm_paths
        results/<run>/transfer/warm/<target>/seed<k>.parquet, all of them.
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
    of_target: dict[str, dict[int, pd.DataFrame]] = {}
    for path in map(Path, warm_paths):
        table, facts = read_parquet(path)
        if facts.get("run") != run:
            raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy(path))
        frame = table.to_pandas()
        of_target.setdefault(str(frame["target"].iloc[0]), {})[int(facts["seed"])] = frame
    rows: list[dict[str, Any]] = []
    for target, by_seed in sorted(of_target.items()):
        for row in _rows(target, by_seed, set(heldout_datasets), seed, n_draws):
            name = row["source"]
            role = {UNTRAINED: "untrained", SHUFFLED: "shuffled", target: "itself"}.get(
                name, "task"
            )
            rows.append(
                {
                    "run": run,
                    "protocol": "warm",
                    "source_role": role,
                    "source_family": families.get(name),
                    "target_family": families[target],
                    **row,
                }
            )
    frame = adjust(pd.DataFrame(rows)) if rows else pd.DataFrame()
    write_table("transfer_gains", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rows(
    target: str, by_seed: dict[int, pd.DataFrame], heldout: set[str], seed: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of one target: every source, on each dataset and over all, over seeds and a seed."""
    seeds = sorted(by_seed)
    first = by_seed[seeds[0]]
    sources = [name for name in dict.fromkeys(first["source"]) if name != SCRATCH]
    alone = (first["source"] == SCRATCH) & (first["start"] == 0)
    frame = first[alone].reset_index(drop=True).assign(task="")
    key = ["dataset", "pair_id"]

    def of(name: str, column: str) -> np.ndarray:
        found = []
        for s in seeds:
            rows = by_seed[s][by_seed[s]["source"] == name]
            starts = [own.reset_index(drop=True) for _, own in rows.groupby("start")]
            if not starts or not all(own[key].equals(frame[key]) for own in starts):
                raise DataError(
                    f"transfer of {target}: {name}, seed {s}, was asked about other pairs",
                    "delete the run's transfer/warm and start the run again",
                )
            found.append(np.mean([own[column].to_numpy(float) for own in starts], axis=0))
        return np.stack(found)

    scratch = of(SCRATCH, "error")
    datasets = sorted(set(frame["dataset"]))
    settings = [(ALL, np.ones(len(frame), bool))] if len(datasets) > 1 else []
    settings += [(name, (frame["dataset"] == name).to_numpy()) for name in datasets]
    for dataset, mask in settings:
        setting = _Setting(frame[mask].reset_index(drop=True), len(seeds), (seed, target), n_draws)
        for name in sources:
            error, before = of(name, "error")[:, mask], of(name, "error_before")[:, mask]
            about = {
                "source": name,
                "target": target,
                "dataset": dataset,
                "dataset_trained": None if dataset == ALL else dataset not in heldout,
                "n_learned": int(frame["n_learned"][mask].max()),
            }
            family = f"transfer_gains, {'over datasets' if dataset == ALL else 'each dataset'}"
            chosen = [list(range(len(seeds))), *([s] for s in range(len(seeds)) if len(seeds) > 1)]
            for own in chosen:
                made = setting.row(error[own], scratch[own][:, mask], before[own])
                made["p_family"] = None if made["p"] is None or len(own) < len(seeds) else family
                if len(own) < len(seeds):
                    made["p"] = None
                yield about | made | {"seed": seeds[own[0]] if len(own) < len(seeds) else None}


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

    def row(self, error: np.ndarray, scratch: np.ndarray, before: np.ndarray) -> dict[str, Any]:
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
            "error": float(self._means(error).mean()),
            "scratch_error": float(self._means(scratch).mean()),
            "error_before": float(self._means(before).mean()),
            **n,
        }

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
