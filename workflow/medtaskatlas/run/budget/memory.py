"""What jobs hold in memory: `mem_mb` of the rules and `medtaskatlas plan` go by it.

Each number is what grows with the run, measured on the folder run's 57,700 embeddings of up to
3,840 numbers; a job has its libraries besides. Tables read one encoder at a time, all of its
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from medtaskatlas.atlas.registry import Table
from medtaskatlas.run.budget.counts import EMBEDDING_ROW_BYTES, Counts
from medtaskatlas.run.budget.medformer import ArmTraining, PretrainingRun, all_arms, pictures
from medtaskatlas.run.budget.multitask import Trainings, all_trainings
from medtaskatlas.run.medformer import ArmRun
from medtaskatlas.run.studies import UNSEEN_TASKS

# Of a query as one method of one encoder names it.
NAMED_BYTES = 64
# Of an image's statistics of one target of multi-task systems, as a table reads them.
STATISTICS_BYTES = 800
# Of a task on a dataset as a function: sums over its pairs.
KERNEL_MB = 0.8
# Python with what a table imports.
LIBRARIES_MB = 800


class Memory(Counts):
    """Megabytes that jobs of a run hold."""

    def predict_mb(self, encoder: str) -> float:
        """Naming the tasks of an encoder's pairs."""
        return 1.5 * self.embeddings_mb(encoder)

    def embed_mb(self, encoder: str, set: str = "main") -> float:
        """Embedding: in batches, joined, and as a table."""
        return 3 * self.embeddings_mb(encoder, set)

    def multitask_mb(self, problem: str, system: str) -> float:
        """Training of a multi-task system."""
        return Trainings.of(self, problem, system).memory_mb

    def representation_mb(self, modality: str) -> float:
        """Training of a modality's representation."""
        return Trainings.of_representation(self, modality).memory_mb

    def medformer_mb(self, run: ArmRun) -> float:
        """Training of an arm of Medformer, which is asked for again and again."""
        same = run._replace(seed=0)
        if same not in self._of_arms:
            self._of_arms[same] = ArmTraining(self, same).memory_mb
        return self._of_arms[same]

    def pretraining_mb(self, name: str, scope: str) -> float:
        """Pre-training of Medformer."""
        return PretrainingRun(self, name, scope).memory_mb

    def medformer_pictures_mb(self) -> float:
        """What figures show of Medformer's weights."""
        return pictures(self)[1]

    @cached_property
    def _of_arms(self) -> dict[ArmRun, float]:
        """Trainings that were asked for."""
        return {}

    @cached_property
    def quantities(self) -> dict[str, float]:
        """What tables hold, by the names that their registry has for it."""
        plan = self.plan
        # All seeds of an encoder.
        own = [len(plan.config.seeds_of(e)) * self.embeddings_mb(e) for e in plan.encoders]
        compared = {name for name, _ in plan.compared_runs}
        one_seed = {
            set: max((self.embeddings_mb(name, set) for name in compared), default=0.0)
            for set in ("main", "failure", "trajectory")
        }
        folds = [
            self.held_mb(self.point_pairs(point), point.options)
            for point in plan.points.values()
            if point.study == UNSEEN_TASKS
        ]
        baselines = [self.embeddings_mb(name) for name in plan.named("baseline")]
        n = self.pairs(plan.cells)
        return {
            "encoder": max(own, default=0.0),
            "encoders": sum(own),
            # Neighbours, shuffled neighbours, and two probes.
            "predictions": 4 * len(plan.encoder_runs) * n * NAMED_BYTES / 1e6,
            "cell_matrix": 24e-6 * max(4000, 4 * len(plan.datasets) * len(plan.tasks)) ** 2,
            "compared": one_seed["main"],
            "failures": one_seed["failure"],
            "trajectories": one_seed["trajectory"],
            "folds": max([*folds, *baselines]) if folds else 0.0,
            "statistics": sum(made.rows for made in all_trainings(self)) * STATISTICS_BYTES / 1e6,
            "medformer": sum(made.rows for made in all_arms(self)) * STATISTICS_BYTES / 1e6,
            "pairs": n * EMBEDDING_ROW_BYTES / 1e6,
            "kernels": len(plan.cells) * KERNEL_MB,
        }

    def table_mb(self, table: Table) -> float:
        """Job of a table."""
        return sum(times * self.quantities[name] for name, times in table.memory.items())

    def request(
        self, grows: Callable[[Any], float], least: int = 1500
    ) -> Callable[[Any, int], int]:
        """`mem_mb` of a rule whose wildcards tell what grows; twice that after a kill."""
        return lambda wildcards, attempt: (
            attempt * max(least, round(LIBRARIES_MB + grows(wildcards)))
        )

    def of_table(self, table: Table) -> Callable[[Any, int], int]:
        """`mem_mb` of the rule of a table."""
        return self.request(lambda _: self.table_mb(table))
