"""Train one encoder with one seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.files import sha256, write_json
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.pairbank import TrainingRows, training_rows
from medtaskatlas.formats.parquet import write_parquet
from medtaskatlas.learning.checkpoint import Checkpoint, save_tensors
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.history import History
from medtaskatlas.learning.launch import launch
from medtaskatlas.learning.machine import check_machine, set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.learning.processes import Processes

MODULE = "medtaskatlas.encoders.train"


def train(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    model_path: str | Path,
    *,
    encoder: dict[str, Any],
    seed: int,
    checkpoint: str | Path,
    threads: int,
    title: str = "train",
    failure_paths: Sequence[str | Path] = (),
    pairs_per_cell: int | None = None,
    processes: Processes | None = None,
) -> None:
    """Train (or only initialise) an encoder and write model, configuration and history.

    A training that was cut off goes on from its checkpoint and ends with the very same weights.
    With several ``devices`` it starts their processes and waits for them.

    Parameters
    ----------
    pair_paths, image_paths
        Pairs to learn from, of which the training split is used, and their images.
    model_path
        The model.safetensors to make; config.json and history.parquet stand next to it.
    encoder
        Options of the encoder; see :mod:`medtaskatlas.encoders.kinds`.
    seed
        Training seed: initial weights, batches and augmentation.
    checkpoint
        Where the state is kept while training; removed at the end.
    threads
        Threads of torch, of all processes together.
    title
        Name next to the progress bar.
    failure_paths
        Failures of the tasks on the same datasets; needed with the option ``failures`` only.
    pairs_per_cell
        Learn from the pairs with a draw below this only, and validate on all; None: all.
    processes
        Of which this one is; None: start as many as ``devices``.

    Raises
    ------
    ConfigError
        If the options do not fit the pairs or the machine; names the key.
    DataError
        If there is nothing to train on, or the loss is no longer a number.
    SystemExit
        After SIGTERM, once the state is saved: started again, training goes on.
    """
    made = encoder_of(encoder)
    training = made.training()
    if training is not None and processes is None:
        check_machine(training)
        if training.devices > 1:
            arguments = {
                "pair_paths": [str(path) for path in pair_paths],
                "image_paths": [str(path) for path in image_paths],
                "model_path": str(model_path),
                "encoder": made.options(),
                "seed": seed,
                "checkpoint": str(checkpoint),
                "threads": threads,
                "title": title,
                "failure_paths": [str(path) for path in failure_paths],
                "pairs_per_cell": pairs_per_cell,
            }
            launch(f"{MODULE}:train", arguments, training.devices)
            return
    processes = processes or Processes()
    set_up_torch(threads // processes.world)
    options = made.options()
    network = made.network(seed)
    failure_paths = failure_paths if options.get("failures") else ()
    rows = training_rows(pair_paths, image_paths, failure_paths, pairs_per_cell)
    history, score = History(title), "val_accuracy"
    if training is not None:
        files = [*pair_paths, *image_paths, *failure_paths]
        state = Checkpoint(checkpoint, _fingerprint(made, seed, files, pairs_per_cell))
        objective = made.objective(network, rows, seed, processes)
        history, _ = fit(objective, training, state, seed=seed, title=title)
        score = objective.score
    if processes.rank == 0:
        folder = Path(model_path).parent
        write_json(folder / "config.json", _facts(made, seed, rows))
        write_parquet(folder / "history.parquet", history.table(training or Training(), score), {})
        save_tensors(model_path, network.state_dict(), {"encoder": options, "seed": seed})
        Path(checkpoint).unlink(missing_ok=True)


def _facts(made: EncoderKind, seed: int, rows: TrainingRows) -> dict[str, Any]:
    """What config.json says of a training."""
    task, dataset, _ = rows.names(rows.train)
    return {
        "encoder": made.options(),
        "role": made.role,
        "seed": seed,
        "image_size": rows.bank.shape[0],
        "tasks": sorted(set(task)),
        "datasets": sorted(set(dataset)),
        "n_pairs": len(rows.train),
        "torch": torch.__version__,
        "code": code_hash(MODULE, type(made).__module__),
    }


def _fingerprint(
    made: EncoderKind, seed: int, files: Sequence[str | Path], pairs_per_cell: int | None
) -> str:
    """Hash of all that decides the weights: options, seed, data and code."""
    # When to save decides nothing.
    options = {k: v for k, v in made.options().items() if k != "checkpoint_seconds"}
    parts = [json.dumps(options, sort_keys=True), str(seed), str(pairs_per_cell)]
    parts += [torch.__version__, code_hash(MODULE, type(made).__module__)]
    parts += [sha256(file) for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
