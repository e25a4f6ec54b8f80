"""Pictures, pairs, embeddings and bytes of a run, as far as they are known before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medtaskatlas.formats.pairs import SETS
from medtaskatlas.run.budget.networks import Cost, cost_of
from medtaskatlas.run.plan import RunPlan
from medtaskatlas.run.studies import SCALING, UNSEEN_TASKS, Point

Cells = Iterable[tuple[str, str]]

ASSUMED = Path(__file__).parent / "assumed.json"
# Text of a row of pairs, and names and numbers beside an embedding; measured on the embedded run.
PAIR_ROW_BYTES = 330
EMBEDDING_ROW_BYTES = 200
# Tables, figures, report and interactive atlas of config/embedded.yaml; they hardly grow.
REST_MB = 45.0


def assumed() -> dict[str, Any]:
    """Assumptions, and what was counted once: ``networks``, ``gpus`` and speeds."""
    return dict(json.loads(ASSUMED.read_text()))


@dataclass(frozen=True)
class Images:
    """Number of prepared pictures of a dataset: published, measured, prepared or assumed."""

    n: int
    known: str


@dataclass(frozen=True)
class Counts:
    """Counts of a run."""

    plan: RunPlan
    measured: Mapping[str, int]  # dataset of the packages to pictures that were prepared of it

    @cached_property
    def networks(self) -> dict[str, Any]:
        """What networks without a formula cost."""
        return dict(assumed()["networks"])

    @property
    def megapixels(self) -> float:
        """Of one picture."""
        return float(self.plan.config.image_size**2 / 1e6)

    @cached_property
    def images(self) -> dict[str, Images]:
        """Pictures of each dataset; of a folder of the user's own as many as a cell has pairs."""
        return {name: self._images(name) for name in self.plan.datasets}

    def _images(self, name: str) -> Images:
        dataset, config = self.plan.datasets[name], self.plan.config
        if dataset.n_images is not None:
            n, known = dataset.n_images, "published"
        elif dataset.source == "embedded" and name in self.measured:
            n, known = self.measured[name], "measured"
        else:
            n, known = config.pairs_per_cell, "assumed"
        return Images(min(n, config.images_per_dataset or n), known)

    def pairs(self, cells: Cells, set: str = "main", most: int | None = None) -> int:
        """Pairs of some cells, of which at most so many main pairs of each learn.

        At most so many: a dataset with few usable pictures has fewer trajectories.
        """
        config = self.plan.config
        each = {
            "main": config.pairs_per_cell,
            "failure": config.failures_per_cell,
            "trajectory": config.trajectories_per_cell * config.trajectory_levels,
        }[set]
        if most is not None:
            learn = round(each * config.splits.train)
            each += min(learn, most) - learn
        return len(list(cells)) * each

    def stored_sides(self, cells: Cells, set: str) -> int:
        """Sides of pairs that are stored: the others are prepared images.

        One a pair, or two where failures of a task have neither side in common with the image.
        """
        tasks = self.plan.made_tasks
        return sum(
            self.pairs([cell], set)
            * (2 if set == "failure" and tasks[cell[0]].stored_side == "input" else 1)
            for cell in cells
        )

    def pixels_mb(self, cells: Cells, set: str) -> float:
        """Stored pixels of the pairs of some cells, uint8."""
        return self.stored_sides(cells, set) * 3 * self.megapixels

    def pairs_mb(self, set: str) -> float:
        """Size of the files of a set of pairs."""
        cells = self.plan.cells_of(set)
        return self.pixels_mb(cells, set) + self.pairs(cells, set) * PAIR_ROW_BYTES / 1e6

    def cost(self, options: Mapping[str, Any]) -> Cost:
        """Cost of an encoder on one pair."""
        return cost_of(options, self.plan.config.image_size, self.networks)

    def vectors_mb(self, n: int, options: Mapping[str, Any]) -> float:
        """Size of embeddings as float32."""
        return n * self.cost(options).features * 4 / 1e6

    def held_mb(self, n: int, options: Mapping[str, Any]) -> float:
        """Embeddings in memory, with the names of their pairs."""
        return self.vectors_mb(n, options) + n * EMBEDDING_ROW_BYTES / 1e6

    def embeddings_mb(self, encoder: str, set: str = "main") -> float:
        """Size of the embeddings of a set by an encoder with one seed, as float32."""
        n = self.pairs(self.plan.cells_of(set), set)
        return self.vectors_mb(n, self.plan.encoders[encoder].options())

    def point_pairs(self, point: Point) -> int:
        """Pairs that a point of a study embeds."""
        return self.pairs(point.embedded_cells, "main", point.pairs_per_cell)

    def study_mb(self, *studies: str) -> float:
        """Size of the embeddings of all points of studies."""
        points = [point for point in self.plan.points.values() if point.study in studies]
        return sum(self.vectors_mb(self.point_pairs(p), p.options) for p in points)

    def download_mb(self, dataset: str) -> float:
        """Size of what is fetched; without compression where the source does not state it."""
        return self.plan.datasets[dataset].most_raw_bytes(self.plan.config.image_size) / 1e6

    @property
    def unstated_downloads(self) -> list[str]:
        """Datasets whose source does not state a size."""
        size = self.plan.config.image_size
        return [name for name, d in self.plan.datasets.items() if d.raw_bytes(size) is None]

    def disk_mb(self, trainings_at_once: int) -> dict[str, float]:
        """Size of each part of a run: exact for pixels, at most for embeddings and raw data."""
        plan = self.plan
        trained = [plan.encoders[name].options() for name, _ in plan.trained_runs]
        trained += [point.options for point in plan.points.values()]
        weights = [self.cost(options).parameters * 4 / 1e6 for options in trained]
        embeddings = [self.embeddings_mb(name) for name, _ in plan.encoder_runs]
        for set in plan.described_sets:
            embeddings += [self.embeddings_mb(name, set) for name, _ in plan.described_runs]
        return {
            "raw data": sum(map(self.download_mb, plan.datasets)),
            "images": sum(self._planes(d) * self.megapixels * n.n for d, n in self.images.items()),
            **{
                f"pairs: {set}": self.pairs_mb(set)
                for set in SETS
                if set == "main" or set in plan.described_sets
            },
            "embeddings": sum(embeddings),
            "studies": self.study_mb(UNSEEN_TASKS, SCALING),
            "encoders": sum(weights),
            # Weights and two averages of their gradients.
            "checkpoints": 3 * max(weights, default=0.0) * trainings_at_once,
            "tables, figures, report": REST_MB,
        }

    def _planes(self, dataset: str) -> int:
        """Bytes a pixel of a prepared picture with its annotation."""
        offers = self.plan.datasets[dataset].offers
        return 3 + ("mask" in offers) + 2 * ("instances" in offers)
