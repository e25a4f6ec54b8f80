"""Learn one representation a modality by denoising: the first stage of UMS-Rep."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from medtaskatlas.learning.checkpoint import save_tensors
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.multitask.training import Job, clear
from medtaskatlas.problems.problem import COMPANION


def represent(job: Job, out: str | Path, *, states: str | Path, threads: int) -> None:
    """Train an encoder and a decoder that denoise all training images of a modality.

    Annotation is not read. The learning rate is the middle one of the grid, as the second stage has
    its own choice.

    Parameters
    ----------
    job
        Its problem has the one target :data:`COMPANION`, and all datasets of a modality.
    out
        seed<k>.safetensors; its facts hold the ``cost``.
    states
        Folder in which the state is kept.
    threads
        Threads of torch.
    """
    set_up_torch(threads)
    rates = sorted(job.options.rates)
    trained = job.train(
        job.data(-1),
        [COMPANION],
        Path(states),
        learning_rate=rates[len(rates) // 2],
        title=f"representation of {job.problem.name} seed {job.seed}",
    )
    facts = {
        "cost": asdict(trained.cost),
        "modality": job.problem.name,
        "datasets": list(job.problem.datasets),
        "steps": trained.best_step,
        "validation": trained.score,
    }
    save_tensors(out, trained.network.state_dict(), facts)
    clear(states)
