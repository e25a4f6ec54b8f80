"""Train one multi-task system on one problem with one seed, and evaluate it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import write_json
from medtaskatlas.formats.multitask import SCHEMA, write_multitask_predictions
from medtaskatlas.formats.multitask_training import (
    CONFIG_FORMAT,
    read_trials,
    write_cost,
    write_history,
)
from medtaskatlas.learning.checkpoint import load_tensors, save_tensors
from medtaskatlas.learning.cost import Cost
from medtaskatlas.learning.machine import pick_device, set_up_torch
from medtaskatlas.multitask.examples import Examples
from medtaskatlas.multitask.training import Job, Trained, clear, forward_of, total
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.evaluate import evaluate


def train_system(
    job: Job,
    trials_path: str | Path,
    model_path: str | Path,
    *,
    run: str,
    states: str | Path,
    threads: int,
) -> None:
    """Train a system and write its files.

    The test split of a fold is read after all trainings of the fold have ended. What was cut off
    goes on from its checkpoint.

    Parameters
    ----------
    job
        The system and the problem.
    trials_path
        trials.json of the system, which says what was chosen.
    model_path
        model.safetensors; config.json, history.parquet, predictions.parquet, cost.json and
        examples.arrow stand next to it.
    run
        Name of the run.
    states
        Folder in which states are kept.
    threads
        Threads of torch.

    Raises
    ------
    ConfigError, DataError
        If the problem does not fit its files, or a loss is no number; says what to do.
    SystemExit
        After SIGTERM, once the state is saved.
    """
    set_up_torch(threads)
    out, trials = Path(model_path).parent, read_trials(trials_path)
    tensors: dict[str, torch.Tensor] = {}
    parts: list[pa.Table] = []
    facts: list[dict[str, Any]] = []
    costs: list[tuple[list[str], int, Cost]] = []
    histories = []
    examples = Examples(job)
    targets: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    for fold in job.folds:
        data = job.data(fold)
        trained = []
        for names in job.trainings:
            rate, weights = chosen(trials, names, fold, job.options.rates)
            trained.append(
                job.train(data, names, Path(states), learning_rate=rate, weights=weights)
            )
            facts.append(
                {
                    "fold": fold,
                    "targets": names,
                    "learning_rate": rate,
                    "weights": weights,
                    "best_step": trained[-1].best_step,
                    "steps": len(trained[-1].history),
                    "validation": trained[-1].score,
                }
            )
        data.open_test()
        for i, one in enumerate(trained):
            one.network.to(pick_device())
            tensors |= {f"{fold}.{i}.{k}": v for k, v in one.network.state_dict().items()}
            parts += [_predictions(job, run, data, one, split) for split in ("val", "test")]
            examples.add(data, one)
            costs.append((one.targets, fold, one.cost))
            history = one.history.table(one.options, "val_score")
            histories.append((one.targets, fold, history))
        notes[str(fold)] = data.notes()
        targets[str(fold)] = {name: target.facts() for name, target in data.targets.items()}
    config = {
        "format": CONFIG_FORMAT,
        "problem": job.problem.facts(),
        "name": job.name,
        "network": job.network_options.model_dump(mode="json"),
        "options": job.options.model_dump(mode="json", exclude={"problems"}),
        "channels": data.channels,
        "size": list(data.size),
        **data.images.preparation(),
        "targets": targets,
        "trainings": facts,
        "notes": notes,
        "seed": job.seed,
        "torch": torch.__version__,
    }
    write_json(out / "config.json", config)
    write_history(out / "history.parquet", histories, {"seed": job.seed, "system": job.name})
    write_multitask_predictions(
        out / "predictions.parquet",
        pa.concat_tables(parts),
        {"run": run, "system": job.system.model_dump(mode="json"), "targets": targets},
    )
    # Networks of other folds are the same ones once more.
    parameters = sum(cost.parameters for _, fold, cost in costs if fold == job.folds[0])
    write_cost(
        out / "cost.json",
        total={**asdict(total([cost for *_, cost in costs])), "parameters": parameters},
        trainings=[{"targets": t, "fold": f, **asdict(cost)} for t, f, cost in costs],
        tuning=asdict(total([Cost(**trial["cost"]) for trial in trials])),
        pretraining=_pretraining(job),
    )
    examples.write(out / "examples.arrow")
    save_tensors(out / "model.safetensors", tensors, {"system": job.name, "seed": job.seed})
    clear(states)


def chosen(
    trials: Sequence[dict[str, Any]], targets: list[str], fold: int, rates: Sequence[float]
) -> tuple[float, dict[str, float] | None]:
    """Learning rate and weights that were chosen for a training; the only rate where none was."""
    of_training = [t for t in trials if t["targets"] == targets and t["fold"] == fold]
    if not of_training and len(rates) == 1:
        return rates[0], None
    try:
        trial = next(trial for trial in of_training if trial["chosen"])
    except StopIteration:
        raise DataError(
            f"no trial of {', '.join(targets)} (fold {fold}) was chosen",
            "delete trials.json of the system and start the run again",
        ) from None
    return trial["learning_rate"], trial["weights"]


def _predictions(job: Job, run: str, data: ProblemData, one: Trained, split: str) -> pa.Table:
    """Statistics of a split."""
    rows = evaluate(data, split, forward_of(one.network), one.targets)
    n = len(rows["target"])
    pairs = job.system.system == "pairs"
    other = {a: b for a in one.targets for b in one.targets if a != b} if pairs else {}
    constant = {
        "run": run,
        "problem": job.problem.name,
        "system": job.name,
        "weighting": job.system.weighting,
        "seed": job.seed,
        "fold": data.fold,
    }
    columns = {name: [value] * n for name, value in constant.items()} | dict(rows)
    columns["beside"] = [other.get(target) for target in rows["target"]]
    columns["statistics"] = [values.tolist() for values in rows["statistics"]]
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in SCHEMA})


def _pretraining(job: Job) -> dict[str, Any] | None:
    """Cost of the representation that it started from."""
    if job.representation is None:
        return None
    cost: dict[str, Any] = load_tensors(job.representation)[1]["cost"]
    return cost
