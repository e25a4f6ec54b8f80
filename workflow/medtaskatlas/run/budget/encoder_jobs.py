"""The jobs of one encoder: training, embedding, prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.run.budget.counts import pixels_mb
from medtaskatlas.run.budget.job import Job
from medtaskatlas.run.budget.networks import Cost, cost_of
from medtaskatlas.run.plan import Plan


def megabytes(n: int, cost: Cost) -> float:
    """Size of embeddings as float32.

    Parameters
    ----------
    n
        How many.
    cost
        Of the network that makes them.

    Returns
    -------
    float
        Megabytes.
    """
    return n * cost.features * 4 / 1e6


# Names and numbers beside an embedding; measured on embeddings of config/embedded.yaml.
ROW_BYTES = 200


def held_mb(n: int, size: float) -> float:
    """Memory of embeddings with what is known of their pairs.

    Parameters
    ----------
    n
        How many rows.
    size
        Of the embeddings, MB.

    Returns
    -------
    float
        Megabytes.
    """
    return size + n * ROW_BYTES / 1e6


@dataclass(frozen=True)
class EncoderJobs:
    """The jobs of one encoder of a run.

    Attributes
    ----------
    plan
        The run.
    kind
        The encoder.
    options
        Its options, or those of a point of a study.
    counted
        ``networks`` of assumed.json.
    """

    plan: Plan
    kind: EncoderKind
    options: Mapping[str, Any]
    counted: Mapping[str, Any]

    @cached_property
    def cost(self) -> Cost:
        """Cost of one pair."""
        return cost_of(self.options, self.plan.config.image_size, self.counted)

    @property
    def key(self) -> str:
        """What its rates are known by."""
        if not self.kind.learns:
            return str(self.options["kind"])
        steady = "/steady" if self.options.get("steadiness") else ""
        return f"{self.options['kind']}/{self.options['fusion']}{steady}"

    @property
    def _pair_mb(self) -> float:
        """Pixels of both sides of a pair."""
        return 2 * 3 * self.plan.config.image_size**2 / 1e6

    def train(self, cells: list[tuple[str, str]], rule: str, benchmark: str) -> Job:
        """Its training.

        Parameters
        ----------
        cells
            (task, dataset) that it learns from.
        rule
            Name of the rule.
        benchmark
            Its file below benchmarks/.

        Returns
        -------
        Job
            In TFLOP: backward is twice forward, and a multiplication with its addition is two.
        """
        batch = self.options.get("batch_tasks", 0) * self.options.get("batch_images", 0)
        seen = self.options.get("steps", 0) * batch
        tflop = seen * self.cost.macs * 6 / 1e12
        return Job(
            rule,
            "train",
            f"train/{self.key}",
            tflop,
            batch * self.cost.activations * 4 / 1e6,
            benchmark,
            threads=self.plan.config.torch_threads,
            gpu=self.kind.learns,
            gpu_tflop=tflop,
            gpu_mb=seen * self._pair_mb,
            mapped_mb=pixels_mb(self.plan, cells, "main") if seen else 0,
        )

    def embed(
        self, n: int, cells: list[tuple[str, str]], set: str, rule: str, benchmark: str
    ) -> Job:
        """Its embedding of some pairs.

        Parameters
        ----------
        n
            How many pairs.
        cells, set
            (task, dataset) that they are of, and main, failure or trajectory.
        rule, benchmark
            As for :meth:`train`.

        Returns
        -------
        Job
            In TFLOP, or for features without a network in millions of pixels.
        """
        network = self.kind.is_network
        tflop = n * self.cost.macs * 2 / 1e12
        return Job(
            rule,
            "embed",
            f"embed/network/{self.key}" if network else f"embed/features/{self.key}",
            tflop if network else n * self.plan.config.image_size**2 / 1e6,
            # In batches, joined, and as a table.
            3 * megabytes(n, self.cost),
            benchmark,
            # As the rules have it: what has no weights of the run takes one.
            threads=self.plan.config.torch_threads if self.kind.has_weights else 1,
            gpu=network,
            gpu_tflop=tflop,
            gpu_mb=n * self._pair_mb if network else 0,
            mapped_mb=pixels_mb(self.plan, cells, set),
        )

    def predict(self, n: int, rule: str, benchmark: str, *, probes: bool) -> Job:
        """Its naming of the tasks of some pairs.

        Parameters
        ----------
        n
            How many pairs.
        rule, benchmark
            As for :meth:`train`.
        probes
            Whether supervised probes are fitted beside the neighbours.

        Returns
        -------
        Job
            In megabytes of embeddings.
        """
        mb = megabytes(n, self.cost)
        key = f"predict/{'probes' if probes else 'neighbours'}"
        return Job(rule, "tables", key, mb, 1.5 * held_mb(n, mb), benchmark)
