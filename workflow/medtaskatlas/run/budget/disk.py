"""What a run takes on the disk: exact for pixels, an upper bound for embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtaskatlas.formats.pairs import SETS
from medtaskatlas.run.budget.counts import Images, pairs_of, stored_sides
from medtaskatlas.run.budget.networks import cost_of
from medtaskatlas.run.budget.stages import download_mb, embeddings_mb, points_mb
from medtaskatlas.run.plan import Plan

# Text of a row of pairs: names, parameters as JSON, offsets; measured on config/embedded.yaml.
ROW_BYTES = 330
# Tables, figures, report and interactive atlas of config/embedded.yaml; they hardly grow.
REST_MB = 45.0


def pair_bytes(plan: Plan, set: str) -> int:
    """Size of the pairs of a set.

    Parameters
    ----------
    plan
        The run.
    set
        main, failure or trajectory.

    Returns
    -------
    int
        Bytes: a side of uint8 pixels a pair, two where failures need both, and its row.
    """
    cells = plan.cells_of(set)
    pixels = 3 * plan.config.image_size**2
    return stored_sides(plan, cells, set) * pixels + pairs_of(plan, cells, set) * ROW_BYTES


def disk_mb(
    plan: Plan, images: Mapping[str, Images], counted: Mapping[str, Any], trainings_at_once: int
) -> dict[str, float]:
    """Size of each part of a run.

    Parameters
    ----------
    plan
        The run.
    images
        Pictures of each dataset.
    counted
        ``networks`` of assumed.json.
    trainings_at_once
        Trainings whose checkpoints lie there together.

    Returns
    -------
    dict of str to float
        Part to megabytes; raw data at most, where sources do not state it.
    """
    side = plan.config.image_size
    weights = [
        cost_of(options, side, counted).parameters * 4 / 1e6 for options in _trained_options(plan)
    ]
    return {
        "raw data": sum(download_mb(plan, name) for name in plan.datasets),
        "images": sum(_image_bytes(plan, name) * n.n for name, n in images.items()) / 1e6,
        **{f"pairs: {name}": pair_bytes(plan, name) / 1e6 for name in SETS if _made(plan, name)},
        "embeddings": sum(
            sum(embeddings_mb(plan, counted, name)) for name in ("main", *plan.described_sets)
        ),
        "studies": sum(points_mb(plan, counted, study) for study in ("unseen_tasks", "scaling")),
        "encoders": sum(weights),
        # Weights and two averages of their gradients.
        "checkpoints": 3 * max(weights, default=0.0) * trainings_at_once,
        "tables, figures, report": REST_MB,
    }


def _made(plan: Plan, set: str) -> bool:
    return set == "main" or set in plan.described_sets


def _trained_options(plan: Plan) -> list[dict[str, Any]]:
    """Options of every network whose weights are written."""
    own = [plan.encoders[name].options() for name, _ in plan.trained_runs]
    return own + [point.options for point in plan.points.values()]


def _image_bytes(plan: Plan, dataset: str) -> int:
    """Size of one prepared picture with its annotation."""
    offers = plan.datasets[dataset].offers
    planes = 3 + ("mask" in offers) + 2 * ("instances" in offers)
    return planes * plan.config.image_size**2


def unstated_downloads(plan: Plan) -> list[str]:
    """Datasets whose size their source does not state.

    Parameters
    ----------
    plan
        The run.

    Returns
    -------
    list of str
        Their names.
    """
    size = plan.config.image_size
    return [name for name, entry in plan.datasets.items() if entry.raw_bytes(size) is None]
