"""Transfer from sources: networks of one task, or their encoders, as the start of another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.formats.parquet import write_parquet
from medtaskatlas.learning.checkpoint import Checkpoint, load_tensors, save_tensors
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.unet import UNet
from medtaskatlas.transfer.describe import choose
from medtaskatlas.transfer.learning import (
    DoTask,
    Finished,
    Pairs,
    errors,
    fingerprint,
    measured_rows,
)
from medtaskatlas.transfer.options import (
    SCRATCH,
    SHUFFLED,
    UNTRAINED,
    SharedFeatures,
    SourceTraining,
    Starts,
)

MODULE = "medtaskatlas.transfer.warm"
# Starts from scratch, whose mean is what gains are held against: one alone may be lucky.
SCRATCHES = 3


def train_source(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    run: str,
    task: str,
    options: SourceTraining,
    seed: int,
    checkpoint: str | Path,
    threads: int,
) -> None:
    """Train the network of one task on the training pairs of several datasets.

    Parameters
    ----------
    pair_paths, image_paths
        Main pairs of the task on its training datasets (of all tasks, of ``shuffled_outputs``),
        and their images.
    out
        The weights to make: those of a :class:`~medtaskatlas.networks.unet.UNet`.
    run, task
        Name of the run and of the task, or ``shuffled_outputs``.
    options
        Its width, steps, batch and learning rate.
    seed
        Training seed.
    checkpoint
        Where the state is kept while training; removed at the end.
    threads
        Threads of torch.

    Raises
    ------
    DataError
        If there is nothing to train on, or the loss is no longer a number.
    SystemExit
        After SIGTERM, once the state is saved: started again, training goes on.
    """
    set_up_torch(threads)
    sets = _training_sets(pair_paths, image_paths)
    if not sets:
        raise DataError(
            f"transfer: {task} has no pair of a training group",
            "leave it out of the `tasks` of `transfer`, or choose datasets that offer it",
        )
    mixed = task == SHUFFLED

    def batches(step: int) -> Pairs:
        rng = generator(seed, "transfer source", task, step)
        chosen = [sets[i] for i in rng.integers(0, len(sets), options.batch_size)]
        rows = [int(rng.choice(rows)) for _, rows in chosen]
        inputs = np.stack(
            [pairs.side("input", row) for (pairs, _), row in zip(chosen, rows, strict=True)]
        )
        outputs = np.stack(
            [pairs.side("output", row) for (pairs, _), row in zip(chosen, rows, strict=True)]
        )
        names = [
            str(pairs.column("pair_id")[row]) for (pairs, _), row in zip(chosen, rows, strict=True)
        ]
        return Pairs(inputs, np.roll(outputs, 1, axis=0) if mixed else outputs, names)

    training = Training(steps=options.source_steps, learning_rate=options.learning_rate)
    parts = options.model_dump(mode="json"), task, seed
    state = Checkpoint(checkpoint, fingerprint(MODULE, [*pair_paths, *image_paths], *parts))
    network = _scratch(options, seed)
    history, cost = fit(
        DoTask(network, batches), training, state, seed=seed, title=f"source {task}, seed {seed}"
    )
    facts = {
        "run": run,
        "task": task,
        "seed": seed,
        "width": options.width,
        "skips": options.skips,
        "datasets": sorted({pairs.images.dataset for pairs, _ in sets}),
        "n_pairs": sum(len(rows) for _, rows in sets),
        "steps": options.source_steps,
        "loss": float(np.mean(history.losses[-20:])),
        "cpu_seconds": cost.cpu_seconds,
    }
    save_tensors(out, network.state_dict(), facts)
    Path(checkpoint).unlink(missing_ok=True)


def _training_sets(
    pair_paths: Sequence[str | Path], image_paths: Sequence[str | Path]
) -> list[tuple[PairSet, np.ndarray]]:
    """Files with the rows of their training pairs, those without any left out."""
    images = {one.dataset: one for one in map(ImageSet, image_paths)}
    found: list[tuple[PairSet, np.ndarray]] = []
    for path in map(Path, pair_paths):
        pairs = PairSet(path, images[path.stem])
        rows = np.flatnonzero(pairs.numpy("split").astype(str) == "train")
        if len(rows):
            found.append((pairs, rows))
    return found


def _scratch(options: SourceTraining, seed: int, name: str = SCRATCH, turn: int = 0) -> UNet:
    """Network of a seed; sources of a seed begin with the first from scratch."""
    own = int(generator(seed, "transfer", name, turn).integers(2**62))
    return from_seed(lambda: UNet(options.width, skips=options.skips), own)


def load_source(path: str | Path) -> UNet:
    """Network of a task, with the weights that its training wrote.

    Parameters
    ----------
    path
        results/<run>/transfer/sources/<task>/seed<k>.safetensors.

    Returns
    -------
    UNet
        From float [B, 3, H, W] in 0..1 to the same.

    Raises
    ------
    DataError
        If the file is damaged or not one of these.
    """
    try:
        tensors, facts = load_tensors(path)
        network = UNet(facts["width"], skips=facts["skips"])
        network.load_state_dict(tensors)
    except (ValueError, OSError, KeyError, RuntimeError) as problem:
        raise DataError(
            f"{path} holds no network of a task ({problem})", f"delete {path} and run it again"
        ) from problem
    return network


def start_from_sources(
    source_paths: Sequence[str | Path],
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    run: str,
    options: Starts,
    seed: int,
    split_seed: int,
    state: str | Path,
    threads: int,
) -> None:
    """Start one target from every source on each of its datasets, and from scratch.

    Parameters
    ----------
    source_paths
        Weights of all sources, ``shuffled_outputs`` among them.
    pair_paths, image_paths
        Main pairs of the target on the datasets that are asked, and their images.
    out
        The table to make: one row a dataset, source, ``start`` (several from
        scratch) and test pair, with the mean square error before (``error_before``) and after
        (``error``) the steps on the target.
    run
        Name of the run.
    options
        Steps, pairs and the rest. With :class:`~medtaskatlas.transfer.options.SharedFeatures` only
        encoders are taken over, and all starts have one new decoder.
    seed
        Training seed, that of the sources too.
    split_seed
        The run's seed, by which pairs are chosen.
    state
        Where finished starts are kept until the last one is; started again, the job goes on.
    threads
        Threads of torch.

    Raises
    ------
    DataError
        If files are damaged or do not fit together, or a loss is no longer a number.
    """
    set_up_torch(threads)
    images = {one.dataset: one for one in map(ImageSet, image_paths)}
    sources = {Path(path).parent.name: path for path in source_paths}
    given = options.protocol, options.params(), seed, split_seed
    files = [*source_paths, *pair_paths, *image_paths]
    finished = Finished(state, fingerprint(MODULE, files, *given))
    parts: list[pa.Table] = []
    for path in map(Path, pair_paths):
        pairs = PairSet(path, images[path.stem])
        target, dataset = path.parent.name, path.stem
        learned, asked, _ = choose(pairs, options.pairs, options.asked_pairs, split_seed)
        own, test = Pairs.of(pairs, learned), Pairs.of(pairs, asked)
        starts = [*((SCRATCH, turn) for turn in range(SCRATCHES)), (UNTRAINED, 0)]
        starts += [(name, 0) for name in sources]
        for name, turn in tqdm(starts, f"starts of {target} on {dataset}", mininterval=2):
            title = f"{name} {turn} to {target} on {dataset}"
            if title not in finished:
                network = _start(options, seed, name, turn, sources)
                before = errors(network, test)
                _fine_tune(network, own, options, finished.training(title), seed=seed, title=title)
                finished[title] = np.stack([before, errors(network, test)])
            before, after = finished[title]
            about = {"source": name, "target": target, "dataset": dataset}
            numbers = {"error_before": before, "error": after}
            parts.append(
                measured_rows(pairs, asked, numbers, start=turn, n_learned=len(own), **about)
            )
    facts = {"run": run, "seed": seed, "protocol": options.protocol, "options": options.params()}
    write_parquet(out, pa.concat_tables(parts), facts)
    finished.remove()


def _start(
    options: Starts, seed: int, name: str, turn: int, sources: dict[str, str | Path]
) -> UNet:
    """Network before it learns: whole, or an encoder with the decoder of the seed."""
    if name in (SCRATCH, UNTRAINED):
        network = _scratch(options, seed, name, turn)
    else:
        network = load_source(sources[name])
    if isinstance(options, SharedFeatures):
        network.decoder = _scratch(options, seed, "decoder").decoder
        network.encoder.requires_grad_(name == SCRATCH or not options.frozen)
    return network


def _fine_tune(
    network: UNet, own: Pairs, options: Starts, state: Checkpoint, *, seed: int, title: str
) -> None:
    """Take the steps on the target, of the same batches for every start."""

    def batches(step: int) -> Pairs:
        rng = generator(seed, "transfer target", step)
        return own.some(rng.permutation(len(own))[: options.batch_size])

    training = Training(steps=options.steps, learning_rate=options.learning_rate)
    fit(DoTask(network, batches), training, state, seed=seed, title=title)
