"""What jobs hold in memory: what `mem_mb` of the rules and `medtaskatlas plan` go by.

Each number is what grows with the run, measured on the folder run's 57,700 embeddings of up to
3,840 numbers; a job has its libraries beside that. Tables read one encoder at a time, all of its
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medtaskatlas.atlas.registry import Table
from medtaskatlas.run.budget.counts import assumed, pairs_of
from medtaskatlas.run.budget.encoder_jobs import held_mb, megabytes
from medtaskatlas.run.budget.networks import cost_of
from medtaskatlas.run.plan import Plan
from medtaskatlas.run.studies import UNSEEN_TASKS

# Of a query as one method of one encoder names it.
NAMED_BYTES = 64
# Python with what a table imports.
LIBRARIES_MB = 800


@dataclass(frozen=True)
class Memory:
    """What jobs of a run hold.

    Attributes
    ----------
    plan
        The run.
    """

    plan: Plan

    @cached_property
    def _counted(self) -> dict[str, Any]:
        return dict(assumed()["networks"])

    def embeddings_mb(self, encoder: str, set: str = "main") -> float:
        """Embeddings of one encoder with one seed, and the names of their pairs.

        Parameters
        ----------
        encoder
            Its name.
        set
            main, failure or trajectory.

        Returns
        -------
        float
            MB of float32.
        """
        options = self.plan.encoders[encoder].options()
        n = pairs_of(self.plan, self.plan.cells_of(set), set)
        return self._mb(n, options)

    def _mb(self, n: int, options: Any) -> float:
        cost = cost_of(options, self.plan.config.image_size, self._counted)
        return held_mb(n, megabytes(n, cost))

    @cached_property
    def _by_encoder(self) -> dict[str, float]:
        """All seeds of each encoder."""
        found: dict[str, float] = {}
        for name, _ in self.plan.encoder_runs:
            found[name] = found.get(name, 0.0) + self.embeddings_mb(name)
        return found

    def _widest(self, set: str) -> float:
        """One seed of the widest encoder of which failures and trajectories are looked at."""
        names = {name for name, _ in self.plan.described_runs}
        return max((self.embeddings_mb(name, set) for name in names), default=0.0)

    @cached_property
    def quantities(self) -> dict[str, float]:
        """MB of what a table may hold, by the names that the registry has for it."""
        plan = self.plan
        n = pairs_of(plan, plan.cells, "main")
        cells = 4 * len(plan.datasets) * len(plan.tasks)
        folds = [
            self._mb(pairs_of(plan, p.asked_cells, "main", p.pairs_per_cell), p.options)
            for p in plan.points.values()
            if p.study == UNSEEN_TASKS
        ]
        frozen = [self.embeddings_mb(n) for n, e in plan.encoders.items() if e.role == "baseline"]
        return {
            # All seeds of the widest encoder, and of all encoders.
            "encoder": max(self._by_encoder.values(), default=0.0),
            "encoders": sum(self._by_encoder.values()),
            # Neighbours, shuffled neighbours, and two probes.
            "predictions": 4 * len(plan.encoder_runs) * n * NAMED_BYTES / 1e6,
            "cell_matrix": 24e-6 * max(4000, cells) ** 2,
            "described": self._widest("main"),
            "failures": self._widest("failure"),
            "trajectories": self._widest("trajectory"),
            "folds": max([*folds, *frozen]) if folds else 0.0,
        }

    def table_mb(self, table: Table) -> float:
        """What the job of a table holds.

        Parameters
        ----------
        table
            The table.

        Returns
        -------
        float
            MB that grow with the run.
        """
        return sum(times * self.quantities[name] for name, times in table.memory.items())

    def predict_mb(self, encoder: str) -> float:
        """What naming the tasks of an encoder's pairs holds.

        Parameters
        ----------
        encoder
            Its name.

        Returns
        -------
        float
            MB.
        """
        return 1.5 * self.embeddings_mb(encoder)

    def embed_mb(self, encoder: str, set: str = "main") -> float:
        """What embedding holds: in batches, joined, and as a table.

        Parameters
        ----------
        encoder, set
            As of :meth:`embeddings_mb`.

        Returns
        -------
        float
            MB.
        """
        return 3 * self.embeddings_mb(encoder, set)

    def asked(self, grows: Callable[[Any], float], least: int = 1500) -> Callable[[Any, int], int]:
        """`mem_mb` of a rule: what its job holds, twice that where it was killed for want of it.

        Parameters
        ----------
        grows
            Wildcards to MB that grow with the run.
        least
            MB of a job of a small run.

        Returns
        -------
        callable
            Wildcards and attempt to MB, as Snakemake calls it.
        """
        return lambda wildcards, attempt: (
            attempt * max(least, round(LIBRARIES_MB + grows(wildcards)))
        )

    def of_table(self, table: Table) -> Callable[[Any, int], int]:
        """`mem_mb` of the rule of a table.

        Parameters
        ----------
        table
            The table.

        Returns
        -------
        callable
            As of :meth:`asked`.
        """
        return self.asked(lambda _: self.table_mb(table))
