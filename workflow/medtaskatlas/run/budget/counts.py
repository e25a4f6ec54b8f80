"""Pictures, pairs, embeddings and bytes of a run, as far as they are known before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medtaskatlas.formats.pairs import SETS
from medtaskatlas.run.budget.medformer import Adapting, all_arms, all_pretrainings
from medtaskatlas.run.budget.multitask import all_trainings
from medtaskatlas.run.budget.networks import ASSUMED, Cost, cost_of
from medtaskatlas.run.plan import RunPlan
from medtaskatlas.run.studies import Point

Cells = Iterable[tuple[str, str]]

# Text of a row of pairs, and names and numbers with an embedding; measured on the embedded run.
PAIR_ROW_BYTES = 330
EMBEDDING_ROW_BYTES = 200
# Tables, figures, report and interactive atlas of config/embedded.yaml; they hardly grow.
REST_MB = 45.0


class Counts:
    """Counts of a run; ``measured`` are prepared pictures of datasets that do not state theirs."""

    def __init__(self, plan: RunPlan, measured: Mapping[str, int] | None = None) -> None:
        self.plan = plan
        self.measured = dict(measured or {})
        self.megapixels = plan.config.image_size**2 / 1e6

    def images(self, name: str) -> int:
        """Pictures of a dataset: published or measured, else as many as a cell has pairs."""
        config = self.plan.config
        stated = self.plan.datasets[name].n_images
        n = self.measured.get(name, config.pairs_per_cell) if stated is None else stated
        return min(n, config.images_per_dataset or n)

    def volumes(self, name: str) -> float:
        """Volumes of a dataset: published, of which a cap on images leaves as large a share."""
        found = self.plan.datasets[name]
        if found.n_volumes is None or not found.n_images:
            return self.images(name)
        return self.images(name) * found.n_volumes / found.n_images

    def pairs(self, cells: Cells, set: str = "main", most: int | None = None) -> int:
        """Pairs of some cells, at most, with ``most`` main pairs of each to learn from."""
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

    def pixels_mb(self, cells: Cells, set: str) -> float:
        """Stored pixels of the pairs of some cells, uint8."""
        tasks = self.plan.pair_tasks
        # One side of a pair is a prepared image, but for failures of tasks that store the input.
        sides = sum(
            self.pairs([cell], set)
            * (2 if set == "failure" and tasks[cell[0]].stored_side == "input" else 1)
            for cell in cells
        )
        return sides * 3 * self.megapixels

    def pairs_mb(self, set: str) -> float:
        """Size of the files of a set of pairs."""
        cells = self.plan.cells_of(set)
        return self.pixels_mb(cells, set) + self.pairs(cells, set) * PAIR_ROW_BYTES / 1e6

    def cost(self, options: Mapping[str, Any]) -> Cost:
        """Cost of an encoder on one pair."""
        return cost_of(options, self.plan.config.image_size, ASSUMED["networks"])

    def vectors_mb(self, n: int, options: Mapping[str, Any]) -> float:
        """Size of embeddings as float32."""
        return n * self.cost(options).features * 4 / 1e6

    def held_mb(self, n: int, options: Mapping[str, Any]) -> float:
        """Embeddings in memory, with the names of their pairs."""
        return self.vectors_mb(n, options) + n * EMBEDDING_ROW_BYTES / 1e6

    def embeddings_mb(self, encoder: str, set: str = "main") -> float:
        """Embeddings of a set by an encoder with one seed, with the names of their pairs."""
        n = self.pairs(self.plan.cells_of(set), set)
        return self.held_mb(n, self.plan.encoders[encoder].options())

    def point_pairs(self, point: Point) -> int:
        """Pairs that a point of a study embeds."""
        return self.pairs(point.embedded_cells, "main", point.pairs_per_cell)

    @property
    def volume_datasets(self) -> list[str]:
        """Datasets whose volumes the target `all` needs."""
        multitask, medformer = self.plan.multitask, self.plan.medformer
        wanted = [*(multitask.volume_datasets if multitask else ())]
        wanted += medformer.volume_datasets if medformer else ()
        return list(dict.fromkeys(wanted))

    @property
    def raw_mb(self) -> dict[str, float]:
        """Size of what is fetched to each place; without compression where it is not stated."""
        plan, config = self.plan, self.plan.config
        wanted = [(name, config.image_size_of(name)) for name in plan.datasets]
        sized = [(name, config.volume_size_of(name)) for name in self.volume_datasets]
        wanted += [(name, side) for name, side in sized if side is not None]
        return {
            plan.place(name, side): plan.datasets[name].most_raw_bytes(side) / 1e6
            for name, side in wanted
        }

    def image_megapixels(self, dataset: str) -> float:
        """Pixels of a prepared picture of a dataset."""
        return self.plan.config.image_size_of(dataset) ** 2 / 1e6

    def images_mb(self, dataset: str) -> float:
        """Prepared pictures of a dataset."""
        return self._planes(dataset) * self.image_megapixels(dataset) * self.images(dataset)

    def volumes_mb(self, dataset: str) -> float:
        """Prepared volumes of a dataset."""
        side, masked = self.plan.config.volume_size_of(dataset), self.plan.datasets[dataset].classes
        return (1 + bool(masked)) * (side or 0) ** 3 / 1e6 * self.volumes(dataset)

    def disk_mb(self, trainings_at_once: int) -> dict[str, float]:
        """Size of each part of a run: exact for pixels, at most for embeddings and raw data."""
        plan, points = self.plan, self.plan.points.values()
        trained = [plan.encoders[name].options() for name, _ in plan.trained_runs]
        trained += [point.options for point in points]
        weights = [self.cost(options).parameters * 4 / 1e6 for options in trained]
        multitask = list(all_trainings(self))
        medformer: list[Adapting] = [*all_arms(self), *all_pretrainings(self)]
        at_work = [*weights, *(made.weights_mb for made in multitask)]
        at_work += [made.weights_mb for made in medformer]
        embeddings = [self.embeddings_mb(name) for name, _ in plan.encoder_runs]
        for set in plan.extra_sets:
            embeddings += [self.embeddings_mb(name, set) for name, _ in plan.compared_runs]
        sets = [set for set in SETS if set == "main" or set in plan.extra_sets]
        return {
            "raw data": sum(self.raw_mb.values()),
            "images": sum(map(self.images_mb, plan.datasets)),
            "volumes": sum(map(self.volumes_mb, self.volume_datasets)),
            **{f"pairs: {set}": self.pairs_mb(set) for set in sets},
            "embeddings": sum(embeddings),
            "studies": sum(self.held_mb(self.point_pairs(p), p.options) for p in points),
            "encoders": sum(weights),
            "multi-task": sum(trainings.file_mb for trainings in multitask),
            "Medformer": sum(made.file_mb for made in medformer),
            # Weights and two averages of their gradients.
            "checkpoints": 3 * max(at_work, default=0.0) * trainings_at_once,
            "tables, figures, report": REST_MB,
        }

    def _planes(self, dataset: str) -> int:
        """Bytes a pixel of a prepared picture with its annotation."""
        found = self.plan.datasets[dataset]
        # A map has a float32 and whether it is valid.
        annotated = ("mask" in found.offers) + 2 * ("instances" in found.offers)
        return 3 + annotated + 5 * len(found.maps)
