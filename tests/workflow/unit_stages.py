"""One job of every stage of the smoke run, in processes that can be killed at any moment.

``python unit_stages.py SMOKE`` imports everything once, then reads one order a line and forks a
process for it, so that a kill hits work and not imports::

    {"stage": "pairs", "out": "/folder", "kill_after": 0.4}

``kill_after`` (seconds) or ``kill_at`` say when SIGKILL comes: ``"rename"``, when a file is whole
under its temporary name; ``"save"``, the same of the second checkpoint of a training; or after a
step of that. ``steps`` names a file for the time of every step. The answer is how the process ended
and how long it lived.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

from medtaskatlas.atlas import identification, predict
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets import download, prepare
from medtaskatlas.datasets.catalogue import dataset_from_entry
from medtaskatlas.encoders import embed, train
from medtaskatlas.figures import task_distances
from medtaskatlas.learning import history
from medtaskatlas.pairs import sets
from medtaskatlas.run.plan import RunPlan, plan_run
from medtaskatlas.tasks.bank import load_bank

DATASET, TASK = "ct_dicom", "rotation"
# Of a training: long enough for several checkpoints.
STEPS, INTERVAL = 50, 0.25


def run_download(run: RunPlan, out: Path) -> None:
    download.fetch(dataset_from_entry(run.entry(DATASET)), out / "data")


def run_prepare(run: RunPlan, out: Path) -> None:
    config = run.config
    prepare.prepare(
        dataset_from_entry(run.entry(DATASET)),
        Path(run.raw_folder(DATASET)),
        out / f"{DATASET}.arrow",
        image_size=config.image_size,
        limit=config.images_per_dataset,
        splits=config.splits.model_dump(),
        seed=config.seed,
    )


def run_pairs(run: RunPlan, out: Path) -> None:
    sets.make_sets(
        f"{run.results}/images/{DATASET}.arrow",
        load_bank()[TASK],
        {name: out / name / f"{DATASET}.arrow" for name in sets.SETS},
        # As many as a large run has.
        amounts=sets.Amounts(2000, run.config.failures_per_cell, run.config.trajectories_per_cell),
        splits=run.config.splits.model_dump(),
        seed=run.config.seed,
    )


def run_train(run: RunPlan, out: Path, interval: float = INTERVAL) -> None:
    budget = {"steps": STEPS, "checkpoint_seconds": interval}
    train.train(
        run.pair_files(run.training_cells),
        run.image_files(run.training_cells),
        out / "model" / "model.safetensors",
        encoder={**run.encoders["taco"].options(), **budget},
        seed=0,
        checkpoint=out / "checkpoints" / "seed0.safetensors",
        threads=1,
    )


def run_embed(run: RunPlan, out: Path) -> None:
    embed.embed(
        run.pair_files(run.cells),
        run.image_files(run.cells),
        out / "seed0.parquet",
        encoder=run.encoders["taco"].options(),
        model=run.model_file("taco", 0),
        heldout_datasets=run.heldout,
        heldout_tasks=run.config.heldout.tasks,
        threads=1,
        meta={
            "run": run.config.run,
            "encoder": "taco",
            "seed": 0,
            **run.trained_on(run.training_cells),
        },
    )


def run_predict(run: RunPlan, out: Path) -> None:
    predict.predict(
        f"{run.results}/embeddings/taco/seed0.parquet",
        out / "seed0.parquet",
        seed=run.config.seed,
        probes=False,
    )


def run_table(run: RunPlan, out: Path) -> None:
    identification.identification(
        sorted(str(path) for path in Path(run.results, "predictions").glob("*/*.parquet")),
        out / "identification.parquet",
        run=run.config.run,
        format_identifiable=[t.name for t in run.tasks.values() if t.format_identifiable],
        seed=run.config.seed,
    )


def run_figure(run: RunPlan, out: Path) -> None:
    task_distances.task_distances(
        f"{run.results}/tables/task_distances.parquet",
        out / "task_distances.svg",
        out / "task_distances.png",
        encoder="taco",
    )


STAGES: dict[str, Callable[..., None]] = {
    "download": run_download,
    "prepare": run_prepare,
    "pairs": run_pairs,
    "train": run_train,
    "embed": run_embed,
    "predict": run_predict,
    "table": run_table,
    "figure": run_figure,
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_steps(path: Path, last: int | None) -> None:
    """Write down every step of a training and when it was taken; die after the last."""
    append = history.History.append
    steps = path.open("w")

    def noted(self: history.History, loss: Any, parts: Any) -> None:
        append(self, loss, parts)
        steps.write(f"{len(self)} {time.monotonic()}\n")
        steps.flush()
        if len(self) == last:
            die()

    history.History.append = noted  # type: ignore[method-assign]


def set_trap(kind: str) -> None:
    """Let this process die where it hurts most."""
    if kind == "rename":
        Path.replace = lambda self, target: die()  # type: ignore[assignment, method-assign, return-value]
    else:
        replace, saved = Path.replace, []

        def second(self: Path, target: Path) -> Path:
            saved.append(target)
            if len(saved) == 2:
                die()
            return replace(self, target)

        Path.replace = second  # type: ignore[assignment, method-assign]


def live(order: dict[str, Any], run: RunPlan) -> None:
    """What a forked process does; it never comes back."""
    try:
        if "steps" in order:
            note_steps(Path(order["steps"]), order.get("kill_at"))
        elif "kill_at" in order:
            set_trap(order["kill_at"])
        STAGES[order["stage"]](run, Path(order["out"]), **order.get("options", {}))
    except BaseException as error:  # the answer to the order, whatever it was
        print(f"{order['stage']}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def warm_up(run: RunPlan) -> None:
    """Import what the package imports late: no fork should have to."""
    torch.set_num_threads(1)
    for name in ("lightning_fabric", "pandera.pandas", "seaborn", "sklearn.neighbors", "pydicom"):
        import_module(name)
    run.encoders["taco"].network(0)


def wait(pid: int, until: float) -> int:
    """Status of a process, which is killed when its time has come."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]
        time.sleep(0.002)


def main(smoke: Path) -> None:
    os.chdir(smoke)
    run = plan_run(yaml.safe_load((REPOSITORY / "config" / "smoke.yaml").read_text()))
    warm_up(run)
    for line in sys.stdin:
        order = json.loads(line)
        begin = time.monotonic()
        pid = os.fork()
        if pid == 0:
            live(order, run)
        status = wait(pid, begin + order.get("kill_after", math.inf))
        answer = {
            "killed": os.WIFSIGNALED(status),
            "failed": os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0,
            "seconds": time.monotonic() - begin,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
