"""Train one encoder with one seed: supervised contrast between tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow.parquet as pq
import torch

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.files import atomic_write, sha256, write_json
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.taco.ranks import Ranks
from medtaskatlas.encoders.taco.rows import TrainingRows, training_rows
from medtaskatlas.learning.allocator import keep_memory
from medtaskatlas.learning.checkpoint import Resume, save_tensors
from medtaskatlas.learning.history import History
from medtaskatlas.learning.schedule import learning_rate

if TYPE_CHECKING:
    from medtaskatlas.encoders.kind import EncoderKind
    from medtaskatlas.encoders.kinds.taco import Taco


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
) -> None:
    """Train (or only initialise) an encoder and write model, configuration and history.

    A training that was cut off goes on from its checkpoint and ends with the very same weights.
    With several ``devices`` it starts their processes and waits for them.

    Parameters
    ----------
    pair_paths, image_paths
        Pairs to learn from, of which the training split is used, and their images.
    model_path
        The model.safetensors to make; config.json and history.parquet stand beside it.
    encoder
        Options of the encoder; see :mod:`medtaskatlas.encoders.kinds`.
    seed
        Training seed: initial weights, batches and augmentation.
    checkpoint
        Where the state is kept while training; removed at the end.
    threads
        Threads of torch, of all processes together.
    title
        Name beside the progress bar.
    failure_paths
        Failures of the tasks on the same datasets; needed with the option ``failures`` only.
    pairs_per_cell
        Learn from the pairs with a draw below this only; None for all.

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
    arguments: dict[str, Any] = {
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
    if _is_trained(made):
        from medtaskatlas.encoders.taco.machine import check_machine

        options = cast("Taco", made)
        check_machine(options)
        if options.devices > 1:
            from medtaskatlas.encoders.taco.launch import launch

            launch(arguments, options.devices)
            return
    train_here(**arguments, ranks=Ranks())


def train_here(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    model_path: str | Path,
    *,
    encoder: dict[str, Any],
    seed: int,
    checkpoint: str | Path,
    threads: int,
    title: str,
    failure_paths: Sequence[str | Path],
    pairs_per_cell: int | None,
    ranks: Ranks,
) -> None:
    """Train in this process; see :func:`train`.

    Parameters
    ----------
    pair_paths, image_paths, model_path, encoder, seed, checkpoint, threads, title
        As of :func:`train`.
    failure_paths, pairs_per_cell
        As of :func:`train`.
    ranks
        Which process this is, of how many; the first one writes.
    """
    keep_memory()
    torch.set_num_threads(max(1, threads // ranks.world))
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be written shows mistakes and costs a fifth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    made = encoder_of(encoder)
    options = made.options()
    network = made.network(seed)
    failure_paths = failure_paths if options.get("failures") else ()
    rows = training_rows(pair_paths, image_paths, failure_paths, pairs_per_cell)
    history = History(title)
    if _is_trained(made):
        from medtaskatlas.encoders.taco.optimise import optimise

        files = [*pair_paths, *image_paths, *failure_paths]
        fingerprint = _fingerprint(made, seed, files, pairs_per_cell)
        history = optimise(
            network,
            rows,
            cast("Taco", made),
            Resume(checkpoint, fingerprint),
            seed=seed,
            title=title,
            ranks=ranks,
        )
    if ranks.rank == 0:
        folder = Path(model_path).parent
        write_json(folder / "config.json", _facts(made, seed, rows))
        _write_history(folder / "history.parquet", history, options)
        save_tensors(model_path, network.state_dict(), {"encoder": options, "seed": seed})
        Path(checkpoint).unlink(missing_ok=True)


def _is_trained(made: EncoderKind) -> bool:
    """Whether there is anything to optimise."""
    return made.learns and cast("Taco", made).steps > 0


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
        "code": code_hash("medtaskatlas.encoders.train"),
    }


def _write_history(path: Path, history: History, options: dict[str, Any]) -> None:
    """Write losses, rates and looks."""

    def rate(step: int) -> float:
        return learning_rate(step, options["steps"], options["learning_rate"], options["warmup"])

    with atomic_write(path) as part:
        pq.write_table(history.table(rate), part)


def _fingerprint(
    made: EncoderKind, seed: int, files: Sequence[str | Path], pairs_per_cell: int | None
) -> str:
    """Hash of all that decides the weights: options, seed, data and code."""
    # When to save decides nothing.
    options = {k: v for k, v in made.options().items() if k != "checkpoint_seconds"}
    parts = [json.dumps(options, sort_keys=True), str(seed), str(pairs_per_cell)]
    parts += [torch.__version__, code_hash("medtaskatlas.encoders.train", type(made).__module__)]
    parts += [sha256(file) for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
