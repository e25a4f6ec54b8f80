"""Affinity: two tasks trained together, one encoder and a decoder each, against each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from tqdm import tqdm

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.formats.parquet import write_parquet
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.objective import Objective
from medtaskatlas.learning.options import Training
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.unet import Decoder, Encoder
from medtaskatlas.transfer.describe import choose
from medtaskatlas.transfer.kernel import to_tensor
from medtaskatlas.transfer.learning import Finished, Pairs, errors, fingerprint, measured_rows
from medtaskatlas.transfer.options import SCRATCH, SHUFFLED, Affinity

MODULE = "medtaskatlas.transfer.affinity"
# Below an error of one grey level nothing is gained by less of it.
LEAST = 1 / 255**2


class HardSharing(nn.Module):
    """One encoder and several decoders, its heads (hard parameter sharing; Caruana, 1997)."""

    def __init__(self, encoder: Encoder, heads: dict[str, Decoder]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, images: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Float [B, 3, H, W] of the same in 0..1, by head."""
        sizes = [len(own) for own in images.values()]
        maps = [level.split(sizes) for level in self.encoder(torch.cat(list(images.values())))]
        parts = zip(images, zip(*maps, strict=True), strict=True)
        return {name: self.heads[name](own) for name, own in parts}

    def of(self, name: str) -> nn.Module:
        """The network of one head."""
        return nn.Sequential(self.encoder, self.heads[name])


@dataclass(frozen=True)
class Batch:
    """Pairs of a step, by head."""

    of: dict[str, Pairs]

    def __len__(self) -> int:
        return sum(len(own) for own in self.of.values())


class DoTogether(Objective[Batch]):
    """From inputs to outputs of several heads, by the log of each one's mean square error.

    By their logs tasks weigh alike, whatever the size of their errors.
    """

    def __init__(self, network: HardSharing, batches: Callable[[int], Batch]) -> None:
        super().__init__(network)
        self.batches = batches

    def batch(self, step: int) -> Batch:
        """Pairs of a step."""
        return self.batches(step)

    def loss(self, model: Callable[..., Any], batch: Batch) -> dict[str, torch.Tensor]:
        """Log of the mean square error of every head, grey levels 0..1."""
        device = next(self.model.parameters()).device
        done = model({name: to_tensor(own.inputs).to(device) for name, own in batch.of.items()})
        wanted = {name: to_tensor(own.outputs).to(device) for name, own in batch.of.items()}
        missed = {name: (done[name] - wanted[name]).square().mean() for name in wanted}
        return {name: torch.log(error + LEAST) for name, error in missed.items()}

    def suspects(self, batch: Batch, part: str | None) -> list[str]:
        """Pairs of the head, or of all."""
        return [n for name, own in batch.of.items() if part in (None, name) for n in own.names]


@dataclass(frozen=True)
class _Cell:
    """A task on a dataset."""

    pairs: PairSet
    asked: np.ndarray  # int [N], rows
    learned: Pairs
    test: Pairs

    @classmethod
    def of(cls, path: Path, images: ImageSet, options: Affinity, seed: int) -> _Cell:
        """From the pairs of a cell."""
        pairs = PairSet(path, images)
        learned, asked, _ = choose(pairs, options.pairs, options.asked_pairs, seed)
        return cls(pairs, asked, Pairs.of(pairs, learned), Pairs.of(pairs, asked))


def train_together(
    pair_paths: Sequence[str | Path],
    images_path: str | Path,
    out: str | Path,
    *,
    run: str,
    options: Affinity,
    seed: int,
    split_seed: int,
    state: str | Path,
    threads: int,
) -> None:
    """Train every task of a dataset alone, and with every other.

    All trainings of a seed begin with one encoder, and a task has the same decoder and batches in
    all of them. Controls are the task itself as partner, with a decoder and batches of its own, and
    ``shuffled_outputs``: inputs of the task with outputs of other images.

    Parameters
    ----------
    pair_paths, images_path
        Main pairs of the tasks on the dataset, and its images.
    out
        The table to make: one row a task (``target``), partner (``source``; ``scratch``: alone) and
        test pair, with the mean square error.
    run
        Name of the run.
    options
        Steps, pairs and the rest.
    seed, split_seed
        Training seed; the run's seed, by which pairs are chosen.
    state
        Where finished trainings are kept until the last one is; started again, the job goes on.
    threads
        Threads of torch.

    Raises
    ------
    DataError
        If files are damaged or do not fit together, or a loss is no longer a number.
    SystemExit
        After SIGTERM, once the state is saved.
    """
    set_up_torch(threads)
    images = ImageSet(images_path)
    cells = {
        path.parent.name: _Cell.of(path, images, options, split_seed)
        for path in map(Path, pair_paths)
    }
    given = options.params(), seed, split_seed
    finished = Finished(state, fingerprint(MODULE, [*pair_paths, images_path], *given))
    parts: list[pa.Table] = []
    for heads, scored in tqdm(_trainings(cells), f"tasks of {images.dataset}", mininterval=2):
        title = f"{' with '.join(heads)} on {images.dataset}"
        if not all(f"{title}: {target}" in finished for target, _ in scored):
            network = _network(heads, options, seed)
            objective = DoTogether(network, _batches(heads, cells, options, seed))
            training = Training(steps=options.steps, learning_rate=options.learning_rate)
            fit(objective, training, finished.training(title), seed=seed, title=title)
            for target, _ in scored:
                finished[f"{title}: {target}"] = errors(network.of(target), cells[target].test)
        for target, source in scored:
            cell = cells[target]
            about = {"source": source, "target": target, "dataset": images.dataset}
            numbers = {"error": finished[f"{title}: {target}"]}
            n = len(cell.learned)
            parts.append(
                measured_rows(cell.pairs, cell.asked, numbers, start=0, n_learned=n, **about)
            )
    facts = {"run": run, "seed": seed, "protocol": options.protocol, "options": options.params()}
    write_parquet(out, pa.concat_tables(parts), facts)
    finished.remove()


Scored = list[tuple[str, str]]


def _trainings(tasks: Iterable[str]) -> list[tuple[dict[str, str], Scored]]:
    """Heads of every training with the task of each, and the (task, partner) that it scores."""
    found: list[tuple[dict[str, str], Scored]] = []
    for task in tasks:
        found += [
            ({task: task}, [(task, SCRATCH)]),
            ({task: task, f"{task} again": task}, [(task, task)]),
            ({task: task, f"{task} {SHUFFLED}": task}, [(task, SHUFFLED)]),
        ]
    for one, other in combinations(tasks, 2):
        found.append(({one: one, other: other}, [(one, other), (other, one)]))
    return found


def _network(heads: Iterable[str], options: Affinity, seed: int) -> HardSharing:
    """Network of some heads: the encoder of the seed, and the decoder of the seed and each name."""

    def own(*key: str) -> int:
        return int(generator(seed, "affinity", *key).integers(2**62))

    return HardSharing(
        from_seed(lambda: Encoder(options.width), own("encoder")),
        {name: from_seed(lambda: Decoder(options.width), own("decoder", name)) for name in heads},
    )


def _batches(
    heads: Mapping[str, str], cells: Mapping[str, _Cell], options: Affinity, seed: int
) -> Callable[[int], Batch]:
    """Batches of some heads, those of each a function of its name, the seed and the step."""

    def of(name: str, step: int) -> Pairs:
        learned = cells[heads[name]].learned
        rng = generator(seed, "affinity", "batch", name, step)
        some = learned.some(rng.permutation(len(learned))[: options.batch_size])
        mixed = name == f"{heads[name]} {SHUFFLED}"
        return replace(some, outputs=np.roll(some.outputs, 1, axis=0)) if mixed else some

    return lambda step: Batch({name: of(name, step) for name in heads})
