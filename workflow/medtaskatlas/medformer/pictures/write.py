"""Write all that figures show of the weights of a run's first trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.medformer.options import Medformer as Section
from medtaskatlas.medformer.options import percent
from medtaskatlas.medformer.pictures.latents import write_latents
from medtaskatlas.medformer.pictures.occlude import write_occlusions
from medtaskatlas.medformer.pictures.reconstruct import pretrained, write_reconstructions
from medtaskatlas.medformer.train import Job

Params = Mapping[str, Any]


def write_pictures(
    files: Sequence[str | Path],
    weights: Mapping[str, Sequence[str | Path]],
    outs: Mapping[str, str | Path],
    *,
    shown: Params,
    split_seed: int,
    threads: int,
) -> None:
    """Write reconstructions, occlusions and latents.

    Parameters
    ----------
    files
        Prepared files of all sets that are needed.
    weights
        Weights of the ``pretraining``, of the model for all sets (``together``), and of arms on
        single sets (``alone``), in the order of ``shown``.
    outs
        Files ``reconstructions``, ``occlusions`` and ``latents``.
    shown
        What these trainings are, see ``run.medformer``.
    split_seed
        The run's.
    threads
        Threads of torch.
    """
    set_up_torch(threads)
    paths = {str(ArrowFile(path).meta["dataset"]): path for path in files}
    before, objective = shown["pretraining"], None
    if before:
        options = Section.model_validate(before["options"])
        seen, (path,) = [paths[name] for name in before["sets"]], weights["pretraining"]
        objective = pretrained(seen, path, options, before["name"], before["seed"])
    facts = {"pretraining": before["name"], "seed": before["seed"]} if before else {}
    write_reconstructions(outs["reconstructions"], objective, facts)

    trained: dict[str, list[tuple[Job, str | Path]]] = {}
    for params, path in zip(shown["alone"], weights["alone"], strict=True):
        job = Job.of(params, seed=params["seed"], split_seed=split_seed)
        trained.setdefault(next(iter(job.targets)), []).append((job, path))
    write_occlusions(outs["occlusions"], paths, trained)

    model, learned, facts = None, None, {}
    for params, path in zip(shown["together"], weights["together"], strict=True):
        job = Job.of(params, seed=params["seed"], split_seed=split_seed)
        model = job.model(job.sets([paths[name] for name in job.targets]), None)
        model.load_state_dict(load_tensors(path)[0])
        facts = {"arm": job.name, "labels": percent(job.share), "seed": job.seed}
        if objective and job.arm.start == before["name"]:
            learned = objective.model
    write_latents(outs["latents"], model, learned, facts)
