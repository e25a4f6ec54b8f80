"""Warm starts: a network of one task, whole, as the start of another from few pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from tqdm import tqdm

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.formats.parquet import write_parquet
from medtaskatlas.learning.checkpoint import Checkpoint, load_tensors, save_tensors
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.machine import pick_device, set_up_torch
from medtaskatlas.learning.objective import Objective
from medtaskatlas.learning.options import Training
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.unet import UNet
from medtaskatlas.transfer.describe import choose
from medtaskatlas.transfer.kernel import to_tensor
from medtaskatlas.transfer.options import SCRATCH, SHUFFLED, UNTRAINED, WarmStarts

MODULE = "medtaskatlas.transfer.warm"
COLUMNS = ("pair_id", "image_id", "group_id", "subject_id")
EVALUATED = 64  # pairs at once
# Starts from scratch, whose mean is what gains are held against: one alone may be lucky.
SCRATCHES = 3


@dataclass(frozen=True)
class Pairs:
    """Pixels of some pairs, uint8 [N, H, W, 3] each, and their names."""

    inputs: np.ndarray
    outputs: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.inputs)


class DoTask(Objective[Pairs]):
    """From the input of a pair to its output, by the mean square error."""

    def __init__(self, network: nn.Module, batches: Callable[[int], Pairs]) -> None:
        super().__init__(network)
        self.batches = batches

    def batch(self, step: int) -> Pairs:
        """Pairs of a step."""
        return self.batches(step)

    def loss(self, model: Callable[..., Any], batch: Pairs) -> dict[str, torch.Tensor]:
        """Mean square error, grey levels 0..1."""
        device = next(self.model.parameters()).device
        images, wanted = (to_tensor(side).to(device) for side in (batch.inputs, batch.outputs))
        return {"error": (model(images) - wanted).square().mean()}

    def suspects(self, batch: Pairs, part: str | None) -> list[str]:
        """All of its pairs."""
        return batch.names


def train_source(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    run: str,
    task: str,
    options: WarmStarts,
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
            "leave it out of `transfer.warm.tasks`, or choose datasets that offer it",
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
    files = [sha256(path) for path in (*pair_paths, *image_paths)]
    parts = [options.model_dump_json(), task, str(seed), torch.__version__, code_hash(MODULE)]
    state = Checkpoint(checkpoint, hashlib.sha256(json.dumps([parts, files]).encode()).hexdigest())
    network = _scratch(options, seed)
    history, cost = fit(
        DoTask(network, batches), training, state, seed=seed, title=f"source {task}, seed {seed}"
    )
    facts = {
        "run": run,
        "task": task,
        "seed": seed,
        "width": options.width,
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


def _scratch(options: WarmStarts, seed: int, name: str = SCRATCH, turn: int = 0) -> UNet:
    """Network of a seed; sources of a seed begin with the first from scratch."""
    own = int(generator(seed, "transfer", name, turn).integers(2**62))
    return from_seed(lambda: UNet(options.width), own)


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
        network = UNet(facts["width"])
        network.load_state_dict(tensors)
    except (ValueError, OSError, KeyError, RuntimeError) as problem:
        raise DataError(
            f"{path} holds no network of a task ({problem})", f"delete {path} and run it again"
        ) from problem
    return network


def warm_starts(
    source_paths: Sequence[str | Path],
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    run: str,
    options: WarmStarts,
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
        scratch) and test pair, with the mean square error
        before (``error_before``) and after (``error``) the steps on the target.
    run
        Name of the run.
    options
        Steps, pairs and the rest.
    seed
        Training seed, that of the sources too.
    split_seed
        The run's seed, by which pairs are chosen.
    state
        Where the state of a fine-tuning is kept while it lasts.
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
    parts: list[dict[str, np.ndarray]] = []
    for path in map(Path, pair_paths):
        pairs = PairSet(path, images[path.stem])
        learned, asked, _ = choose(pairs, options.pairs, options.asked_pairs, split_seed)
        own, test = (_pairs(pairs, rows) for rows in (learned, asked))
        about = {name: pairs.numpy(name)[asked] for name in COLUMNS}
        title = f"{path.parent.name} {path.stem}"
        for name, turn, network in _starts(options, seed, sources, title):
            before = errors(network, test)
            title = f"{name} {turn} to {path.parent.name} on {path.stem}"
            _fine_tune(network, own, options, Checkpoint(state, title), seed=seed, title=title)
            n = len(asked)
            fixed = {"source": name, "target": path.parent.name, "dataset": path.stem}
            parts.append(
                {
                    **{key: np.full(n, value, object) for key, value in fixed.items()},
                    **about,
                    "error_before": before,
                    "error": errors(network, test),
                    "start": np.full(n, turn),
                    "n_learned": np.full(n, len(own)),
                }
            )
    names = list(parts[0])
    table = pa.table({name: np.concatenate([part[name] for part in parts]) for name in names})
    facts = {"run": run, "seed": seed, "options": options.model_dump(mode="json")}
    write_parquet(out, table, facts)


def _starts(
    options: WarmStarts, seed: int, sources: dict[str, str | Path], title: str
) -> Iterator[tuple[str, int, UNet]]:
    """Every start with its name and number, scratch and controls among them."""
    starts = [(SCRATCH, turn) for turn in range(SCRATCHES)]
    starts += [(name, 0) for name in (UNTRAINED, *sources)]
    for name, turn in tqdm(starts, f"warm starts of {title}", mininterval=2):
        if name in (SCRATCH, UNTRAINED):
            yield name, turn, _scratch(options, seed, name, turn)
        else:
            yield name, turn, load_source(sources[name])


def _fine_tune(
    network: UNet, own: Pairs, options: WarmStarts, state: Checkpoint, *, seed: int, title: str
) -> None:
    """Take the steps on the target, of the same batches for every start."""

    def batches(step: int) -> Pairs:
        rows = generator(seed, "transfer target", step).permutation(len(own))[: options.batch_size]
        return Pairs(own.inputs[rows], own.outputs[rows], [own.names[i] for i in rows])

    training = Training(steps=options.steps, learning_rate=options.learning_rate)
    fit(DoTask(network, batches), training, state, seed=seed, title=title)
    Path(state.path).unlink(missing_ok=True)


def _pairs(pairs: PairSet, rows: np.ndarray) -> Pairs:
    """Pixels of some rows."""
    names = pairs.numpy("pair_id")[rows].astype(str).tolist()
    return Pairs(pairs.side("input", rows), pairs.side("output", rows), names)


def errors(network: UNet, pairs: Pairs) -> np.ndarray:
    """Mean square error of each pair, grey levels 0..1 and outputs cut to them, float64 [N]."""
    device = pick_device()
    network.to(device).eval()
    found = []
    with torch.inference_mode():
        for i in range(0, len(pairs), EVALUATED):
            part = slice(i, i + EVALUATED)
            done = network(to_tensor(pairs.inputs[part]).to(device)).clamp(0, 1)
            missed = (done - to_tensor(pairs.outputs[part]).to(device)).square()
            found.append(missed.flatten(1).mean(dim=1).double().cpu().numpy())
    network.cpu()
    return np.concatenate(found)
