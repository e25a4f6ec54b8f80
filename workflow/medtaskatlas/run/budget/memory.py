"""What jobs hold in memory: `mem_mb` of the rules and `medtaskatlas plan` go by it.

Each number is what grows with the run, measured on the folder run's 57,700 embeddings of up to
3,840 numbers; a job has its libraries beside that. Tables read one encoder at a time, all of its
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from medtaskatlas.atlas.registry import Table
from medtaskatlas.run.budget.counts import EMBEDDING_ROW_BYTES, Counts
from medtaskatlas.run.plan import RunPlan
from medtaskatlas.run.studies import UNSEEN_TASKS

# Of a query as one method of one encoder names it.
NAMED_BYTES = 64
# Python with what a table imports.
LIBRARIES_MB = 800


class Memory:
    """Megabytes that jobs of a run hold."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.counts = Counts(plan, {})

    def embeddings_mb(self, encoder: str, set: str = "main") -> float:
        """Embeddings of an encoder with one seed, and the names of their pairs."""
        n = self.counts.pairs(self.plan.cells_of(set), set)
        return self.counts.held_mb(n, self.plan.encoders[encoder].options())

    def predict_mb(self, encoder: str) -> float:
        """Naming the tasks of an encoder's pairs."""
        return 1.5 * self.embeddings_mb(encoder)

    def embed_mb(self, encoder: str, set: str = "main") -> float:
        """Embedding: in batches, joined, and as a table."""
        return 3 * self.embeddings_mb(encoder, set)

    @cached_property
    def quantities(self) -> dict[str, float]:
        """What tables hold, by the names that their registry has for it."""
        plan, counts = self.plan, self.counts
        seeds: dict[str, list[float]] = {}
        for name, _ in plan.encoder_runs:
            seeds.setdefault(name, []).append(self.embeddings_mb(name))
        by_encoder = [sum(own) for own in seeds.values()]
        described = {name for name, _ in plan.described_runs}
        one_seed = {
            set: max((self.embeddings_mb(name, set) for name in described), default=0.0)
            for set in ("main", "failure", "trajectory")
        }
        folds = [
            self.counts.held_mb(counts.point_pairs(point), point.options)
            for point in plan.points.values()
            if point.study == UNSEEN_TASKS
        ]
        baselines = [self.embeddings_mb(name) for name in plan.named("baseline")]
        queries = len(plan.encoder_runs) * counts.pairs(plan.cells)
        return {
            # All seeds of the widest encoder, and of all encoders.
            "encoder": max(by_encoder, default=0.0),
            "encoders": sum(by_encoder),
            # Neighbours, shuffled neighbours, and two probes.
            "predictions": 4 * queries * NAMED_BYTES / 1e6,
            "cell_matrix": 24e-6 * max(4000, 4 * len(plan.datasets) * len(plan.tasks)) ** 2,
            "described": one_seed["main"],
            "failures": one_seed["failure"],
            "trajectories": one_seed["trajectory"],
            "folds": max([*folds, *baselines]) if folds else 0.0,
            "pairs": counts.pairs(plan.cells) * EMBEDDING_ROW_BYTES / 1e6,
        }

    def table_mb(self, table: Table) -> float:
        """Job of a table."""
        return sum(times * self.quantities[name] for name, times in table.memory.items())

    def request(
        self, grows: Callable[[Any], float], least: int = 1500
    ) -> Callable[[Any, int], int]:
        """`mem_mb` of a rule: what its job holds, twice that where it was killed for want of it.

        ``grows`` gives the MB that grow with the run, ``least`` is what a small run asks for.
        """
        return lambda wildcards, attempt: (
            attempt * max(least, round(LIBRARIES_MB + grows(wildcards)))
        )

    def of_table(self, table: Table) -> Callable[[Any, int], int]:
        """`mem_mb` of the rule of a table."""
        return self.request(lambda _: self.table_mb(table))
