"""By how much the probability of the true class falls where a place of an image is hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medtaskatlas.formats.multitask_examples import example_images
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.medformer.adaptation import forward_of
from medtaskatlas.medformer.pictures.planes import MAP, NUMBER, PICTURE, TEXT, flat, write_rows
from medtaskatlas.medformer.train import Job
from medtaskatlas.problems.targets.target import Target

IMAGES = 3  # of a set
# Places that are hidden along an axis of a picture and of a volume, at most; and at a time.
PLACES = {2: 14, 3: 7}
BATCH = 64


def write_occlusions(
    out: str | Path,
    paths: Mapping[str, str | Path],
    trained: Mapping[str, Sequence[tuple[Job, str | Path]]],
) -> None:
    """Write occlusions.arrow.

    Parameters
    ----------
    out
        The file.
    paths
        Prepared file of every set.
    trained
        Set to the arms that were trained on it alone, with their weights.
    """
    arms = list(dict.fromkeys(job.name for jobs in trained.values() for job, _ in jobs))
    empty = {"dataset": TEXT, "image_id": TEXT, "image": PICTURE, "true": TEXT}
    empty |= {f"probability.{arm}": NUMBER for arm in arms} | {f"fall.{arm}": MAP for arm in arms}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name, jobs in trained.items():
        for job, weights in jobs:
            for image_id, row in _of_arm(job, paths[name], weights):
                rows.setdefault((name, image_id), {"dataset": name, "image_id": image_id}).update(
                    row
                )
    write_rows(out, list(rows.values()), empty, {"arms": arms})


def _of_arm(
    job: Job, path: str | Path, weights: str | Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Columns of one arm for a few test images of its set, chosen by hash."""
    (one,) = job.sets([path])
    network = job.model([one], None)
    network.load_state_dict(load_tensors(weights)[0])
    network.eval()
    target = next((t for t in one.targets.values() if _is_class(t)), None)
    if target is None:
        return
    one.data.open_test()
    names = [(one.name, name.partition("/")[2]) for name in one.data.names("test")]
    only = {"/".join(name) for name in example_images(one.name, names, IMAGES)}
    forward = forward_of(network, one)

    def say(images: torch.Tensor) -> np.ndarray:
        rows = {target.name: torch.arange(len(images))}
        return target.prediction(forward(images, rows)[target.name].float())

    for batch in one.data.evaluation("test", [target.name], only=only):
        truths = target.shown(batch.truths[target.name])
        for truth, row in zip(truths, batch.rows[target.name].tolist(), strict=True):
            image = batch.images[row]
            # Of several findings the surest of those that are there.
            whole = np.where(truth == 1, say(image[None])[0], -1)
            true = int(whole.argmax())
            if whole[true] < 0:
                continue
            fall = whole[true] - occluded(image, partial(_probability, say, true))
            yield (
                batch.names[row].partition("/")[2],
                {
                    "image": flat(image),
                    "true": target.facts()["classes"][true],
                    f"probability.{job.name}": whole[true],
                    f"fall.{job.name}": fall if fall.ndim == 2 else fall[len(fall) // 2],
                },
            )


def occluded(image: torch.Tensor, say: Callable[[torch.Tensor], np.ndarray]) -> np.ndarray:
    """What is said of an image where each place is hidden: float32 [*S].

    Parameters
    ----------
    image
        Float [C, *S]. A hidden place has the image's mean.
    say
        Numbers [n] of images float [n, C, *S].
    """
    size = image.shape[1:]
    edges = [
        np.linspace(0, side, min(side, PLACES[len(size)]) + 1).round().astype(int) for side in size
    ]
    spans = [[slice(a, b) for a, b in pairwise(e.tolist())] for e in edges]
    places = list(product(*spans))
    mean = image.flatten(1).mean(dim=1).reshape(-1, *[1] * len(size))
    found = np.zeros(tuple(size), np.float32)
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        hidden = image.repeat(len(some), *[1] * image.ndim)
        for one, place in zip(hidden, some, strict=True):
            one[(slice(None), *place)] = mean
        for place, value in zip(some, say(hidden), strict=True):
            found[place] = value
    return found


def _probability(
    say: Callable[[torch.Tensor], np.ndarray], true: int, images: torch.Tensor
) -> np.ndarray:
    """Probability of one class."""
    return say(images)[:, true]


def _is_class(target: Target) -> bool:
    """Whether a target is one or several of some classes of an image."""
    return target.layout == "vector" and bool(target.facts().get("classes"))
